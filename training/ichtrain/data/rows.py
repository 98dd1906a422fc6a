"""Rows of a manifest -> rows that can be trusted, or one error that names what is wrong where.

A row is one slice. `docs/datasets.md` publishes the columns; a test holds it against `COLUMNS`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ichtrain.data.series import ANNOTATIONS, LABELS, SPLITS
from ichtrain.data.splits import SplitOptions, refuse_leak, splits_from_patients
from ichtrain.errors import ManifestError

COLUMNS = {
    # column: whether it may be empty
    "series": False,
    "StudyInstanceUID": False,
    "SeriesInstanceUID": False,
    "SOPInstanceUID": False,
    **dict.fromkeys(LABELS, True),
    "mask": True,
    "lesion_ml": True,
    "patient": False,
    "site": True,
    "split": True,
    "annotation": False,
}
"""Columns of a manifest in their order; all must be there, and no other may."""

_REQUIRED = [name for name, empty in COLUMNS.items() if not empty and name != "series"]
_OF_A_SERIES = ("StudyInstanceUID", "patient", "site", "split", "annotation", "mask", "lesion_ml")
_TOLD = 10


@dataclass(frozen=True, slots=True)
class SliceRow:
    """One slice of a labelled series.

    `series` is the folder that holds the series, or the slice's own file; `labels` are 1, 0 or
    None for unknown, in the order of `LABELS`; `lesion_ml` is all blood of the series, None where
    unknown. Paths are absolute here and relative in a file. Rows are plain: `checked` judges
    them together, because only there they have numbers.
    """

    series: Path
    StudyInstanceUID: str
    SeriesInstanceUID: str
    SOPInstanceUID: str
    labels: tuple[int | None, ...]
    patient: str
    annotation: str
    mask: Path | None = None
    lesion_ml: float | None = None
    site: str = ""
    split: str = ""


class Problems:
    """Problems in the order in which they are found: the first few told, the rest counted."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.count = 0

    def add(self, row: int, column: str, what: str) -> None:
        """Note one; rows are counted from 1, without the head line."""
        self.count += 1
        if len(self.told) < _TOLD:
            self.told.append(f"row {row}, {column}: {what}")

    def refuse(self, where: str) -> None:
        """Raise `ManifestError` if there is any."""
        if self.count:
            rest = [f"and {self.count - _TOLD} more"] if self.count > _TOLD else []
            raise ManifestError(
                f"{where} has {self.count} mistake(s), rows counted without the head line:\n  "
                + "\n  ".join([*self.told, *rest])
            )


def checked(
    rows: Iterable[SliceRow], where: str = "The manifest", problems: Problems | None = None
) -> tuple[SliceRow, ...]:
    """The same rows, once nothing is wrong with them.

    Raises `ManifestError` with the first problems by row and column, and `SplitLeak` where a
    patient is in two splits. `problems` are those that reading the file found already.
    """
    rows = tuple(rows)
    found = problems or Problems()
    if not rows:
        raise ManifestError(f"{where} has no rows: there is nothing to train on.")
    instances: dict[str, int] = {}
    firsts: dict[str, tuple[int, SliceRow]] = {}
    for number, row in enumerate(rows, 1):
        for column, what in _problems_of_row(row):
            found.add(number, column, what)
        earlier = instances.setdefault(row.SOPInstanceUID, number)
        if earlier != number:
            found.add(number, "SOPInstanceUID", f"{row.SOPInstanceUID} is in row {earlier} too")
        first_number, first = firsts.setdefault(row.SeriesInstanceUID, (number, row))
        for column, what in _problems_of_series(row, first, first_number):
            found.add(number, column, what)
    found.refuse(where)
    refuse_leak((row.patient, row.split) for row in rows)
    return rows


def series_from_rows(rows: Iterable[SliceRow]) -> dict[str, list[tuple[int, SliceRow]]]:
    """Rows with their numbers, by SeriesInstanceUID, in order of first appearance."""
    series: dict[str, list[tuple[int, SliceRow]]] = {}
    for number, row in enumerate(rows, 1):
        series.setdefault(row.SeriesInstanceUID, []).append((number, row))
    return series


def split_rows(rows: Sequence[SliceRow], options: SplitOptions) -> tuple[SliceRow, ...]:
    """The same rows with a split each, whole patients at a time."""
    kept = {} if options.anew else {row.patient: row.split for row in rows if row.split}
    assigned = splits_from_patients(positive_patients(rows), options, kept)
    return tuple(replace(row, split=assigned[row.patient]) for row in rows)


def positive_patients(rows: Iterable[SliceRow]) -> dict[str, bool]:
    """Whether blood is known in any slice of a patient, for every patient."""
    positive: dict[str, bool] = {}
    for row in rows:
        positive[row.patient] = positive.get(row.patient, False) or 1 in row.labels
    return positive


def _problems_of_row(row: SliceRow) -> Iterator[tuple[str, str]]:
    for column in _REQUIRED:
        if not getattr(row, column).strip():
            yield column, "is empty"
    for name, label in zip(LABELS, row.labels, strict=True):
        if label not in (0, 1, None):
            yield name, f"{label} is neither 0 nor 1"
    if row.labels[0] == 0 and 1 in row.labels[1:]:
        yield "any", f"is 0 although {LABELS[row.labels.index(1)]} is 1"
    if row.lesion_ml is not None and not (math.isfinite(row.lesion_ml) and row.lesion_ml >= 0):
        yield "lesion_ml", f"{row.lesion_ml} is no volume of 0 mL or more"
    if row.split and row.split not in SPLITS:
        yield "split", f"'{row.split}' is none of {', '.join(SPLITS)}"
    if row.annotation and row.annotation not in ANNOTATIONS:
        yield "annotation", f"'{row.annotation}' is none of {', '.join(ANNOTATIONS)}"
    if row.annotation == "mask" and row.mask is None:
        yield "mask", "is empty although annotation is mask"


def _problems_of_series(row: SliceRow, first: SliceRow, number: int) -> Iterator[tuple[str, str]]:
    """What differs between rows of one series and must not."""
    if row is first:
        return
    for column in _OF_A_SERIES:
        here, there = getattr(row, column), getattr(first, column)
        if here != there:
            yield column, f"'{here}' but '{there}' in row {number} of the same series"
    if row.annotation == "study" and row.labels != first.labels:
        column = next(
            name
            for name, one, other in zip(LABELS, row.labels, first.labels, strict=True)
            if one != other
        )
        yield column, f"differs from row {number} of the same series, whose annotation is study"


def table_from_rows(rows: Sequence[SliceRow]) -> list[dict[str, str | int]]:
    """What a manifest holds, a line a split: patients, series, slices, positives per label.

    Positives are counted in series: a series is positive where any of its slices is.
    """
    lines: list[dict[str, str | int]] = []
    for split in (*SPLITS, ""):
        here = [row for row in rows if row.split == split]
        if not here:
            continue
        line: dict[str, str | int] = {
            "split": split or "(none)",
            "patients": len({row.patient for row in here}),
            "series": len({row.SeriesInstanceUID for row in here}),
            "slices": len(here),
        }
        for index, name in enumerate(LABELS):
            line[name] = len({row.SeriesInstanceUID for row in here if row.labels[index] == 1})
        lines.append(line)
    return lines
