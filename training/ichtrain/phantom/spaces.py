"""Scene and mass effect -> what lies where inside the skull: tissue, fluid, falx, tentorium."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ichtrain.phantom.atlas import Sampled, tissue_at
from ichtrain.phantom.fields import Field, SlicePoints, inside
from ichtrain.phantom.scene import Scene

_EDGE_SHARE = 0.3
"""Range of tissue shares over which the averaged atlas turns from fluid to tissue."""

_PUSH_MM = 28.0
"""Depth over which brain gives way to blood that presses on it."""


@dataclass(frozen=True)
class Spaces:
    """Fields [R, C] that say what lies where; distances in mm, the rest memberships.

    `brain`: the points as displaced brain sees them, in the atlas's frame.
    """

    brain: SlicePoints
    tissue: Sampled
    midline_mm: Field
    tent_mm: Field
    falx_zone: Field
    infratentorial: Field
    parenchyma: Field


def spaces_from_scene(scene: Scene, sheet_mm: Field, shift_mm: Field, wide_mm: Field) -> Spaces:
    """Lay out the inside of the skull, and set the scene's ventricle and subarachnoid space.

    sheet_mm: thickness of blood between inner table and brain; shift_mm: displacement of the
    brain along x; wide_mm: extra half width of sulci (blood opens them).
    """
    brain = _displaced(scene, sheet_mm, shift_mm)
    tissue = tissue_at(brain)
    midline = np.abs(brain.x + _wobble(scene))
    tent_mm, infratentorial = _tentorium(scene, brain, midline)
    # Pressure closes the sulci beneath it, so less of the averaged tissue reads as fluid.
    effaced = np.clip(sheet_mm / 6.0, 0.0, 0.25)
    share = tissue.grey + tissue.white + 0.5 * effaced - 0.12 * wide_mm
    parenchyma = np.clip((share - scene.head.tissue_share) / _EDGE_SHARE + 0.5, 0.0, 1.0)
    room = scene.depth_mm - sheet_mm
    parenchyma = parenchyma * inside(0.8 - room) * inside(-_sulci(scene, tissue, effaced, wide_mm))
    grow = scene.head.ventricle_mm + scene.head.ventricle_asymmetry_mm * np.sign(brain.x)
    scene.ventricle = inside(tissue.ventricle_mm - grow) * scene.cavity
    parenchyma = parenchyma * (1.0 - scene.ventricle)
    scene.subarachnoid = scene.cavity * np.clip(1.0 - parenchyma - scene.ventricle, 0.0, 1.0)
    zone = _falx_zone(brain, tent_mm)
    return Spaces(brain, tissue, midline, tent_mm, zone, infratentorial, parenchyma)


def _displaced(scene: Scene, sheet_mm: Field, shift_mm: Field) -> SlicePoints:
    """Brain that a sheet pushes inwards and a haematoma pushes sideways, as the atlas knows it."""
    anatomy = scene.anatomy
    if not (float(sheet_mm.max()) > 0.0 or float(np.abs(shift_mm).max()) > 0.0):
        return anatomy
    length = np.sqrt(anatomy.x**2 + anatomy.y**2 + anatomy.z**2) + np.float32(1.0)
    room = np.clip(scene.depth_mm - sheet_mm, 0.0, None)
    push = sheet_mm * np.exp(-room / np.float32(_PUSH_MM)) / length
    return replace(
        anatomy,
        x=anatomy.x * (1.0 + push) - shift_mm,
        y=anatomy.y * (1.0 + push),
        z=anatomy.z * (1.0 + push),
    )


def _wobble(scene: Scene) -> Field:
    y = scene.points.y
    wobble: Field = scene.head.midline_wobble_mm * np.sin(y * np.float32(0.035))
    return wobble


def _tentorium(scene: Scene, brain: SlicePoints, midline: Field) -> tuple[Field, Field]:
    """Signed height over the tentorium and membership of the posterior fossa."""
    apex = scene.head.tent_apex_mm
    height = apex - 0.48 * midline - 0.45 * np.maximum(brain.y - 25.0, 0.0)
    above = brain.z - height
    behind = brain.y - (2.0 + 0.55 * (midline - 12.0))
    return above, inside(above) * inside(-behind)


def _falx_zone(brain: SlicePoints, tent_mm: Field) -> Field:
    """Where the falx hangs: above an arc over the corpus callosum, above the tentorium."""
    arc = np.sqrt(((brain.y - 2.0) / 50.0) ** 2 + ((brain.z - 6.0) / 34.0) ** 2)
    zone: Field = inside((1.0 - arc) * 30.0, 3.0) * inside(-tent_mm) * inside(-(brain.z + 18.0))
    return zone


def _sulci(scene: Scene, tissue: Sampled, effaced: Field, wide_mm: Field) -> Field:
    """Signed distance to sulci of this one head: noise level sets that stand on the surface.

    The atlas's own sulci are averages; these give each head sharp ones besides.
    """
    head = scene.head
    slow = scene.smooth_noise(13.0, key=7)
    below_mm = np.maximum(-tissue.outside_mm, 0.0)
    reach = head.sulcus_depth_mm * (0.75 + 0.35 * slow)
    taper = np.clip(1.1 - 0.5 * below_mm / head.sulcus_depth_mm, 0.3, 1.1)
    half_width = (head.sulcus_mm * (0.9 + 0.4 * slow) - 0.3) * taper * (1.0 - 3.0 * effaced)
    sheet = scene.level_set_mm(head.sulcus_scale_mm, key=6, radial=0.8)
    deep = np.maximum(below_mm - reach, -4.0 - scene.anatomy.z)
    distance: Field = np.maximum(sheet - half_width - 0.4 * wide_mm, deep).astype(np.float32)
    return distance
