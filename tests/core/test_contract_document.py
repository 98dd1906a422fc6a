"""The published contract says what the code says: tensors, spec fields, limits and exit codes."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import ichclient.errors
import ichcore.errors
from ichcore import (
    HU_AIR,
    HU_MAX,
    RULE_NAMES,
    EnsembleSpec,
    Grid,
    MemberSpec,
    OperatingPoint,
    StudyRule,
    wire,
)
from ichcore.errors import IchError
from ichcore.scanned import MAX_SERIES_PIXELS, MAX_SERIES_SLICES
from ichcore.spec import CONTRACT_VERSION

CONTRACT = (Path(__file__).parents[2] / "docs" / "contract.md").read_text(encoding="utf-8")

GRID = Grid(rows=320, columns=192, slices_per_item=3)
MEMBERS, POINTS = 7, 5
SIZES = {"N": None, "S": 3, "R": 320, "C": 192, "r": 160, "c": 96, "K": MEMBERS, "P": POINTS}

TABLES = {
    # heading in the document: the tensors of ichcore.wire, and whether the model batches
    "Input of every member, of `ich_ensemble` and of `ich_fused`": ([wire.hu_tensor(GRID)], True),
    "Output of a member": (wire.member_outputs(GRID, with_brain=True), True),
    "Input of `ich_combine`": (wire.combine_inputs(GRID, ("<member>",), "<member>"), True),
    "Output of `ich_combine`, `ich_ensemble` and `ich_fused`": (
        wire.ensemble_outputs(GRID, MEMBERS),
        True,
    ),
    "Input of `ich_study`": (wire.study_inputs(MEMBERS), False),
    "Output of `ich_study`": (wire.study_outputs(MEMBERS, POINTS), False),
    "Input of `ich_series` and of `ich_series_unary`": (wire.series_inputs(), False),
    "Output of `ich_series` and of `ich_series_unary`": (
        wire.series_outputs(MEMBERS, POINTS),
        False,
    ),
}


def rows_below(heading: str) -> Iterator[list[str]]:
    """Cells of the first table below a heading, without its two head lines."""
    _, found, rest = CONTRACT.partition(f"# {heading}\n")
    assert found, f"docs/contract.md has no heading '{heading}'"
    lines = rest.split("\n#")[0].splitlines()
    for line in [line for line in lines if line.startswith("|")][2:]:
        yield [cell.strip() for cell in line.strip("|").split("|")]


def shape_from_text(text: str) -> tuple[int | None, ...]:
    """`[N, S, R, C]` as sizes; N is the batch, what a series has of its own is free."""
    free = {"n": -1, "m": -1, "rows": -1, "columns": -1, "*": -1, "1": 1, "2": 2}
    return tuple({**SIZES, **free}[size.strip()] for size in text.strip("[]").split(","))


@pytest.mark.parametrize("heading", TABLES)
def test_tensors_are_those_of_the_wire(heading: str) -> None:
    tensors, batches = TABLES[heading]
    written = [
        (cells[0].strip("`"), cells[1], shape_from_text(cells[2])) for cells in rows_below(heading)
    ]
    batch = (None,) if batches else ()
    assert written == [
        (tensor.name, tensor.data_type, (*batch, *tensor.shape)) for tensor in tensors
    ]


def test_what_may_be_absent_is_what_the_wire_calls_optional() -> None:
    tensors, _ = TABLES["Input of `ich_combine`"]
    absent = {
        cells[0].strip("`")
        for cells in rows_below("Input of `ich_combine`")
        if "MAY be absent" in cells[3]
    }
    assert absent == {tensor.name for tensor in tensors if tensor.optional}


def error_classes(kind: type[IchError] = IchError) -> Iterator[type[IchError]]:
    if kind.__module__ in {ichcore.errors.__name__, ichclient.errors.__name__}:
        yield kind
    for child in kind.__subclasses__():
        yield from error_classes(child)


def test_exit_codes_are_those_of_the_errors() -> None:
    written = {
        name: int(cells[0])
        for cells in rows_below("8. Exit codes of `ichclient`")
        for name in re.findall(r"`(\w+)`", cells[1])
    }
    for error in error_classes():
        nearest = next(parent for parent in error.__mro__ if parent.__name__ in written)
        assert written[nearest.__name__] == error.exit_code, error.__name__
    assert written.keys() <= {error.__name__ for error in error_classes()}
    assert {error.exit_code for error in error_classes()} == set(written.values())


def test_every_field_of_the_spec_file_is_named() -> None:
    cells = list(rows_below("7. Spec file"))
    named = set(re.findall(r"`(\w+)`", " ".join(f"{field} {content}" for field, content in cells)))
    for kind in (EnsembleSpec, MemberSpec, StudyRule, OperatingPoint):
        assert {field.name for field in dataclasses.fields(kind)} <= named


def test_every_study_rule_is_described() -> None:
    assert tuple(cells[0].strip("`") for cells in rows_below("5. Rules")) == RULE_NAMES


def test_numbers_in_the_prose_are_those_of_the_code() -> None:
    grid = Grid()
    assert f"# Wire contract, version {CONTRACT_VERSION}\n" in CONTRACT
    assert f"[{HU_AIR}, {HU_MAX}]" in CONTRACT
    assert f"(1 to {wire.MAX_BATCH_SIZE})" in CONTRACT
    assert f"{grid.rows} x {grid.columns} at {grid.pixel_spacing_mm} mm" in CONTRACT
    assert f"S = {grid.slices_per_item}" in CONTRACT
    assert f"`{wire.SPEC_FILE}`" in CONTRACT
    assert f"1 to {MAX_SERIES_SLICES} slices and at most {MAX_SERIES_PIXELS} pixels" in CONTRACT
