"""Scene -> spaces inside the skull: where brain, ventricles, cisterns and sulci lie."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ichtrain.phantom.fields import (
    Field,
    SlicePoints,
    Vector,
    capsule_distance,
    ellipsoid_distance,
    inside,
)
from ichtrain.phantom.scene import Scene

FAR = np.float32(60.0)

_STEM: tuple[tuple[Vector, Vector, tuple[float, float]], ...] = (
    ((0.0, 8.0, 0.0), (0.0, 7.0, -12.0), (14.0, 14.0)),
    ((0.0, 7.0, -16.0), (0.0, 8.0, -32.0), (13.5, 13.0)),
    ((0.0, 11.0, -36.0), (0.0, 20.0, -75.0), (8.0, 7.0)),
)
_CISTERNS: tuple[tuple[Vector, Vector, tuple[float, float]], ...] = (
    ((0.0, -14.0, -18.0), (0.0, -6.0, -14.0), (6.0, 6.0)),
    ((4.0, -14.0, -17.0), (24.0, -16.0, -12.0), (2.6, 1.6)),
    ((0.0, 26.0, -2.0), (0.0, 30.0, 4.0), (4.5, 3.0)),
    ((0.0, 40.0, -58.0), (0.0, 48.0, -54.0), (7.0, 4.0)),
)


@dataclass(frozen=True)
class Spaces:
    """Fields [R, C] that say what lies where; distances in mm, the rest memberships.

    brain: the points as displaced brain sees them. surface_mm: depth of brain under the nearest
    surface, sulci included.
    """

    brain: SlicePoints
    midline_mm: Field
    tent_mm: Field
    falx_zone: Field
    infratentorial: Field
    surface_mm: Field
    parenchyma: Field


def spaces_from_scene(scene: Scene, sheet_mm: Field, shift_mm: Field, wide_mm: Field) -> Spaces:
    """Lay out the inside of the skull, and set the scene's ventricle and subarachnoid space.

    sheet_mm: thickness of blood between inner table and brain; shift_mm: displacement of the
    brain along x; wide_mm: extra half width of sulci (blood opens them).
    """
    brain = scene.points.moved(-shift_mm)
    head = scene.head
    midline = np.abs(brain.x + _wobble(scene))
    tent_mm, infratentorial = _tentorium(scene, brain, midline)
    falx_zone = _falx_zone(brain, tent_mm)
    frontal = np.clip(-0.02 * brain.y, 0.0, 0.5)
    gap = np.maximum(head.gap_mm * (1.0 + frontal), sheet_mm)
    pial = np.minimum(scene.depth_mm - gap, scene.above_floor_mm - 0.8)
    fissure = midline - (0.5 * head.falx_mm + 0.4 * head.gap_mm) + 30.0 * (1.0 - falx_zone)
    pial = np.minimum(pial, fissure)
    sulcus = _sulci(scene, pial, infratentorial, wide_mm)
    sulcus = np.minimum(sulcus, _fissures(scene, brain, wide_mm))
    parenchyma = inside(-pial) * inside(-sulcus)
    parenchyma *= 1.0 - _cisterns(scene, brain, wide_mm)
    scene.ventricle = _ventricles(scene, brain) * scene.cavity
    parenchyma *= 1.0 - scene.ventricle
    scene.subarachnoid = scene.cavity * np.clip(1.0 - parenchyma - scene.ventricle, 0.0, 1.0)
    surface = np.minimum(pial, sulcus)
    return Spaces(brain, midline, tent_mm, falx_zone, infratentorial, surface, parenchyma)


def _wobble(scene: Scene) -> Field:
    y = scene.points.y
    wobble: Field = scene.head.midline_wobble_mm * np.sin(y * np.float32(0.035))
    return wobble


def _tentorium(scene: Scene, brain: SlicePoints, midline: Field) -> tuple[Field, Field]:
    """Signed height over the tentorium and membership of the posterior fossa."""
    height = scene.head.tent_apex_mm - 0.42 * midline - 0.28 * np.maximum(brain.y - 22.0, 0.0)
    above = brain.z - height
    behind = brain.y - (2.0 + 0.55 * (midline - 12.0))
    return above, inside(above) * inside(-behind)


def _falx_zone(brain: SlicePoints, tent_mm: Field) -> Field:
    """Where the falx hangs: above an arc over the corpus callosum, above the tentorium."""
    arc = np.sqrt(((brain.y - 2.0) / 50.0) ** 2 + ((brain.z - 6.0) / 34.0) ** 2)
    zone: Field = inside((1.0 - arc) * 30.0, 3.0) * inside(-tent_mm) * inside(-(brain.z + 18.0))
    return zone


def _sulci(scene: Scene, pial: Field, infratentorial: Field, wide_mm: Field) -> Field:
    """Signed distance to the sulci: noise level sets that stand upright on the surface."""
    head = scene.head
    slow = scene.smooth_noise(13.0, key=7)
    reach = head.sulcus_depth_mm * (0.75 + 0.35 * slow)
    taper = np.clip(1.1 - 0.5 * pial / head.sulcus_depth_mm, 0.3, 1.1)
    half_width = (head.sulcus_mm * (0.9 + 0.4 * slow) - 0.25) * taper + wide_mm
    sheet = scene.level_set_mm(head.sulcus_scale_mm, key=6, radial=0.8)
    distance = np.maximum(sheet - half_width, pial - reach)
    if float(infratentorial.max()) > 0.0:
        folia = scene.smooth_noise(2.4, key=8, flatten=0.45)
        fine = np.abs(folia) * 2.4 - 0.5 * half_width + 0.5
        distance = distance + infratentorial * (fine - distance)
    result: Field = distance
    return result


def _fissures(scene: Scene, brain: SlicePoints, wide_mm: Field) -> Field:
    """Signed distance to the Sylvian fissures and the insular cisterns."""
    head = scene.head
    distance = np.full_like(scene.hu, FAR)
    thick = 0.6 + 0.9 * head.gap_mm
    for side in (-1.0, 1.0):
        for centre, axes, yaw in (
            ((side * 38.0, -4.0, 4.0), (thick, 19.0, 13.0), side * 0.12),
            ((side * 49.0, -15.0, -1.0), (15.0, thick, 12.0), side * 0.3),
            ((side * 50.0, 12.0, 12.0), (14.0, thick, 9.0), -side * 0.35),
        ):
            window = brain.window(centre, max(axes) + 14.0)
            if window is not None:
                part = ellipsoid_distance(brain, window, centre, axes, yaw) - wide_mm[window]
                np.minimum(distance[window], part, out=distance[window])
    return distance


def _cisterns(scene: Scene, brain: SlicePoints, wide_mm: Field) -> Field:
    """Membership of the basal cisterns: round the brainstem, suprasellar, quadrigeminal."""
    head = scene.head
    cistern = np.zeros_like(scene.hu)
    if float(brain.z.min()) > 14.0:
        return cistern
    stem = np.full_like(scene.hu, FAR)
    for start, end, radii in _STEM:
        window = brain.window(start, 70.0)
        if window is not None:
            part = capsule_distance(brain, window, start, end, radii)
            np.minimum(stem[window], part, out=stem[window])
    ragged = scene.smooth_noise(5.0, key=11)
    stem += 1.2 * ragged
    width = np.maximum(0.4 + 0.8 * head.gap_mm + 0.9 * ragged, 0.0) + wide_mm
    round_stem = inside(-stem) * inside(stem - width)
    midbrain = inside(np.abs(brain.z + 9.0) - 4.5, 4.0)
    front = inside(brain.y - 9.0, 4.0) * inside(brain.z + 6.0, 3.0)
    cistern = round_stem * np.maximum(midbrain, front)
    prepontine = inside(-stem) * inside(np.abs(brain.x) - 16.0)
    prepontine *= inside(np.abs(brain.y + 3.0) - 9.0)
    cistern = np.maximum(cistern, prepontine * inside(brain.z + 14.0, 3.0))
    for side in (-1.0, 1.0):
        for start, end, radii in _CISTERNS:
            start, end = (side * start[0], *start[1:]), (side * end[0], *end[1:])
            window = brain.window(start, 46.0)
            if window is not None:
                part = capsule_distance(brain, window, start, end, radii) - 0.6 * head.gap_mm
                np.maximum(cistern[window], inside(part), out=cistern[window])
    return cistern


def _ventricles(scene: Scene, brain: SlicePoints) -> Field:
    """Membership of the lateral, third and fourth ventricles."""
    head = scene.head
    total = np.zeros_like(scene.hu)
    for side in (-1.0, 1.0):
        size = head.ventricle_scale * (1.0 + side * head.ventricle_asymmetry)
        out = 2.0 + 3.0 * size
        nodes: tuple[tuple[Vector, float], ...] = (
            ((side * (out + 4.0), -34.0, 10.0), 2.2 * size),
            ((side * (out + 1.0), -22.0, 14.0), 4.6 * size),
            ((side * out, -4.0, 19.0), 4.4 * size),
            ((side * (out + 4.0), 18.0, 20.0), 4.6 * size),
            ((side * (out + 16.0), 34.0, 12.0), 6.2 * size),
            ((side * (out + 17.0), 56.0, 5.0), 1.2 * size),
        )
        horn = (((side * 33.0, 6.0, -17.0)), 1.2 * size)
        for first, second in [*pairwise(nodes), (nodes[4], horn)]:
            middle = tuple((p + q) / 2 for p, q in zip(first[0], second[0], strict=True))
            reach = float(np.linalg.norm(np.subtract(first[0], second[0]))) / 2 + 12.0
            window = brain.window((middle[0], middle[1], middle[2]), reach + 12.0)
            if window is not None:
                part = capsule_distance(brain, window, first[0], second[0], (first[1], second[1]))
                np.maximum(total[window], inside(part), out=total[window])
    size = head.ventricle_scale
    for centre, axes in (
        ((0.0, 2.0, 3.0), (0.8 + 2.0 * size, 13.0, 9.0)),
        ((0.0, 25.0, -32.0), (3.0 + 3.0 * size, 2.0 + 2.0 * size, 9.0)),
    ):
        window = brain.window(centre, max(axes) + 14.0)
        if window is not None:
            part = ellipsoid_distance(brain, window, centre, axes)
            np.maximum(total[window], inside(part), out=total[window])
    return total
