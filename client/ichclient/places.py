"""Stack -> SeriesGeometry: where every slice of a series lies, all that later steps need of it.

One frozen value carries a finding in a pixel back to a place in the patient and to the image it
was seen in. Lengths in mm; patient axes as in `geometry.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ichclient.geometry import Orientation, canonical_orientation
from ichclient.headers import SliceHeader, Vector3
from ichclient.stacks import Stack


@dataclass(frozen=True)
class SlicePlace:
    """One slice: its image, and where it lies.

    `frame_number` counts from 1 within a multi-frame image and is None elsewhere. `origin_mm` is
    the centre of the first stored pixel, `position_mm` its distance along the slice normal.
    """

    SOPInstanceUID: str
    frame_number: int | None
    path: str
    position_mm: float
    origin_mm: Vector3


@dataclass(frozen=True)
class SeriesGeometry:
    """The grid of a series, its slices from inferior to superior.

    `row_direction` points along a row (column number grows), `column_direction` down a column
    (row number grows), both as stored; `normal` is their normal towards the head. `canonical`
    turns a stored slice so that rows run from front to back and columns from the patient's right
    to left. `gantry_tilt_degrees` is measured, and positive where the front edge lies higher.
    """

    FrameOfReferenceUID: str
    rows: int
    columns: int
    pixel_spacing_mm: tuple[float, float]
    row_direction: Vector3
    column_direction: Vector3
    normal: Vector3
    canonical: Orientation
    gantry_tilt_degrees: float
    slice_spacing_mm: float
    slices: tuple[SlicePlace, ...]

    def __post_init__(self) -> None:
        """Slices ascend, and pixels have a size."""
        if not self.slices:
            raise ValueError("a series needs at least one slice")
        if min(self.rows, self.columns, *self.pixel_spacing_mm) <= 0:
            raise ValueError("a slice needs rows, columns and positive pixel spacings")
        if any(gap <= 0 for gap in self.gaps_mm):
            raise ValueError("the positions of a series must ascend")

    @property
    def positions_mm(self) -> tuple[float, ...]:
        """The place of each slice along the normal, ascending."""
        return tuple(one.position_mm for one in self.slices)

    @property
    def gaps_mm(self) -> tuple[float, ...]:
        """The distances of neighbouring slices along the normal, one fewer than slices."""
        return tuple(np.diff(self.positions_mm).tolist())

    @property
    def table_steps_mm(self) -> tuple[float, ...]:
        """The distances of neighbouring origins; under tilt they are longer than the gaps."""
        origins = np.array([one.origin_mm for one in self.slices])
        return tuple(np.linalg.norm(np.diff(origins, axis=0), axis=1).tolist())

    @property
    def pixel_area_mm2(self) -> float:
        """The area of one stored pixel."""
        return self.pixel_spacing_mm[0] * self.pixel_spacing_mm[1]

    @property
    def coverage_mm(self) -> float:
        """The height of tissue the slices stand for: first to last, and one spacing more."""
        return self.positions_mm[-1] - self.positions_mm[0] + self.slice_spacing_mm

    def patient_mm(self, index: int, row: float, column: float) -> Vector3:
        """Where a stored pixel of slice `index` has its centre, in patient coordinates."""
        down, along = self.pixel_spacing_mm
        place = (
            np.array(self.slices[index].origin_mm)
            + np.array(self.row_direction) * along * column
            + np.array(self.column_direction) * down * row
        )
        return _vector3(place.tolist())


def geometry_from_stack(stack: Stack) -> SeriesGeometry:
    """The geometry of a stack that no rule refuses; ValueError where it has no positions."""
    first, normal = stack.first, stack.normal
    orientation, spacing = first.ImageOrientationPatient, first.PixelSpacing
    if normal is None or orientation is None or spacing is None:
        raise ValueError("a stack without positions has no geometry")
    directions = np.array(orientation).reshape(2, 3)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    row, column = directions.tolist()
    return SeriesGeometry(
        FrameOfReferenceUID=first.FrameOfReferenceUID,
        rows=first.Rows or 0,
        columns=first.Columns or 0,
        pixel_spacing_mm=spacing,
        row_direction=_vector3(row),
        column_direction=_vector3(column),
        normal=_vector3(normal.tolist()),
        canonical=canonical_orientation(orientation),
        gantry_tilt_degrees=stack.gantry_tilt_degrees,
        slice_spacing_mm=stack.slice_spacing_mm,
        slices=tuple(map(_place, stack.slices, stack.positions_mm)),
    )


def _place(header: SliceHeader, position_mm: float) -> SlicePlace:
    origin = header.ImagePositionPatient
    assert origin is not None  # only positioned stacks come here
    return SlicePlace(
        header.SOPInstanceUID, header.frame_number, header.relative_path, position_mm, origin
    )


def _vector3(values: list[float]) -> Vector3:
    return values[0], values[1], values[2]
