"""Scene -> brain, cerebrospinal fluid, dura and venous sinuses inside the skull."""

from __future__ import annotations

import numpy as np

from ichtrain.phantom.fields import (
    Field,
    SlicePoints,
    Vector,
    blend,
    capsule_distance,
    ellipsoid_distance,
    inside,
)
from ichtrain.phantom.scene import Scene

FAR = np.float32(60.0)

_NUCLEI: tuple[tuple[Vector, Vector, float, float], ...] = (
    ((11.0, 8.0, 5.0), (8.0, 13.0, 8.0), 0.35, 0.7),
    ((13.0, -17.0, 9.0), (5.0, 8.0, 9.0), 0.3, 1.0),
    ((26.0, -5.0, 5.0), (5.0, 15.0, 9.0), 0.25, 1.0),
    ((19.0, -3.0, 3.0), (4.0, 9.0, 6.0), 0.4, 0.5),
)
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


def paint_inside(scene: Scene, sheet_mm: Field, shift_mm: Field, wide_mm: Field) -> None:
    """Brain and its coverings.

    sheet_mm: thickness of blood between inner table and brain; shift_mm: displacement of the
    brain along x; wide_mm: extra half width of sulci (blood opens them).
    """
    brain = scene.points.moved(-shift_mm)
    head = scene.head
    midline = np.abs(brain.x + _wobble(scene)) if head.midline_wobble_mm else np.abs(brain.x)
    tent_mm, infratentorial = _tentorium(scene, brain, midline)
    falx_zone = _falx_zone(brain, tent_mm)
    gap = np.maximum(head.gap_mm * (1.0 + 0.5 * (brain.y < -20.0)), sheet_mm)
    pial = np.minimum(scene.depth_mm - gap, scene.above_floor_mm - 1.2)
    fissure = midline - (0.5 * head.falx_mm + 0.5 * head.gap_mm) + 30.0 * (1.0 - falx_zone)
    pial = np.minimum(pial, fissure)
    sulcus = _sulci(scene, brain, pial, infratentorial, wide_mm)
    sulcus = np.minimum(sulcus, _fissures(scene, brain, wide_mm))
    parenchyma = inside(-pial) * inside(-sulcus)
    tissue = _tissue_hu(scene, brain, np.minimum(pial, sulcus), infratentorial)
    cistern = _paint_cisterns(scene, brain, infratentorial, wide_mm)
    parenchyma *= 1.0 - cistern
    scene.ventricle = _ventricles(scene, brain) * scene.cavity
    near = np.maximum(scene.ventricle, 0.0)
    parenchyma *= 1.0 - near
    scene.subarachnoid = scene.cavity * np.clip(1.0 - parenchyma - scene.ventricle, 0.0, 1.0)
    blend(scene.hu, scene.cavity, head.csf_hu)
    blend(scene.hu, scene.cavity * parenchyma, tissue)
    _paint_dura(scene, midline, tent_mm, falx_zone)
    _paint_sinuses(scene, midline)
    _paint_calcifications(scene, brain, midline, falx_zone)


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


def _sulci(
    scene: Scene, brain: SlicePoints, pial: Field, infratentorial: Field, wide_mm: Field
) -> Field:
    """Signed distance to the sulci: noise level sets that stand upright on the surface."""
    head = scene.head
    scale = head.sulcus_scale_mm
    folds = scene.smooth_noise(scale, key=6, radial=0.8)
    slow = scene.smooth_noise(13.0, key=7)
    reach = head.sulcus_depth_mm * (0.75 + 0.35 * slow)
    taper = np.clip(1.1 - 0.5 * pial / head.sulcus_depth_mm, 0.3, 1.2)
    half_width = (head.sulcus_mm * (0.8 + 0.5 * slow) - 0.15) * taper + wide_mm
    distance = np.maximum(np.abs(folds) * (scale / 1.13) - half_width, pial - reach)
    if float(infratentorial.max()) > 0.0:
        folia = scene.smooth_noise(2.4, key=8, flatten=0.45)
        fine = np.abs(folia) * 2.0 - 0.6 * half_width + 0.4
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


def _tissue_hu(scene: Scene, brain: SlicePoints, surface: Field, infratentorial: Field) -> Field:
    """Grey and white matter by distance from the nearest surface, and the deep nuclei."""
    head = scene.head
    slow = scene.smooth_noise(9.0, key=9)
    grey = inside(surface - head.cortex_mm, 2.0)
    grey = np.maximum(grey, infratentorial * np.clip(0.75 + 0.25 * slow, 0, 1))
    for side in (-1.0, 1.0):
        for (x, y, z), axes, yaw, strength in _NUCLEI:
            window = brain.window((side * x, y, z), max(axes) + 14.0)
            if window is not None:
                part = ellipsoid_distance(brain, window, (side * x, y, z), axes, -side * yaw)
                np.maximum(grey[window], strength * inside(part, 3.0), out=grey[window])
    tissue: Field = head.white_hu + grey * (head.grey_hu - head.white_hu) + 0.6 * slow
    if head.leukoaraiosis_hu > 0.0:
        horn = np.abs(np.abs(brain.x) - 15.0) / 14.0 + np.abs(brain.z - 20.0) / 24.0
        cap = np.clip(1.3 - horn - 0.3 * slow, 0.0, 1.0) * (1.0 - grey)
        tissue -= head.leukoaraiosis_hu * cap
    return tissue


def _paint_cisterns(
    scene: Scene, brain: SlicePoints, infratentorial: Field, wide_mm: Field
) -> Field:
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
    width = 1.6 + 1.6 * head.gap_mm * 0.5 + wide_mm
    round_stem = inside(-stem) * inside(stem - width)
    midbrain = inside(np.abs(brain.z + 4.0) - 8.0, 4.0)
    front = inside(brain.y - 9.0, 4.0) * inside(brain.z + 6.0, 3.0)
    cistern = round_stem * np.maximum(midbrain, front)
    prepontine = inside(-stem) * inside(np.abs(brain.x) - 16.0) * inside(brain.y - 6.0)
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
        for first, second in [*zip(nodes[:-1], nodes[1:], strict=True), (nodes[4], horn)]:
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


def _paint_dura(scene: Scene, midline: Field, tent_mm: Field, falx_zone: Field) -> None:
    head, points = scene.head, scene.points
    falx = inside(midline - 0.5 * head.falx_mm) * falx_zone * scene.cavity
    blend(scene.hu, falx, head.falx_hu)
    notch = np.hypot(points.x / 18.0, (points.y - 12.0) / 23.0)
    leaf = inside(np.abs(tent_mm) - 0.6 * head.falx_mm) * inside((1.0 - notch) * 18.0)
    leaf *= inside(2.0 + 0.55 * (midline - 12.0) - points.y)
    blend(scene.hu, leaf * scene.cavity, head.falx_hu - 4.0)


def _paint_sinuses(scene: Scene, midline: Field) -> None:
    """Superior sagittal and transverse sinuses, confluence, straight sinus."""
    head, points = scene.head, scene.points
    wall = scene.depth_mm
    behind = inside(20.0 - points.y, 30.0)
    sagittal = inside(midline + 0.7 * wall - (3.0 + 2.5 * behind)) * inside(-(points.z + 8.0))
    transverse = inside(np.abs(points.z + 16.0 + 0.1 * midline) - 4.0) * inside(wall - 4.5)
    transverse *= inside(32.0 - points.y)
    straight = inside(np.hypot(midline, 0.8 * (points.z + 0.28 * points.y - 16.0)) - 2.0)
    straight *= inside(34.0 - points.y)
    vein = np.maximum(np.maximum(sagittal, transverse), straight) * scene.cavity
    blend(scene.hu, vein, head.sinus_hu)


def _paint_calcifications(
    scene: Scene, brain: SlicePoints, midline: Field, falx_zone: Field
) -> None:
    """Hard negatives: dense, but never blood."""
    head = scene.head
    size = 2.0 + 3.0 * head.ventricle_scale
    spots: list[tuple[Vector, float, float]] = []
    if head.pineal_calcified:
        spots.append(((0.5, 22.0, 3.0), 2.4, 260.0))
    for side in (-1.0, 1.0):
        if head.choroid_calcified:
            spots.append(((side * (size + 15.0), 33.0, 11.0), 3.2, 320.0))
        else:
            spots.append(((side * (size + 15.0), 33.0, 11.0), 3.0, 48.0))
        if head.basal_ganglia_calcified:
            spots.append(((side * 19.0, -3.0, 2.0), 3.4, 150.0))
    for centre, radius, hu in spots:
        window = brain.window(centre, radius + 14.0)
        if window is not None:
            part = ellipsoid_distance(brain, window, centre, (radius, 1.3 * radius, radius))
            blend(scene.hu[window], inside(part) * scene.cavity[window], hu)
    if head.falx_calcified:
        patch = np.clip(3.0 * (scene.smooth_noise(5.0, key=10) - 1.0), 0.0, 1.0)
        plate = inside(midline - head.falx_mm) * falx_zone * scene.cavity
        blend(scene.hu, plate * patch, 400.0)
