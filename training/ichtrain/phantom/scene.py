"""One thin slice being painted: its points, tissue HU so far, and what every painter shares."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ichtrain.phantom.fields import Field, NoiseVolume, SlicePoints, Window, inside, upsampled
from ichtrain.phantom.options import Lesion
from ichtrain.phantom.recipe import HeadRecipe
from ichtrain.phantom.shell import BaseMaps

AIR_HU = -1000.0


@dataclass
class Scene:
    """Fields [R, C] of one sub-slice; painters change `hu` and `blood` in place."""

    head: HeadRecipe
    points: SlicePoints
    noise: NoiseVolume
    depth_mm: Field
    radius: Field
    above_floor_mm: Field
    floor_bone_mm: Field
    hu: Field
    cavity: Field
    ventricle: Field = field(init=False)
    subarachnoid: Field = field(init=False)
    blood: dict[Lesion, Field] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.ventricle = np.zeros_like(self.hu)
        self.subarachnoid = np.zeros_like(self.hu)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.hu.shape[0], self.hu.shape[1]

    def smooth_noise(
        self, scale_mm: float, key: int, radial: float = 0.0, flatten: float = 1.0
    ) -> Field:
        """Noise at every pixel, sampled at every second one.

        `radial` > 0 draws the sample points out along the radius, so that its level sets stand
        upright on the skull like sulci; `flatten` < 1 stretches it in plane like folia.
        """
        x, y, z = (c[::2, ::2] for c in (self.points.x, self.points.y, self.points.z))
        if radial:
            factor = np.clip(self.radius[::2, ::2], 0.15, 2.0) ** np.float32(-radial)
            x, y, z = x * factor, y * factor, z * factor
        coarse = self.noise.at(x * flatten, y * flatten, z, scale_mm, key)
        return upsampled(coarse, self.shape)

    def add_blood(self, kind: Lesion, membership: Field, window: Window | None = None) -> None:
        """Record blood of one subtype."""
        total = self.blood.setdefault(kind, np.zeros_like(self.hu))
        region = total if window is None else total[window]
        np.maximum(region, membership, out=region)


def scene_from_points(
    head: HeadRecipe, base: BaseMaps, noise: NoiseVolume, points: SlicePoints,
    depth_mm: Field, radius: Field,
) -> Scene:
    """An unpainted slice: air everywhere, with the cavity known."""
    floor, bone = base.at(points)
    above = points.z - floor
    cavity = inside(-depth_mm) * inside(-above)
    # The spinal canal is not intracranial: the foramen magnum ends the cavity.
    cavity *= inside(head.floor_shift_mm - 62.0 - points.z)
    hu = np.full_like(points.x, AIR_HU)
    return Scene(head, points, noise, depth_mm, radius, above, bone, hu, cavity)
