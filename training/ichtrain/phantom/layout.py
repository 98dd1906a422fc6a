"""Slice number -> plane in head coordinates, and the part of it that the head fills."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ichtrain.phantom.fields import SlicePoints, Window
from ichtrain.phantom.recipe import HeadRecipe
from ichtrain.phantom.scanner import ScannerRecipe
from ichtrain.phantom.shell import surfaces_from_points

Vector64 = npt.NDArray[np.float64]

CROP_STEP = 16
"""Crops are multiples of this many pixels, so that few interpolation matrices are needed."""


@dataclass(frozen=True)
class Layout:
    """Where the slices lie: pixel grid over the field of view, slice centres along the table."""

    matrix: int
    fov_mm: float
    slices: int
    spacing_mm: float
    sub_slices: int


@dataclass(frozen=True)
class Plane:
    """A thin slice: centre of its first pixel and unit vectors, in head coordinates (mm)."""

    origin: Vector64
    along_columns: Vector64
    along_rows: Vector64
    pixel_mm: float
    matrix: int

    def points(self, window: Window, step: int = 1) -> SlicePoints:
        """Pixel centres inside a window, every `step`-th of them."""
        rows, columns = (np.arange(w.start, w.stop, step, dtype=np.float32) for w in window)
        down = rows[:, None] * np.float32(self.pixel_mm)
        across = columns[None, :] * np.float32(self.pixel_mm)
        x, y, z = (
            np.float32(self.origin[i])
            + down * np.float32(self.along_rows[i])
            + across * np.float32(self.along_columns[i])
            for i in range(3)
        )
        shift = window[0].start * self.along_rows + window[1].start * self.along_columns
        origin = self.origin + self.pixel_mm * shift
        return SlicePoints(
            x, y, z, origin, self.along_columns, self.along_rows, step * self.pixel_mm
        )

    def head_window(self, head: HeadRecipe) -> Window | None:
        """The pixel rectangle that holds the head, or None where the slice misses it."""
        step = max(1, self.matrix // 64)
        whole = (slice(0, self.matrix), slice(0, self.matrix))
        surfaces = surfaces_from_points(head, self.points(whole, step), None)
        near = surfaces.hull_mm > -(1.5 * head.skull_mm + 3.0 * head.scalp_mm + 10.0)
        if not near.any():
            return None
        spans = []
        for axis in (1, 0):
            hit = np.flatnonzero(near.any(axis=axis)) * step
            low = max(0, int(hit[0]) - step) // CROP_STEP * CROP_STEP
            high = -(-(int(hit[-1]) + 2 * step) // CROP_STEP) * CROP_STEP
            spans.append(slice(low, min(high, self.matrix)))
        return spans[0], spans[1]


def plane_from_layout(
    head: HeadRecipe, scanner: ScannerRecipe, layout: Layout, index: int, along_mm: float
) -> Plane:
    """The plane `along_mm` beyond the centre of slice `index`.

    The table moves along z and the gantry tilts, so slice centres lie on the z axis while the
    planes lean: rows run along (0, cos t, -sin t).
    """
    tilt = np.deg2rad(scanner.tilt_degrees)
    columns = np.array([1.0, 0.0, 0.0])
    rows = np.array([0.0, np.cos(tilt), -np.sin(tilt)])
    table = scanner.centre_z_mm + scanner.table_step_mm * (index - (layout.slices - 1) / 2)
    pixel = layout.fov_mm / layout.matrix
    half = 0.5 * pixel * (layout.matrix - 1)
    corner = np.array([0.0, 0.0, table]) + np.cross(columns, rows) * along_mm
    turn = _rotation(head.rotation_rad)
    origin = turn @ (corner - half * (columns + rows) - np.asarray(head.offset_mm))
    return Plane(origin, turn @ columns, turn @ rows, pixel, layout.matrix)


def _rotation(angles: tuple[float, float, float]) -> Vector64:
    """Rotation about x, then y, then z."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(angles), np.sin(angles)
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    turn: Vector64 = about_z @ about_y @ about_x
    return turn
