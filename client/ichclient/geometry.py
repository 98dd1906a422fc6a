"""Headers -> where their slices lie: normal, positions, tilt and orientation, in mm and degrees.

DICOM's patient axes: +x to the patient's left, +y to the back, +z to the head. Positions come from
ImagePositionPatient alone: SliceThickness, SpacingBetweenSlices, SliceLocation and
GantryDetectorTilt are nominal or vendor dependent, and are never used.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Cosines = Sequence[float]
_Scalar = TypeVar("_Scalar", bound=np.generic)


def normal_from_orientation(orientation: Cosines) -> NDArray[np.float64]:
    """The unit slice normal (row x column direction), made to point to the head."""
    row, column = _directions(orientation)
    normal = np.cross(row, column)
    normal /= np.linalg.norm(normal)
    return np.asarray(-normal if normal[2] < 0 else normal)


def orientation_error(orientation: Cosines) -> float:
    """How far the two directions are from unit length and a right angle (0 is perfect)."""
    values = np.asarray(orientation, dtype=np.float64)
    row, column = values[:3], values[3:]
    lengths = float(np.linalg.norm(row)), float(np.linalg.norm(column))
    return max(abs(lengths[0] - 1), abs(lengths[1] - 1), abs(float(row @ column)))


def positions_along_normal(
    positions: Sequence[Sequence[float]], normal: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The distance of each slice along the normal, in mm from the patient origin."""
    return np.asarray(np.asarray(positions, dtype=np.float64) @ normal)


def tilt_degrees(
    first: Sequence[float], last: Sequence[float], normal: NDArray[np.float64]
) -> float:
    """The signed angle between the stack's direction and its normal.

    `first` and `last` are the ImagePositionPatient of the lowest and the highest slice. Positive
    where the normal leans to the patient's back: the front edge of a slice then lies higher than
    in an upright slice.
    """
    stack = np.asarray(last, dtype=np.float64) - np.asarray(first, dtype=np.float64)
    length = float(np.linalg.norm(stack))
    if length == 0:
        return 0.0
    cross = np.cross(stack / length, normal)
    angle = math.degrees(math.atan2(float(np.linalg.norm(cross)), float(stack @ normal) / length))
    return -angle if cross[0] > 0 else angle


@dataclass(frozen=True)
class Orientation:
    """The flips that turn a stored slice into the canonical one, and back.

    Canonical: rows run from front to back, columns from the patient's right to left.
    """

    transposed: bool
    rows_flipped: bool
    columns_flipped: bool

    def canonical(self, stored: NDArray[_Scalar]) -> NDArray[_Scalar]:
        """Stored [Rows, Columns] -> canonical array (transposed first, then flipped)."""
        array = stored.T if self.transposed else stored
        return self._flipped(array)

    def stored(self, canonical: NDArray[_Scalar]) -> NDArray[_Scalar]:
        """Canonical array -> [Rows, Columns] as the file stores it."""
        array = self._flipped(canonical)
        return array.T if self.transposed else array

    def spacing(self, pixel_spacing: tuple[float, float]) -> tuple[float, float]:
        """DICOM's (row, column) spacing in mm -> that of the canonical array."""
        row, column = pixel_spacing
        return (column, row) if self.transposed else (row, column)

    def _flipped(self, array: NDArray[_Scalar]) -> NDArray[_Scalar]:
        rows = slice(None, None, -1 if self.rows_flipped else 1)
        columns = slice(None, None, -1 if self.columns_flipped else 1)
        return array[rows, columns]


def canonical_orientation(orientation: Cosines) -> Orientation:
    """How an axial slice of this ImageOrientationPatient is turned to be canonical."""
    row, column = _directions(orientation)
    transposed = bool(abs(row[0]) < abs(row[1]))
    along_columns, along_rows = (column, row) if transposed else (row, column)
    return Orientation(
        transposed=transposed,
        rows_flipped=bool(along_rows[1] < 0),
        columns_flipped=bool(along_columns[0] < 0),
    )


def _directions(orientation: Cosines) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Unit vectors along a row (increasing column) and along a column (increasing row)."""
    values = np.asarray(orientation, dtype=np.float64)
    row, column = values[:3], values[3:]
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    if min(lengths) == 0:
        raise ValueError("ImageOrientationPatient holds a direction of length zero")
    return row / lengths[0], column / lengths[1]
