"""An object in DICOM's JSON (PS3.18 F.2) -> single values; what is malformed counts as absent."""

from __future__ import annotations

from typing import Any


def value_of(one: dict[str, Any], tag: str) -> str:
    """The first value of an element, as text; empty where there is none."""
    element = one.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    return str(values[0]).strip() if isinstance(values, list) and values else ""


def number_of(one: dict[str, Any], tag: str) -> int:
    """The first value of an element, as a whole number; 0 where it is none."""
    text = value_of(one, tag)
    return int(text) if text.isdecimal() else 0


def items_of(one: Any, tag: str) -> list[dict[str, Any]]:
    """The items of a sequence; none where there is no such sequence."""
    element = one.get(tag) if isinstance(one, dict) else None
    values = element.get("Value") if isinstance(element, dict) else None
    return [each for each in values if isinstance(each, dict)] if isinstance(values, list) else []
