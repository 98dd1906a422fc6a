"""Seed -> recipe of one head: every random choice of the anatomy, drawn once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class HeadRecipe:
    """Anatomy of one head; lengths in mm, densities in HU, angles in radians."""

    scale: tuple[float, float, float]
    warp_mm: float
    skull_mm: float
    table_mm: float
    scalp_mm: float
    atrophy: float
    gap_mm: float
    sulcus_mm: float
    sulcus_depth_mm: float
    sulcus_scale_mm: float
    tissue_share: float
    ventricle_mm: float
    ventricle_asymmetry_mm: float
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
    frontal_sinus: float
    mastoid_air: float
    falx_calcified: bool
    pineal_calcified: bool
    choroid_calcified: bool
    basal_ganglia_calcified: bool
    midline_wobble_mm: float
    vessel_hu: float
    vessel_scale: float
    vessels_calcified: bool
    craniotomy_radius: float
    craniotomy_direction: tuple[float, float, float]
    craniotomy_hu: float
    infarct_mm: float
    infarct_share: float
    infarct_centre_mm: tuple[float, float, float]
    rotation_rad: tuple[float, float, float]
    offset_mm: tuple[float, float, float]


def head_from_rng(rng: np.random.Generator, calcification: bool | None) -> HeadRecipe:
    """Draw one head; `calcification` forces (True) or forbids (False) calcified structures."""
    size = rng.normal(0.93, 0.03)
    atrophy = float(rng.beta(1.3, 2.0))
    grey = rng.normal(36.5, 2.0)
    contrast = rng.uniform(3.5, 10.0)

    def calcified(probability: float) -> bool:
        drawn = bool(rng.random() < probability)
        return drawn if calcification is None else calcification and (drawn or probability > 0.3)

    return HeadRecipe(
        scale=tuple((size * rng.normal(1.0, 0.035, 3)).tolist()),
        warp_mm=rng.uniform(1.0, 4.0),
        skull_mm=float(np.clip(rng.normal(6.5, 1.3), 3.5, 11.0)),
        table_mm=rng.uniform(1.3, 2.2),
        scalp_mm=rng.uniform(3.0, 7.0),
        atrophy=atrophy,
        gap_mm=0.2 + 4.0 * atrophy**1.5 * rng.uniform(0.6, 1.2),
        sulcus_mm=0.1 + 1.2 * atrophy * rng.uniform(0.5, 1.2),
        sulcus_depth_mm=rng.uniform(15.0, 26.0),
        sulcus_scale_mm=rng.uniform(3.6, 5.2),
        tissue_share=float(np.clip(0.35 + 0.4 * atrophy + rng.normal(0.0, 0.08), 0.2, 0.8)),
        ventricle_mm=float(np.clip(-1.5 + 5.5 * atrophy + rng.normal(0.0, 1.0), -2.5, 7.0)),
        ventricle_asymmetry_mm=float(rng.normal(0.0, 0.6)),
        csf_hu=rng.uniform(1.0, 11.0),
        grey_hu=grey,
        white_hu=grey - contrast,
        falx_hu=rng.uniform(40.0, 66.0),
        falx_mm=rng.uniform(0.8, 2.6),
        sinus_hu=float(np.clip(rng.normal(55.0, 6.0), 42.0, 72.0)),
        bone_hu=rng.uniform(1100.0, 1800.0),
        diploe_hu=rng.uniform(350.0, 900.0),
        muscle_hu=rng.uniform(48.0, 62.0),
        fat_hu=rng.uniform(-110.0, -80.0),
        leukoaraiosis_hu=float(rng.random() < 0.5) * rng.uniform(2.0, 8.0) * (0.3 + atrophy),
        tent_apex_mm=rng.normal(2.0, 1.5),
        frontal_sinus=rng.uniform(0.0, 1.3),
        mastoid_air=rng.uniform(0.2, 1.0),
        falx_calcified=calcified(0.15),
        pineal_calcified=calcified(0.5),
        choroid_calcified=calcified(0.5),
        basal_ganglia_calcified=calcified(0.12),
        midline_wobble_mm=rng.normal(0.0, 1.2),
        vessel_hu=rng.uniform(36.0, 56.0),
        vessel_scale=rng.uniform(0.7, 1.4),
        vessels_calcified=calcified(0.25),
        craniotomy_radius=rng.uniform(0.12, 0.5) if rng.random() < 0.12 else 0.0,
        craniotomy_direction=_upward(rng),
        craniotomy_hu=float(rng.choice((-60.0, 40.0, 900.0))),
        infarct_share=rng.uniform(0.15, 0.8),
        infarct_mm=rng.uniform(6.0, 24.0) if rng.random() < 0.25 else 0.0,
        infarct_centre_mm=tuple((rng.uniform(-1, 1, 3) * (52.0, 60.0, 30.0) + (0, 0, 20)).tolist()),
        rotation_rad=tuple(np.deg2rad(rng.normal(0.0, (7.0, 4.0, 5.0))).tolist()),
        offset_mm=tuple(rng.normal(0.0, (5.0, 6.0, 4.0)).tolist()),
    )


def _upward(rng: np.random.Generator) -> tuple[float, float, float]:
    """A direction on the upper half of the skull."""
    azimuth, elevation = rng.uniform(-np.pi, np.pi), rng.uniform(0.0, 1.0)
    return (
        float(np.cos(elevation) * np.cos(azimuth)),
        float(np.cos(elevation) * np.sin(azimuth)),
        float(np.sin(elevation)),
    )
