r"""Rules file (TOML) -> RuleBook: what one site says otherwise than the defaults.

    [words]                     # added to the defaults; regular expressions, case ignored
    contrast = ["\\\\bKM\\\\b"]
    [limits]                    # replace the defaults
    min_slices = 12
    [[kernels]]                 # tried before the defaults; the pattern is the whole name
    vendor = "SIEMENS"
    character = "soft"          # or "sharp"
    pattern = "Qr4\\\\d.*"
    [operating_point]           # beside the server's own; `ichclient accept set` writes it
    name = "site"
    threshold = 0.31
    spec_sha256 = "..."

Whatever the file holds that is not understood is one BadRules naming file and key.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypeVar

from ichclient.errors import BadRules
from ichclient.kernels import KERNEL_FAMILIES, KernelFamily
from ichclient.rules import DEFAULT_BOOK, RuleBook
from ichclient.site import Limits, Site, SitePoint, Words

_T = TypeVar("_T", Words, Limits)
_MOST_BYTES = 1 << 20
_SECTIONS = ("words", "limits", "kernels", "operating_point")
_POINT_KEYS = tuple(field.name for field in fields(SitePoint))
_KERNEL_KEYS = ("vendor", "character", "pattern")


def book_from_options(rules: Path | None = None, allowed: Iterable[str] = ()) -> RuleBook:
    """The table with a site's file and with what `--allow` lets through; raises BadRules."""
    book = DEFAULT_BOOK if rules is None else replace(DEFAULT_BOOK, site=site_from_file(rules))
    return book.allowing(allowed)


def site_from_file(path: Path) -> Site:
    """Read a rules file; raises BadRules for whatever it holds that is not understood."""
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise BadRules(f"Rules file {path} cannot be read ({reason}).") from error
    if len(content) > _MOST_BYTES:
        raise BadRules(f"Rules file {path} is larger than 1 MiB, so it is none.")
    try:
        table = tomllib.loads(content.decode())
    except ValueError as error:  # UnicodeDecodeError and TOMLDecodeError
        raise BadRules(f"Rules file {path} is no TOML: {error}.") from error
    except RecursionError as error:
        raise BadRules(f"Rules file {path} is nested too deeply.") from error
    try:
        return _site(table, hashlib.sha256(content).hexdigest())
    except ValueError as error:
        raise BadRules(f"Rules file {path}: {error}.") from error


def _site(table: Mapping[str, Any], sha256: str) -> Site:
    _known_only("", table, _SECTIONS)
    words, limits = _section(table, "words"), _section(table, "limits")
    return Site(
        words=_words(words),
        limits=_limits(limits),
        kernels=(*_kernels(table.get("kernels", [])), *KERNEL_FAMILIES),
        sha256=sha256,
        point=_point(table),
    )


def _point(table: Mapping[str, Any]) -> SitePoint | None:
    section = table.get("operating_point")
    if section is None:
        return None
    if not isinstance(section, dict):
        raise ValueError("operating_point must be a table: [operating_point]")
    _known_only("operating_point.", section, _POINT_KEYS)
    values = {"acceptance_sha256": "", **section}
    if absent := sorted(set(_POINT_KEYS) - set(values)):
        raise ValueError(f"operating_point needs {', '.join(absent)}")
    if not isinstance(values["threshold"], int | float) or isinstance(values["threshold"], bool):
        raise ValueError("operating_point.threshold must be a number")
    if not all(isinstance(values[key], str) for key in _POINT_KEYS if key != "threshold"):
        raise ValueError("operating_point: all but the threshold are strings")
    try:
        return SitePoint(**{**values, "threshold": float(values["threshold"])})
    except ValueError as error:
        raise ValueError(f"operating_point.{error}") from error


def _words(table: Mapping[str, Any]) -> Words:
    added = {}
    for key, value in table.items():
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise ValueError(f"words.{key} must be a list of strings, got {value!r}")
        added[key] = (*getattr(Words(), key), *value)
    return _told("words", Words, added)


def _limits(table: Mapping[str, Any]) -> Limits:
    for key, value in table.items():
        whole = isinstance(getattr(Limits(), key), int)
        kinds = (int,) if whole else (int, float)
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise ValueError(f"limits.{key} must be a {'whole ' * whole}number, got {value!r}")
    return _told("limits", Limits, table)


def _kernels(value: Any) -> Iterable[KernelFamily]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise ValueError("kernels must be tables: [[kernels]]")
    for number, item in enumerate(value, start=1):
        where = f"kernels, number {number}"
        _known_only(f"{where}: ", item, _KERNEL_KEYS)
        texts = [item.get(key) for key in _KERNEL_KEYS]
        if not all(isinstance(text, str) for text in texts):
            raise ValueError(f"{where} needs the strings vendor, character and pattern")
        if item["character"] not in ("soft", "sharp"):
            raise ValueError(f"{where}: character is soft or sharp, got {item['character']!r}")
        try:
            re.compile(item["pattern"])
        except re.error as error:
            text = f"{where}: pattern '{item['pattern']}' is no regular expression ({error})"
            raise ValueError(text) from error
        yield KernelFamily(item["vendor"].upper(), item["character"], item["pattern"])


def _section(table: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = table.get(name, {})
    if not isinstance(section, dict):
        raise ValueError(f"{name} must be a table: [{name}]")
    known = [field.name for field in fields(Words if name == "words" else Limits)]
    _known_only(f"{name}.", section, known)
    return section


def _known_only(where: str, table: Mapping[str, Any], known: Iterable[str]) -> None:
    for key in table:
        if key not in known:
            raise ValueError(f"unknown key {where}{key}; known are: {', '.join(known)}")


def _told(section: str, kind: type[_T], values: Mapping[str, Any]) -> _T:
    try:
        return kind(**values)
    except ValueError as error:
        raise ValueError(f"{section}.{error}") from error
