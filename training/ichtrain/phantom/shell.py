"""Points -> the cranial cavity and the outside of the skull: the atlas, scaled and warped.

Bone of the base is a thickness map over (x, y): petrous ridge, sphenoid, clivus, mastoid.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ichtrain.phantom.atlas import surface_at
from ichtrain.phantom.fields import Field, NoiseVolume, SlicePoints, upsampled
from ichtrain.phantom.recipe import HeadRecipe

_WARP_SCALE_MM = 38.0
_WARP_STEP = 16
_BASE_GAP_MM = 1.8


TABLE_HALF_MM = 130
"""The base maps cover +-130 mm at 1 mm."""


@dataclass(frozen=True)
class BaseMaps:
    """Thickness of the bone of the skull base in mm, over (y, x) at 1 mm."""

    bone_mm: Field

    def at(self, points: SlicePoints) -> Field:
        """Bone thickness at every point."""
        limit = 2 * TABLE_HALF_MM
        column = np.clip(points.x + TABLE_HALF_MM + 0.5, 0, limit).astype(np.int32)
        row = np.clip(points.y + TABLE_HALF_MM + 0.5, 0, limit).astype(np.int32)
        index = row * (limit + 1) + column
        return np.take(self.bone_mm, index)


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
    """Draw the bone of the skull base of a head."""
    axis = np.arange(-TABLE_HALF_MM, TABLE_HALF_MM + 1, dtype=float)
    y, signed_x = np.meshgrid(axis, axis, indexing="ij")
    x = np.abs(signed_x + rng.normal(0, 1.0))
    rough = ndimage.gaussian_filter(rng.standard_normal(x.shape), 5.0)
    rough *= 1.2 / rough.std()
    ridge = _ridge(x, y, (14, 2), (66, 32), 6.0)
    sphenoid = _ridge(x, y, (12, -22), (58, -36), 4.0)
    dorsum = np.exp(-((x / 8) ** 2) - ((y + 3) / 4) ** 2)
    bone = 3.0 + 2.0 * np.abs(rough) + 16.0 * ridge + 6.0 * sphenoid + 16.0 * dorsum
    bone += 10.0 * np.exp(-((x / 16) ** 2) - ((y - 4) / 12) ** 2)
    bone += 8.0 * np.exp(-(((x - 58) / 14) ** 2) - ((y - 38) / 14) ** 2)
    return BaseMaps((bone * head.skull_mm / 6.5).astype(np.float32))


@dataclass(frozen=True)
class Surfaces:
    """Depth in mm under the inner table and under the hull's surface, negative outside.

    `anatomy` are the points as the atlas knows them; `radius` is 0 in the middle, 1 at the bone.
    """

    anatomy: SlicePoints
    depth_mm: Field
    hull_mm: Field

    @property
    def radius(self) -> Field:
        """Share of the way from the middle of the head to the inner table."""
        share: Field = np.clip(1.0 - self.depth_mm / np.float32(68.0), 0.0, 1.6)
        return share


def surfaces_from_points(
    head: HeadRecipe, points: SlicePoints, noise: NoiseVolume | None
) -> Surfaces:
    """Where the points lie in the head; without `noise` the head is not warped."""
    anatomy = anatomy_from_points(head, points, noise)
    outside, hull = surface_at(anatomy)
    size = np.float32(np.mean(head.scale))
    frontal = np.clip(-0.012 * anatomy.y, 0.0, 0.7)
    gap = np.float32(head.gap_mm) * (1.0 + frontal)
    low = np.clip((-6.0 - anatomy.z) / 14.0, 0.0, 1.0)
    gap = gap + low * (np.minimum(gap, np.float32(_BASE_GAP_MM)) - gap)
    depth: Field = (gap - outside * size).astype(np.float32)
    return Surfaces(anatomy, depth, (gap - hull * size).astype(np.float32))


def anatomy_from_points(
    head: HeadRecipe, points: SlicePoints, noise: NoiseVolume | None
) -> SlicePoints:
    """Scale the head to the atlas's size and warp it smoothly."""
    moved = [
        coordinate / np.float32(scale)
        for coordinate, scale in zip((points.x, points.y, points.z), head.scale, strict=True)
    ]
    if noise is not None:
        step = min(_WARP_STEP, max(1, points.x.shape[0] // 8))
        pick = (slice(step // 2, None, step),) * 2
        coarse = [coordinate[pick] for coordinate in moved]
        for axis in range(3):
            field = noise.at(coarse[0], coarse[1], coarse[2], _WARP_SCALE_MM, key=30 + axis)
            shape = (points.x.shape[0], points.x.shape[1])
            moved[axis] = moved[axis] + np.float32(head.warp_mm) * upsampled(field, shape)
    x, y, z = moved
    return replace(points, x=x, y=y, z=z)
