"""Points -> the cranial cavity: depth under the inner table, height over the skull base.

The cavity is an ellipsoid with low-order harmonics, cut from below by the skull base, which is
a height map over (x, y): anterior and middle fossa, petrous ridge, clivus, posterior fossa and
foramen magnum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ichtrain.phantom.fields import Field, SlicePoints
from ichtrain.phantom.recipe import HeadRecipe

TABLE_HALF_MM = 130
"""The base maps cover +-130 mm at 1 mm."""
FORAMEN_MM = -200.0


@dataclass(frozen=True)
class BaseMaps:
    """Height of the skull base and its bone thickness, in mm, over (y, x) at 1 mm."""

    floor_mm: Field
    bone_mm: Field

    def at(self, points: SlicePoints) -> tuple[Field, Field]:
        """Floor height and bone thickness under every point."""
        limit = 2 * TABLE_HALF_MM
        column = np.clip(points.x + TABLE_HALF_MM + 0.5, 0, limit).astype(np.int32)
        row = np.clip(points.y + TABLE_HALF_MM + 0.5, 0, limit).astype(np.int32)
        index = row * (limit + 1) + column
        return np.take(self.floor_mm, index), np.take(self.bone_mm, index)


def _ridge(
    x: npt.NDArray[np.float64],
    y: npt.NDArray[np.float64],
    start: tuple[float, float],
    end: tuple[float, float],
    width_mm: float,
) -> npt.NDArray[np.float64]:
    """A Gaussian wall along a segment: 1 on it."""
    ax, ay = end[0] - start[0], end[1] - start[1]
    along = np.clip(((x - start[0]) * ax + (y - start[1]) * ay) / (ax * ax + ay * ay), 0, 1)
    distance2 = (x - start[0] - along * ax) ** 2 + (y - start[1] - along * ay) ** 2
    wall: npt.NDArray[np.float64] = np.exp(-0.5 * distance2 / width_mm**2)
    return wall


def base_maps_from_head(head: HeadRecipe, rng: np.random.Generator) -> BaseMaps:
    """Draw the skull base of a head."""
    axis = np.arange(-TABLE_HALF_MM, TABLE_HALF_MM + 1, dtype=float)
    y, signed_x = np.meshgrid(axis, axis, indexing="ij")
    x = np.abs(signed_x + rng.normal(0, 1.0))
    rough = ndimage.gaussian_filter(rng.standard_normal(x.shape), 5.0)
    rough *= 1.2 / rough.std()
    anterior = -20.0 + 7.0 * np.exp(-(((x - 28) / 16) ** 2)) - 5.0 * np.exp(-((x / 7) ** 2))
    middle = np.where(x < 13, -24.0, -40.0 + 0.10 * (x - 35))
    posterior = -58.0 + 0.004 * (x**2 + (y - 40) ** 2)
    petrous_y = 2.0 + 0.55 * (x - 12)
    floor = np.where(y < petrous_y, middle, posterior)
    floor = np.where(y < -26 - 0.18 * (x - 30), anterior, floor)
    floor = ndimage.gaussian_filter(floor, 3.0)
    ridge = _ridge(x, y, (14, 2), (66, 32), 6.0)
    sphenoid = _ridge(x, y, (12, -22), (58, -36), 4.0)
    floor = np.maximum(floor, -62 + 40.0 * ridge * rng.uniform(0.9, 1.05))
    floor = np.maximum(floor, -45 + 27.0 * sphenoid * rng.uniform(0.9, 1.1))
    dorsum = np.exp(-((x / 8) ** 2) - ((y + 3) / 4) ** 2)
    floor = np.maximum(floor, -60 + 42.0 * dorsum)
    floor += rough + head.floor_shift_mm
    bone = 4.0 + 2.0 * np.abs(rough) + 26.0 * ridge + 6.0 * sphenoid + 26.0 * dorsum
    bone += 10.0 * np.exp(-((x / 16) ** 2) - ((y - 4) / 12) ** 2)
    bone += 8.0 * np.exp(-(((x - 58) / 14) ** 2) - ((y - 38) / 14) ** 2)
    foramen = np.hypot(x / 15.0, (y - 24.0) / 18.0) < 1.0
    floor[foramen] = FORAMEN_MM
    return BaseMaps(floor.astype(np.float32), bone.astype(np.float32))


def depth_from_points(head: HeadRecipe, points: SlicePoints) -> tuple[Field, Field]:
    """Depth in mm under the smooth inner table (negative outside), and normalised radius.

    Below the origin the vault narrows slowly, so that the sides of the skull run down.
    """
    x, y, z = points.x, points.y, points.z
    half_length = np.where(y < 0, np.float32(head.half_front_mm), np.float32(head.half_back_mm))
    half_height = np.where(z > 0, np.float32(head.height_mm), np.float32(1.75 * head.height_mm))
    u, v, w = x / np.float32(head.half_width_mm), y / half_length, z / half_height
    rho = np.sqrt(u * u + v * v + w * w) + np.float32(1e-4)
    a, b, c = u / rho, v / rho, w / rho
    h = head.harmonics.astype(np.float32)
    shape = 1.0 + np.float32(head.squareness) * a * a * b * b + h[0] * a * b + h[1] * a * c
    shape += h[2] * b * c + h[3] * b * (b * b - 3 * a * a) + h[4] * a * (a * a - 3 * b * b)
    shape += 2 * h[5] * (a * a - b * b) * c + h[6] * (1 - 2 * b * b)
    # Egg shape: the widest place lies behind the middle.
    shape -= 0.06 * a * a * np.clip(-b, 0, 1)
    zs = w * np.float32(head.height_mm)
    scale = np.sqrt(x * x + y * y + zs * zs) / rho
    depth: Field = (shape - rho) * scale
    radius: Field = rho / shape
    return depth, radius
