"""HU on the grid -> the rule without learning that every model has to beat.

The largest connected region that is brighter than the tissue around it, away from bone and inside
the skull; its size is the score. Nothing in it was fitted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ichcore import Grid
from ichcore.study_rules import slice_extent_mm

Float32 = NDArray[np.float32]

BRIGHTER_HU = 14.0
"""How much brighter than its background a pixel must be."""

BACKGROUND_MM = 15.0
"""Side of the square whose soft tissue is a pixel's background."""

FROM_BONE_MM = 4.0
"""Pixels this close to bone do not count: partial volume makes them bright. Gaps of the skull up
to twice this are closed."""

BONE_HU = 250.0
SOFT_TISSUE_HU = (0.0, 100.0)

NOMINAL_EXTENT_MM = 5.0
"""What a slice stands for where positions give no spacing."""


@dataclass(frozen=True)
class BaselineAreas:
    """The largest bright region: its volume in three dimensions, and on each slice its area [n]."""

    volume_ml: float
    slice_mm2: Float32


def areas_from_series(hu: NDArray[np.float16], position_mm: Float32, grid: Grid) -> BaselineAreas:
    """Score HU [n, R, C] of a series at positions [n]."""
    from scipy import ndimage

    bright = np.stack([bright_from_slice(pixels, grid.pixel_spacing_mm) for pixels in hu])
    pixel_mm2 = grid.pixel_spacing_mm**2
    extent_mm = slice_extent_mm(position_mm)
    if extent_mm is None:
        extent_mm = np.full(len(hu), NOMINAL_EXTENT_MM, dtype=np.float32)
    labels, count = ndimage.label(bright)
    voxel_ml = np.broadcast_to((extent_mm * pixel_mm2 / 1000.0)[:, None, None], labels.shape)
    volumes = ndimage.sum_labels(voxel_ml, labels, np.arange(1, count + 1))
    areas = [_largest_mm2(plane, pixel_mm2) for plane in bright]
    return BaselineAreas(float(np.max(volumes, initial=0.0)), np.asarray(areas, dtype=np.float32))


def bright_from_slice(pixels: NDArray[np.float16], spacing_mm: float) -> NDArray[np.bool_]:
    """Which pixels of one slice [R, C] count: bright, soft, inside the skull, away from bone."""
    from scipy import ndimage

    hu = np.asarray(pixels, dtype=np.float32)
    bone = hu >= BONE_HU
    if not bone.any():
        return np.zeros(hu.shape, dtype=np.bool_)
    near_bone = ndimage.distance_transform_edt(~bone) * spacing_mm <= FROM_BONE_MM
    inside = ndimage.binary_fill_holes(near_bone) & ~near_bone
    low, high = SOFT_TISSUE_HU
    soft = (hu >= low) & (hu <= high)
    side = max(3, round(BACKGROUND_MM / spacing_mm))
    share = ndimage.uniform_filter(soft.astype(np.float32), side, mode="constant")
    total = ndimage.uniform_filter(np.where(soft, hu, 0.0), side, mode="constant")
    background = total / np.maximum(share, 1e-3)
    return np.asarray(soft & inside & (hu - background > BRIGHTER_HU))


def _largest_mm2(plane: NDArray[np.bool_], pixel_mm2: float) -> float:
    from scipy import ndimage

    labels, count = ndimage.label(plane)
    if count == 0:
        return 0.0
    return float(np.bincount(labels.ravel())[1:].max() * pixel_mm2)
