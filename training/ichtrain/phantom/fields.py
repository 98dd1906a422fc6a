"""Geometry kit: points of one slice in head coordinates -> distances, soft edges, smooth noise.

Head coordinates are millimetres: x to the patient's left, y posterior, z superior, origin
near the third ventricle. Distances are negative inside a shape.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Field = npt.NDArray[np.float32]
Vector = tuple[float, float, float]
Window = tuple[slice, slice]

EDGE_MM = 1.2
"""Width of a soft edge: about one work pixel plus the blur of a soft kernel."""


def inside(distance_mm: Field, edge_mm: float | Field = EDGE_MM) -> Field:
    """Soft membership from a signed distance: 1 inside, 0 outside, a ramp `edge_mm` wide."""
    ramp: Field = np.clip(0.5 - distance_mm / edge_mm, 0.0, 1.0)
    return ramp


def blend(target: Field, membership: Field, value: float | Field) -> None:
    """Move `target` towards `value` by `membership`, in place."""
    target += membership * (value - target)


@lru_cache(maxsize=256)
def upsampling_matrix(size: int, coarse: int, cubic: bool = False) -> Field:
    """Interpolation matrix [size, coarse] for samples at centres of equal cells.

    Linear, or cubic convolution (Keys, 1981, a = -0.5); edges are repeated.
    """
    position = (np.arange(size) + 0.5) * coarse / size - 0.5
    matrix = np.zeros((size, coarse))
    base = np.floor(position).astype(int)
    for tap in range(-1, 3) if cubic else range(2):
        distance = np.abs(position - (base + tap))
        weight = _cubic_weight(distance) if cubic else 1.0 - distance
        np.add.at(matrix, (np.arange(size), np.clip(base + tap, 0, coarse - 1)), weight)
    return matrix.astype(np.float32)


def _cubic_weight(distance: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    near = (1.5 * distance - 2.5) * distance**2 + 1.0
    far = ((-0.5 * distance + 2.5) * distance - 4.0) * distance + 2.0
    return np.where(distance <= 1.0, near, np.where(distance < 2.0, far, 0.0))


def upsampled(coarse: Field, shape: tuple[int, int], cubic: bool = False) -> Field:
    """A coarse [r, c] field interpolated to `shape`."""
    rows = upsampling_matrix(shape[0], coarse.shape[0], cubic)
    columns = upsampling_matrix(shape[1], coarse.shape[1], cubic)
    result: Field = rows @ coarse @ columns.T
    return result


@dataclass(frozen=True)
class SlicePoints:
    """The pixels of one infinitely thin slice, as head coordinates [R, C]."""

    x: Field
    y: Field
    z: Field
    origin: npt.NDArray[np.float64]
    along_columns: npt.NDArray[np.float64]
    along_rows: npt.NDArray[np.float64]
    pixel_mm: float
    normal: npt.NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "normal", np.cross(self.along_columns, self.along_rows))

    def moved(self, dx: Field) -> SlicePoints:
        """The same pixels with x shifted, as displaced brain sees them."""
        return replace(self, x=self.x + dx)

    def window(self, centre: Vector, radius_mm: float) -> Window | None:
        """The pixel rectangle that a ball can touch, or None when it misses the slice."""
        offset = np.asarray(centre) - self.origin
        if abs(float(offset @ self.normal)) > radius_mm:
            return None
        spans = []
        for axis, size in (
            (self.along_rows, self.x.shape[0]),
            (self.along_columns, self.x.shape[1]),
        ):
            middle, half = float(offset @ axis) / self.pixel_mm, radius_mm / self.pixel_mm
            low, high = max(0, int(middle - half)), min(size, int(middle + half) + 2)
            if low >= high:
                return None
            spans.append(slice(low, high))
        return spans[0], spans[1]

    def at(self, window: Window) -> tuple[Field, Field, Field]:
        """Coordinates inside a window."""
        return self.x[window], self.y[window], self.z[window]


def ellipsoid_distance(
    points: SlicePoints, window: Window, centre: Vector, axes: Vector, yaw_rad: float = 0.0
) -> Field:
    """Approximate signed distance to an ellipsoid turned by `yaw_rad` about z."""
    x, y, z = points.at(window)
    dx, dy = x - centre[0], y - centre[1]
    if yaw_rad:
        cosine, sine = np.float32(np.cos(yaw_rad)), np.float32(np.sin(yaw_rad))
        dx, dy = cosine * dx + sine * dy, cosine * dy - sine * dx
    u, v, w = dx / axes[0], dy / axes[1], (z - centre[2]) / axes[2]
    radius = np.sqrt(u * u + v * v + w * w)
    # Dividing by the gradient of the radius turns it into millimetres also for flat shapes.
    gradient = np.sqrt((u / axes[0]) ** 2 + (v / axes[1]) ** 2 + (w / axes[2]) ** 2) + 1e-3
    distance: Field = radius * (radius - 1.0) / gradient
    return distance


def capsule_distance(
    points: SlicePoints, window: Window, start: Vector, end: Vector, radii: tuple[float, float]
) -> Field:
    """Signed distance to a segment whose radius changes linearly between its ends."""
    x, y, z = points.at(window)
    ax, ay, az = (end[i] - start[i] for i in range(3))
    dx, dy, dz = x - start[0], y - start[1], z - start[2]
    length2 = max(ax * ax + ay * ay + az * az, 1e-6)
    along = np.clip((dx * ax + dy * ay + dz * az) / length2, 0.0, 1.0)
    dx, dy, dz = dx - along * ax, dy - along * ay, dz - along * az
    distance: Field = np.sqrt(dx * dx + dy * dy + dz * dz) - (
        radii[0] + along * (radii[1] - radii[0])
    )
    return distance


class NoiseVolume:
    """Periodic smooth Gaussian noise in space, unit variance, sampled at any length scale."""

    size = 64
    sigma_voxels = 1.6

    def __init__(self, rng: np.random.Generator) -> None:
        white = rng.standard_normal((self.size,) * 3).astype(np.float32)
        smooth = ndimage.gaussian_filter(white, self.sigma_voxels, mode="wrap")
        self._values: Field = smooth / smooth.std()

    def at(self, x: Field, y: Field, z: Field, scale_mm: float, key: int = 0) -> Field:
        """Noise whose Gaussian kernel has sigma `scale_mm`; each `key` is another field."""
        factor = np.float32(self.sigma_voxels / scale_mm)
        shift = 0.5 + 17.3 * key
        coordinates = np.stack([x * factor + shift, y * factor - shift, z * factor + 2 * shift])
        result: Field = ndimage.map_coordinates(
            self._values, coordinates, order=1, mode="grid-wrap", output=np.float32
        )
        return result
