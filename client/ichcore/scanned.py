"""A whole series as it was scanned: what `ich_series` is given, valid from birth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ichcore.errors import ContractError, NonFiniteError, NoSlicesError
from ichcore.grid import Placement

MAX_SERIES_SLICES = 400
"""Slices of one call."""

MAX_SERIES_PIXELS = MAX_SERIES_SLICES * 512 * 512
"""Pixels of one call, all slices together: what bounds the server's memory."""


@dataclass(frozen=True)
class ScannedPlane:
    """One slice of a series: HU [rows, columns] and its pixel spacing."""

    hu: NDArray[np.generic]
    row_spacing_mm: float
    column_spacing_mm: float


@dataclass(frozen=True)
class ScannedSeries:
    """n slices, inferior to superior, in canonical orientation and their own geometry.

    `hu` [n, rows, columns]; `position_mm` [n] along the slice normal; `pixel_spacing_mm` [2] from
    row to row, then from column to column.
    """

    hu: NDArray[np.generic]
    position_mm: NDArray[np.float32]
    pixel_spacing_mm: NDArray[np.float64]

    def __post_init__(self) -> None:
        """Refuse what is no series, is too much for one call, or has a value that is no number."""
        if self.hu.ndim != 3:
            raise ContractError(f"HU has shape {self.hu.shape}; expected [n, rows, columns].")
        count, rows, columns = self.hu.shape
        if count == 0:
            raise NoSlicesError("The series has no slices, so there is nothing to judge.")
        if count > MAX_SERIES_SLICES or self.hu.size > MAX_SERIES_PIXELS:
            raise ContractError(
                f"The series has {count} slices of {rows} x {columns} pixels; one call takes "
                f"{MAX_SERIES_SLICES} slices and {MAX_SERIES_PIXELS} pixels at most. Reformat it "
                "to thicker slices, or send chunks to ich_ensemble."
            )
        if 0 in (rows, columns):
            raise ContractError(f"Slices of {rows} x {columns} pixels hold nothing to judge.")
        for name, shape in (("position_mm", (count,)), ("pixel_spacing_mm", (2,))):
            values = getattr(self, name)
            if values.shape != shape:
                raise ContractError(f"{name} has shape {values.shape}; expected {shape}.")
            _refuse_non_finite(name, values)
        for plane in self.hu:  # slice by slice: a series is large
            _refuse_non_finite("HU", plane)
        rises = np.diff(self.position_mm) > 0
        if not rises.all():
            at = int(np.argmin(rises)) + 1
            raise ContractError(
                f"position_mm of slice {at + 1} is {self.position_mm[at]:g} after "
                f"{self.position_mm[at - 1]:g}; it must rise from each slice to the next, "
                "inferior to superior."
            )
        # The rule of pixel spacings is the grid's own.
        row_spacing_mm, column_spacing_mm = map(float, self.pixel_spacing_mm)
        Placement(rows, columns, row_spacing_mm, column_spacing_mm, rows / 2, columns / 2)

    def __iter__(self) -> Iterator[ScannedPlane]:
        """Each slice in order."""
        row_spacing_mm, column_spacing_mm = map(float, self.pixel_spacing_mm)
        for plane in self.hu:
            yield ScannedPlane(plane, row_spacing_mm, column_spacing_mm)


def _refuse_non_finite(name: str, values: NDArray[np.generic]) -> None:
    if not np.isfinite(values).all():
        raise NonFiniteError(f"{name} has values that are not finite; the series is refused.")
