"""One thin slice being painted: its points, tissue HU so far, and what every painter shares."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ichtrain.phantom.fields import Field, NoiseVolume, SlicePoints, Window, inside, upsampled
from ichtrain.phantom.options import Lesion
from ichtrain.phantom.recipe import HeadRecipe
from ichtrain.phantom.shell import BaseMaps, Surfaces, surfaces_from_points

AIR_HU = -1000.0
FORAMEN_MM = -62.0


@dataclass
class Scene:
    """Fields [R, C] of one sub-slice; painters change `hu` and `blood` in place."""

    head: HeadRecipe
    points: SlicePoints
    noise: NoiseVolume
    surfaces: Surfaces
    base_bone_mm: Field
    hu: Field
    cavity: Field
    ventricle: Field = field(init=False)
    subarachnoid: Field = field(init=False)
    blood: dict[Lesion, Field] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.ventricle = np.zeros_like(self.hu)
        self.subarachnoid = np.zeros_like(self.hu)

    @property
    def anatomy(self) -> SlicePoints:
        """The points as the atlas knows them."""
        return self.surfaces.anatomy

    @property
    def depth_mm(self) -> Field:
        """Depth under the inner table, negative outside."""
        return self.surfaces.depth_mm

    @property
    def radius(self) -> Field:
        """0 in the middle of the head, 1 at the inner table."""
        return self.surfaces.radius

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.hu.shape[0], self.hu.shape[1]

    def _coarse_points(self, scale_mm: float, radial: float) -> tuple[Field, Field, Field]:
        """Sample points as far apart as noise of this scale allows."""
        step = 1
        while step < 8 and 2.2 * step * self.points.pixel_mm <= scale_mm:
            step *= 2
        pick = (slice(step // 2, None, step),) * 2
        x, y, z = (c[pick] for c in (self.points.x, self.points.y, self.points.z))
        if radial:
            factor = np.clip(self.radius[pick], 0.15, 2.0) ** np.float32(-radial)
            x, y, z = x * factor, y * factor, z * factor
        return x, y, z

    def smooth_noise(self, scale_mm: float, key: int, flatten: float = 1.0) -> Field:
        """Noise of unit variance at every pixel; `flatten` < 1 stretches it in plane."""
        x, y, z = self._coarse_points(scale_mm, 0.0)
        return upsampled(self.noise.at(x * flatten, y * flatten, z, scale_mm, key), self.shape)

    def level_set_mm(self, scale_mm: float, key: int, radial: float) -> Field:
        """Distance to the zero level set of noise: folded sheets.

        `radial` > 0 draws the sample points out along the radius, so that the sheets stand
        upright on the skull, as sulci do.
        """
        coarse = self.noise.at(*self._coarse_points(scale_mm, radial), scale_mm, key)
        step_mm = self.points.pixel_mm * self.shape[0] / coarse.shape[0]
        down, across = np.gradient(coarse, np.float32(step_mm))
        # In-plane slope plus a share for the slope across the slice.
        slope = np.sqrt(down**2 + across**2 + np.float32(0.3 / scale_mm**2))
        value = np.abs(upsampled(coarse, self.shape))
        distance: Field = value / upsampled(slope, self.shape)
        return distance

    def add_blood(self, kind: Lesion, membership: Field, window: Window | None = None) -> None:
        """Record blood of one subtype."""
        total = self.blood.setdefault(kind, np.zeros_like(self.hu))
        region = total if window is None else total[window]
        np.maximum(region, membership, out=region)


def scene_from_points(
    head: HeadRecipe, base: BaseMaps, noise: NoiseVolume, points: SlicePoints
) -> Scene:
    """An unpainted slice: air everywhere, with the cavity known."""
    surfaces = surfaces_from_points(head, points, noise)
    # The spinal canal is not intracranial: the foramen magnum ends the cavity.
    cavity = inside(-surfaces.depth_mm) * inside(FORAMEN_MM - surfaces.anatomy.z)
    hu = np.full_like(points.x, AIR_HU)
    return Scene(head, points, noise, surfaces, base.at(points), hu, cavity)
