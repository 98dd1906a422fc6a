"""Seed -> recipe of one head: every random choice of the anatomy, drawn once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

HARMONICS = 7


@dataclass(frozen=True)
class HeadRecipe:
    """Anatomy of one head; lengths in mm, densities in HU, angles in radians."""

    half_width_mm: float
    half_front_mm: float
    half_back_mm: float
    height_mm: float
    squareness: float
    harmonics: npt.NDArray[np.float64]
    skull_mm: float
    table_mm: float
    scalp_mm: float
    atrophy: float
    gap_mm: float
    sulcus_mm: float
    sulcus_depth_mm: float
    sulcus_scale_mm: float
    cortex_mm: float
    ventricle_scale: float
    ventricle_asymmetry: float
    csf_hu: float
    grey_hu: float
    white_hu: float
    falx_hu: float
    falx_mm: float
    sinus_hu: float
    bone_hu: float
    diploe_hu: float
    muscle_hu: float
    fat_hu: float
    leukoaraiosis_hu: float
    tent_apex_mm: float
    floor_shift_mm: float
    frontal_sinus: float
    mastoid_air: float
    falx_calcified: bool
    pineal_calcified: bool
    choroid_calcified: bool
    basal_ganglia_calcified: bool
    midline_wobble_mm: float
    infarct_mm: float
    infarct_centre_mm: tuple[float, float, float]
    rotation_rad: tuple[float, float, float]
    offset_mm: tuple[float, float, float]


def head_from_rng(rng: np.random.Generator, calcification: bool | None) -> HeadRecipe:
    """Draw one head; `calcification` forces (True) or forbids (False) calcified structures."""
    size = rng.normal(1.0, 0.03)
    atrophy = float(rng.beta(1.3, 2.0))
    grey = rng.normal(36.5, 1.8)
    contrast = rng.uniform(5.0, 9.5)

    def calcified(probability: float) -> bool:
        drawn = bool(rng.random() < probability)
        return drawn if calcification is None else calcification and (drawn or probability > 0.3)

    return HeadRecipe(
        half_width_mm=size * rng.normal(66.0, 2.5),
        half_front_mm=size * rng.normal(82.0, 3.0),
        half_back_mm=size * rng.normal(86.0, 3.5),
        height_mm=size * rng.normal(79.0, 3.0),
        squareness=rng.uniform(0.05, 0.45),
        harmonics=rng.normal(0.0, 0.011, HARMONICS) * (0.5, 0.7, 1, 1, 0.5, 1, 1),
        skull_mm=float(np.clip(rng.normal(6.5, 1.3), 3.5, 11.0)),
        table_mm=rng.uniform(1.3, 2.2),
        scalp_mm=rng.uniform(3.0, 7.0),
        atrophy=atrophy,
        gap_mm=0.1 + 2.4 * atrophy * rng.uniform(0.6, 1.2),
        sulcus_mm=0.3 + 1.25 * atrophy * rng.uniform(0.6, 1.2),
        sulcus_depth_mm=rng.uniform(15.0, 26.0),
        sulcus_scale_mm=rng.uniform(3.6, 5.2),
        cortex_mm=rng.uniform(2.8, 4.4),
        ventricle_scale=float(np.clip(0.6 + 0.9 * atrophy + rng.normal(0, 0.15), 0.4, 2.0)),
        ventricle_asymmetry=float(np.clip(rng.normal(0.0, 0.1), -0.3, 0.3)),
        csf_hu=rng.uniform(1.0, 11.0),
        grey_hu=grey,
        white_hu=grey - contrast,
        falx_hu=rng.uniform(42.0, 62.0),
        falx_mm=rng.uniform(0.8, 2.0),
        sinus_hu=float(np.clip(rng.normal(55.0, 6.0), 42.0, 72.0)),
        bone_hu=rng.uniform(1100.0, 1800.0),
        diploe_hu=rng.uniform(350.0, 900.0),
        muscle_hu=rng.uniform(48.0, 62.0),
        fat_hu=rng.uniform(-110.0, -80.0),
        leukoaraiosis_hu=float(rng.random() < 0.5) * rng.uniform(2.0, 8.0) * (0.3 + atrophy),
        tent_apex_mm=rng.normal(6.0, 3.0),
        floor_shift_mm=rng.normal(0.0, 3.0),
        frontal_sinus=rng.uniform(0.0, 1.3),
        mastoid_air=rng.uniform(0.2, 1.0),
        falx_calcified=calcified(0.15),
        pineal_calcified=calcified(0.5),
        choroid_calcified=calcified(0.5),
        basal_ganglia_calcified=calcified(0.12),
        midline_wobble_mm=rng.normal(0.0, 1.2),
        infarct_mm=rng.uniform(6.0, 20.0) if rng.random() < 0.2 else 0.0,
        infarct_centre_mm=tuple((rng.uniform(-1, 1, 3) * (52.0, 60.0, 30.0) + (0, 0, 20)).tolist()),
        rotation_rad=tuple(np.deg2rad(rng.normal(0.0, (4.0, 3.0, 4.0))).tolist()),
        offset_mm=tuple(rng.normal(0.0, (5.0, 6.0, 4.0)).tolist()),
    )
