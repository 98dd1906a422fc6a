"""Headers -> Stacks: slices of one series that share a grid, ordered from inferior to superior.

One SeriesInstanceUID may hold several stacks (a localizer beside axial slices, two orientations,
two reconstructions); each becomes a stack of its own. Files that cannot be ordered stay together
as one stack without positions, so that they are still judged and reported.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ichclient import geometry
from ichclient.frames import file_digest, pixel_digest
from ichclient.headers import Fact, SliceHeader, Verdict

_Key = TypeVar("_Key", bound=Hashable)

SAME_POSITION_MM = 0.05
SAME_DIRECTION = 0.02  # largest difference of two cosines: about one degree
SAME_SPACING_MM = 1e-3


@dataclass(frozen=True)
class Stack:
    """Slices of one series in order along their normal, and what was resolved to get there.

    `dropped` tells of each file that repeats another with the same pixels and was left out,
    `conflicts` of each that claims the place or the UID of another and differs from it. `parts`
    counts the stacks that the series was split into.
    """

    slices: tuple[SliceHeader, ...]
    positioned: bool
    dropped: tuple[Verdict, ...] = ()
    conflicts: tuple[Verdict, ...] = ()
    parts: int = 1

    def __post_init__(self) -> None:
        """A stack has at least one slice."""
        if not self.slices:
            raise ValueError("a stack needs at least one slice")

    @property
    def first(self) -> SliceHeader:
        """The lowest slice, whose header speaks for the stack."""
        return self.slices[0]

    @cached_property
    def normal(self) -> NDArray[np.float64] | None:
        """The common unit normal towards the head; None where there are no positions."""
        orientation = self.first.ImageOrientationPatient
        if not self.positioned or orientation is None:
            return None
        return geometry.normal_from_orientation(orientation)

    @cached_property
    def positions_mm(self) -> tuple[float, ...]:
        """The place of each slice along the normal, ascending; empty without positions."""
        if self.normal is None:
            return ()
        return tuple(geometry.positions_along_normal(_origins(self.slices), self.normal).tolist())

    @cached_property
    def gaps_mm(self) -> tuple[float, ...]:
        """The distances between neighbouring slices along the normal."""
        return tuple(np.diff(self.positions_mm).tolist())

    @property
    def slice_spacing_mm(self) -> float:
        """The median distance between neighbouring slices; 0 for a single one."""
        return float(np.median(self.gaps_mm)) if self.gaps_mm else 0.0

    @property
    def coverage_mm(self) -> float:
        """The height of tissue the slices stand for: first to last, and one spacing more."""
        if not self.gaps_mm:
            return 0.0
        return self.positions_mm[-1] - self.positions_mm[0] + self.slice_spacing_mm

    @property
    def field_of_view_mm(self) -> float:
        """The shorter side of a slice; 0 where its size is not known."""
        rows, columns = self.first.Rows or 0, self.first.Columns or 0
        row_mm, column_mm = self.first.PixelSpacing or (0.0, 0.0)
        return min(rows * row_mm, columns * column_mm)

    @property
    def gantry_tilt_degrees(self) -> float:
        """The signed angle between stack direction and normal, by geometry."""
        if self.normal is None:
            return 0.0
        origins = _origins((self.slices[0], self.slices[-1]))
        return geometry.tilt_degrees(origins[0], origins[1], self.normal)


def stacks_from_headers(headers: Iterable[SliceHeader]) -> tuple[Stack, ...]:
    """Group headers by series, then by common grid; order each stack along its normal."""
    stacks: list[Stack] = []
    for series in _grouped(headers, lambda header: header.SeriesInstanceUID):
        unique, copies, conflicts = _without_copies(series)
        parts: list[Stack] = []
        flat = [header for header in unique if not header.is_stackable]
        if flat:
            parts.append(Stack(_by_number(flat), False, copies, conflicts))
        grids = _same_grid([header for header in unique if header.is_stackable])
        for grid in grids:
            parts.extend(_ordered(part, copies, conflicts) for part in _phases(grid))
        stacks.extend(replace(part, parts=len(parts)) for part in parts)
    return tuple(stacks)


def _ordered(
    headers: list[SliceHeader], copies: tuple[Verdict, ...], conflicts: tuple[Verdict, ...]
) -> Stack:
    """Order by position, and drop slices that repeat another's place with the same pixels."""
    kept: list[tuple[float, SliceHeader]] = []
    for position, header in _placed(headers):
        if kept and position - kept[-1][0] < SAME_POSITION_MM:
            first = kept[-1][1]
            if pixel_digest(first) == pixel_digest(header):
                copies += (_repeats(first, header, position_mm=position),)
                continue
            conflicts += (_conflicts(first, header, "place", position_mm=position),)
        kept.append((position, header))
    return Stack(tuple(header for _, header in kept), True, copies, conflicts)


def _without_copies(
    headers: list[SliceHeader],
) -> tuple[list[SliceHeader], tuple[Verdict, ...], tuple[Verdict, ...]]:
    """Files of one SOPInstanceUID: identical bytes count once, differing bytes are a conflict."""
    unique: list[SliceHeader] = []
    copies: list[Verdict] = []
    conflicts: list[Verdict] = []
    for same in _grouped(
        headers, lambda header: (header.SOPInstanceUID or header.relative_path, header.frame_index)
    ):
        first, others = same[0], same[1:]
        unique.append(first)
        for other in others:
            if file_digest(first) == file_digest(other):
                copies.append(_repeats(first, other))
            else:
                conflicts.append(_conflicts(first, other, "SOPInstanceUID"))
    return unique, tuple(copies), tuple(conflicts)


def _repeats(first: SliceHeader, other: SliceHeader, **facts: float) -> Verdict:
    sentence = f"It repeats {first.relative_path} with the same pixels and was left out."
    known: dict[str, Fact] = {
        "SOPInstanceUID": other.SOPInstanceUID,
        "repeats": first.relative_path,
        **facts,
    }
    return Verdict("duplicates_dropped", sentence, other.relative_path, known)


def _conflicts(first: SliceHeader, other: SliceHeader, what: str, **facts: float) -> Verdict:
    sentence = f"It claims the {what} of {first.relative_path} and shows something else."
    known: dict[str, Fact] = {
        "SOPInstanceUID": other.SOPInstanceUID,
        "differs_from": first.relative_path,
        **facts,
    }
    return Verdict("ambiguous_duplicates", sentence, other.relative_path, known)


def _phases(headers: list[SliceHeader]) -> list[list[SliceHeader]]:
    """Split by acquisition or moment, but only where that is what makes positions repeat.

    One acquisition per slice is ordinary, so the number alone says nothing.
    """
    if not _positions_repeat(headers):
        return [headers]
    parts = _grouped(
        headers, lambda header: (header.AcquisitionNumber, header.TemporalPositionIndex)
    )
    split = len(parts) > 1 and all(len(part) > 1 for part in parts)
    return parts if split and not any(map(_positions_repeat, parts)) else [headers]


def _positions_repeat(headers: list[SliceHeader]) -> bool:
    positions = [position for position, _ in _placed(headers)]
    return bool(np.any(np.diff(positions) < SAME_POSITION_MM))


def _placed(headers: list[SliceHeader]) -> list[tuple[float, SliceHeader]]:
    """Slices with their positions in mm, ascending; equal places go by number, then by path."""
    orientation = headers[0].ImageOrientationPatient
    assert orientation is not None  # only stackable headers come here
    normal = geometry.normal_from_orientation(orientation)
    positions = geometry.positions_along_normal(_origins(headers), normal).tolist()
    return sorted(
        zip(positions, headers, strict=True),
        key=lambda pair: (pair[0], *_number_order(pair[1])),
    )


def _same_grid(headers: list[SliceHeader]) -> list[list[SliceHeader]]:
    """Cluster by comparison with each group's first header, so that no rounding edge splits."""
    groups: list[list[SliceHeader]] = []
    for header in headers:
        for group in groups:
            if _shares_grid(group[0], header):
                group.append(header)
                break
        else:
            groups.append([header])
    return groups


def _shares_grid(one: SliceHeader, other: SliceHeader) -> bool:
    def near(a: tuple[float, ...] | None, b: tuple[float, ...] | None, within: float) -> bool:
        return bool(np.allclose(a or (), b or (), rtol=0, atol=within))

    def exact(header: SliceHeader) -> tuple[object, ...]:
        return (
            header.Rows, header.Columns, header.FrameOfReferenceUID, header.ConvolutionKernel,
            header.StackID, "LOCALIZER" in header.ImageType,
        )  # fmt: skip

    return (
        exact(one) == exact(other)
        and near(one.ImageOrientationPatient, other.ImageOrientationPatient, SAME_DIRECTION)
        and near(one.PixelSpacing, other.PixelSpacing, SAME_SPACING_MM)
    )


def _by_number(headers: list[SliceHeader]) -> tuple[SliceHeader, ...]:
    return tuple(sorted(headers, key=_number_order))


def _number_order(header: SliceHeader) -> tuple[int, str, int]:
    return header.InstanceNumber or 0, header.relative_path, header.frame_index or 0


def _origins(headers: Iterable[SliceHeader]) -> list[tuple[float, float, float]]:
    return [
        header.ImagePositionPatient for header in headers if header.ImagePositionPatient is not None
    ]


def _grouped(
    headers: Iterable[SliceHeader], key: Callable[[SliceHeader], _Key]
) -> list[list[SliceHeader]]:
    """Headers that share a key, in order of first appearance."""
    groups: dict[_Key, list[SliceHeader]] = {}
    for header in headers:
        groups.setdefault(key(header), []).append(header)
    return list(groups.values())
