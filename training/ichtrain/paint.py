"""A head CT without blood -> the same with a painted bleed of a wanted volume.

For judging weights on the pixels of a real scanner: the bleed keeps the scan's own noise, is
blurred like anything of its size, and lies where its subtype lies. Never for training.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ichtrain.data import SUBTYPES
from ichtrain.errors import DataError

_BONE_HU = 180.0
_SOFT_HU = (-15.0, 95.0)
_FLUID_HU = 18.0
_EDGE_PIXELS = 0.8
_LEAST_BRAIN_MM2 = 3000.0

Volume = NDArray[np.float32]
Inside = NDArray[np.bool_]


@dataclass(frozen=True)
class Head:
    """HU [n, R, C] with what is needed to place blood: spacings in mm, the inside of the skull."""

    hu: Volume
    pixel_spacing_mm: float
    extent_mm: NDArray[np.float32]
    inside: Inside

    @property
    def voxel_ml(self) -> Volume:
        """Volume of a voxel of each slice, [n, 1, 1]."""
        ml = self.extent_mm * np.float32(self.pixel_spacing_mm**2 / 1000.0)
        return np.asarray(ml[:, None, None], dtype=np.float32)


def head_from_hu(hu: Volume, pixel_spacing_mm: float, extent_mm: NDArray[np.float32]) -> Head:
    """Find the inside of the skull slice by slice: soft tissue that bone encloses.

    Slices whose enclosed soft tissue is under 30 cm2 count as outside. Raises `DataError` where
    none is left.
    """
    inside = np.stack([_enclosed(one) for one in hu])
    inside &= inside.sum(axis=(1, 2), keepdims=True) * pixel_spacing_mm**2 >= _LEAST_BRAIN_MM2
    if not inside.any():
        raise DataError("No slice shows soft tissue enclosed by bone, so no blood can be painted.")
    return Head(np.asarray(hu, dtype=np.float32), pixel_spacing_mm, extent_mm, inside)


def painted(
    head: Head, subtype: str, volume_ml: float, blood_hu: float, rng: np.random.Generator
) -> tuple[Volume, Volume]:
    """HU and share of blood [n, R, C] of a bleed of one subtype.

    The place is drawn; its reach grows until the volume is reached, within a tenth or as far as
    the space for it allows.
    """
    if subtype not in SUBTYPES:
        raise DataError(f"subtype is '{subtype}': choose one of {', '.join(SUBTYPES)}.")
    order, room = _ORDER[subtype](head, rng)
    ranked = np.where(room, order, np.inf)
    voxel_ml = np.broadcast_to(head.voxel_ml, ranked.shape)
    sequence = np.argsort(ranked, axis=None)
    total = np.cumsum(voxel_ml.ravel()[sequence])
    reach = ranked.ravel()[sequence[min(int(np.searchsorted(total, volume_ml)), room.sum() - 1)]]
    share = np.stack(
        [ndimage.gaussian_filter(one.astype(np.float32), _EDGE_PIXELS) for one in ranked <= reach]
    )
    share *= head.inside
    calm = np.stack([ndimage.gaussian_filter(one, 1.5) for one in np.clip(head.hu, 0.0, 60.0)])
    return head.hu + share * (np.float32(blood_hu) - calm), share


def _enclosed(hu: Volume) -> Inside:
    bone = ndimage.binary_closing(hu > _BONE_HU, iterations=3)
    filled = ndimage.binary_fill_holes(bone)
    soft = filled & ~bone & (hu > _SOFT_HU[0]) & (hu < _SOFT_HU[1])
    soft = ndimage.binary_opening(soft, iterations=2)
    label, count = ndimage.label(soft)
    if count == 0:
        return np.zeros_like(soft)
    largest = 1 + int(np.argmax(ndimage.sum(soft, label, range(1, count + 1))))
    return np.asarray(ndimage.binary_fill_holes(ndimage.binary_dilation(label == largest)))


def _places(head: Head) -> tuple[Volume, Volume, Volume]:
    """Millimetres right to left, front to back and upwards from the middle of the inside."""
    up = np.cumsum(head.extent_mm) - head.extent_mm / 2
    z, y, x = np.nonzero(head.inside)
    middle = np.median(y), np.median(x)
    rows, columns = (np.arange(size, dtype=np.float32) for size in head.hu.shape[1:])
    down = (rows - middle[0])[None, :, None] * np.float32(head.pixel_spacing_mm)
    across = (columns - middle[1])[None, None, :] * np.float32(head.pixel_spacing_mm)
    height = (up - np.median(up[z])).astype(np.float32)[:, None, None]
    return across, down, height


def _depth_mm(head: Head) -> Volume:
    """Distance to the bone within each slice."""
    depth = [ndimage.distance_transform_edt(one) for one in head.inside]
    return np.asarray(np.stack(depth) * head.pixel_spacing_mm, dtype=np.float32)


def _sheet(head: Head, rng: np.random.Generator, reach_mm: float) -> tuple[Volume, Inside]:
    """A layer under the bone: deepest in its middle, thinning over `reach_mm` along the skull."""
    across, down, height = _places(head)
    side = rng.choice((-1.0, 1.0))
    centre = side * 55.0, rng.uniform(-25.0, 35.0), rng.uniform(0.0, 25.0)
    away = np.sqrt((across - centre[0]) ** 2 + (down - centre[1]) ** 2 + (height - centre[2]) ** 2)
    depth = _depth_mm(head)
    order = depth / np.float32(10.0) + (away / np.float32(reach_mm)) ** 2
    room = head.inside & (side * across > 3.0) & (head.hu < _SOFT_HU[1])
    return np.asarray(order, np.float32), room


def _subdural(head: Head, rng: np.random.Generator) -> tuple[Volume, Inside]:
    return _sheet(head, rng, 38.0)


def _epidural(head: Head, rng: np.random.Generator) -> tuple[Volume, Inside]:
    return _sheet(head, rng, 22.0)


def _subarachnoid(head: Head, rng: np.random.Generator) -> tuple[Volume, Inside]:
    across, down, height = _places(head)
    side = rng.choice((-1.0, 1.0))
    centre = side * 35.0, rng.uniform(-30.0, 20.0), rng.uniform(-15.0, 15.0)
    away = np.sqrt((across - centre[0]) ** 2 + (down - centre[1]) ** 2 + (height - centre[2]) ** 2)
    calm = np.stack([ndimage.gaussian_filter(one, 1.0) for one in np.clip(head.hu, -20.0, 60.0)])
    surface = _depth_mm(head) < 22.0
    room = head.inside & (calm < _FLUID_HU + 6.0) & surface
    return np.broadcast_to(away, room.shape).astype(np.float32), room


def _intraparenchymal(head: Head, rng: np.random.Generator) -> tuple[Volume, Inside]:
    across, down, height = _places(head)
    side = rng.choice((-1.0, 1.0))
    centre = side * rng.uniform(18.0, 40.0), rng.uniform(-35.0, 35.0), rng.uniform(-5.0, 25.0)
    axes = rng.uniform(0.8, 1.25, 3)
    away = np.sqrt(
        ((across - centre[0]) / axes[0]) ** 2
        + ((down - centre[1]) / axes[1]) ** 2
        + ((height - centre[2]) / axes[2]) ** 2
    )
    room = head.inside & (_depth_mm(head) > 3.0)
    return np.broadcast_to(away, room.shape).astype(np.float32), room


def _intraventricular(head: Head, rng: np.random.Generator) -> tuple[Volume, Inside]:
    """From the back of the ventricles forwards, as blood settles in a patient who lies."""
    _, down, height = _places(head)
    calm = np.stack([ndimage.gaussian_filter(one, 1.0) for one in np.clip(head.hu, -20.0, 60.0)])
    room = head.inside & (calm < _FLUID_HU) & (_depth_mm(head) > 25.0)
    order = -down + np.float32(0.2) * np.abs(height) + np.float32(rng.uniform(0.0, 2.0))
    return np.broadcast_to(order, room.shape).astype(np.float32), room


_ORDER = {
    "sdh": _subdural,
    "sah": _subarachnoid,
    "edh": _epidural,
    "iph": _intraparenchymal,
    "ivh": _intraventricular,
}
"""How blood of each subtype spreads: the order in which voxels fill, and where it may be."""
