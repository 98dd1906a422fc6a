"""result.json -> Result: the way back, by the types of its own fields.

A field that is unknown, missing or of another type is refused with its place in the file; a value
that no result could hold never reaches a page.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, NoReturn, TypeVar, Union, get_args, get_origin, get_type_hints

from ichclient.errors import NothingFound, RefusedInput
from ichclient.result import DISCLAIMER, RESULT_FILE, SCHEMA_VERSION, Result

MAX_BYTES = 64 * 2**20

_T = TypeVar("_T")


def result_from_file(path: Path) -> Result:
    """Read a result.json, or that of a folder. Raises NothingFound or RefusedInput."""
    file = path / RESULT_FILE if path.is_dir() else path
    try:
        if file.stat().st_size > MAX_BYTES:
            raise RefusedInput(f"{file} is larger than 64 MiB: it is no {RESULT_FILE}.")
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise NothingFound(
            f"{file} cannot be read ({reason}). Give the {RESULT_FILE} that "
            "`ichclient infer --out` wrote."
        ) from error
    except UnicodeDecodeError as error:
        raise RefusedInput(f"{file} is no UTF-8 text, so it is no {RESULT_FILE}.") from error
    try:
        return result_from_json(text)
    except RefusedInput as error:
        raise RefusedInput(f"{file}: {error}") from error


def result_from_json(text: str) -> Result:
    """Read the text of a result.json; raises RefusedInput naming what is wrong, and where."""
    try:
        found = json_from_text(text)
    except (ValueError, RecursionError) as error:
        raise RefusedInput(f"It is no JSON ({error}).") from error
    if not isinstance(found, dict) or found.get("schema_version") != SCHEMA_VERSION:
        raise RefusedInput(f"It is no result of schema_version {SCHEMA_VERSION}; judge again.")
    try:
        result = dataclass_from_json(Result, found, "result")
    except (ValueError, OverflowError) as error:
        raise RefusedInput(f"It is no result ({error}). Judge the study again.") from error
    _refuse_impossible(result)
    return result


def _refuse_impossible(result: Result) -> None:
    scores = [result.study_score, *(one.score for one in result.slices)]
    members = [*result.member_scores.values()]
    members += [score for one in result.slices for score in one.member_scores.values()]
    positions = [one.position_mm for one in result.slices]
    for fits, what in (
        (all(0 <= score <= 1 for score in scores + members), "scores lie outside 0 to 1"),
        ([one.index for one in result.slices] == list(range(len(positions))), "indices jump"),
        (all(low < high for low, high in pairwise(positions)), "positions do not rise"),
        (all(set(one.member_scores) == set(result.member_scores) for one in result.slices),
         "slices have other members than the study"),
        (all(min(one.lesion_mm2, one.brain_mm2) >= 0 for one in result.slices),
         "areas lie below 0"),
        (result.disclaimer == DISCLAIMER, "the disclaimer was changed"),
    ):  # fmt: skip
        if not fits:
            raise RefusedInput(f"It is no result of a study: {what}. Judge the study again.")


def dataclass_from_json(cls: type[_T], found: object, where: str) -> _T:
    """A value of ours from what JSON held; raises ValueError saying where it is none."""
    if not isinstance(found, dict):
        raise ValueError(f"{where} is no object")
    hints = get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    if unknown := set(found) - set(fields):
        raise ValueError(f"{where} has an unknown field '{min(unknown)}'")
    values = {}
    for name, field in fields.items():
        if name in found:
            values[name] = _value(hints[name], found[name], f"{where}.{name}")
        elif field.default is dataclasses.MISSING and (
            field.default_factory is dataclasses.MISSING
        ):
            raise ValueError(f"{where} has no '{name}'")
    return cls(**values)


def _value(hint: Any, found: object, where: str) -> Any:
    """The found JSON value as the type that a field is declared with."""
    origin, arguments = get_origin(hint), get_args(hint)
    if dataclasses.is_dataclass(hint):
        return dataclass_from_json(hint, found, where)  # type: ignore[arg-type]
    if origin in (Union, UnionType):
        return _one_of(arguments, found, where)
    if origin is tuple and isinstance(found, list):
        kinds = [arguments[0]] * len(found) if arguments[1:] == (...,) else arguments
        if len(kinds) == len(found):
            parts = zip(kinds, found, strict=True)
            return tuple(
                _value(kind, part, f"{where}[{place}]") for place, (kind, part) in enumerate(parts)
            )
    elif isinstance(origin, type) and issubclass(origin, Mapping) and isinstance(found, dict):
        return {key: _value(arguments[1], part, f"{where}.{key}") for key, part in found.items()}
    elif isinstance(hint, type) and _is_scalar(hint, found):
        return hint(found) if hint is not NoneType else None
    raise ValueError(f"{where} is not what a result holds there")


def _is_scalar(hint: type, found: object) -> bool:
    if issubclass(hint, StrEnum):
        return isinstance(found, str) and found in set(hint)
    if hint is float:
        number = isinstance(found, int | float) and not isinstance(found, bool)
        return number and math.isfinite(float(found))  # type: ignore[arg-type]
    return isinstance(found, hint) and not (hint is int and isinstance(found, bool))


def _one_of(kinds: tuple[Any, ...], found: object, where: str) -> Any:
    # A whole number stays one where both are allowed: int stands before float in our types.
    for kind in kinds:
        try:
            return _value(kind, found, where)
        except ValueError as error:
            refusal = error
    raise refusal


def json_from_text(text: str) -> Any:
    """JSON without the numbers that are none; raises ValueError or RecursionError."""
    return json.loads(text, parse_constant=_no_number)


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number of JSON")
