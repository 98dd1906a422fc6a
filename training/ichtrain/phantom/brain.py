"""Spaces -> HU inside the skull: brain, fluid, dura, vessels, sinuses and calcifications."""

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
from ichtrain.phantom.spaces import Spaces

_VESSELS: tuple[tuple[Vector, Vector, float], ...] = (
    ((0.0, -2.0, -36.0), (0.0, -4.0, -16.0), 1.8),  # basilar
    ((9.0, -16.0, -24.0), (9.0, -20.0, -14.0), 2.0),  # internal carotid
    ((10.0, -20.0, -14.0), (34.0, -20.0, -10.0), 1.5),  # middle cerebral
    ((3.0, -24.0, -12.0), (2.0, -44.0, 4.0), 1.2),  # anterior cerebral
)


def paint_inside(scene: Scene, spaces: Spaces) -> None:
    """Fill the cavity with everything but blood."""
    blend(scene.hu, scene.cavity, scene.head.csf_hu)
    blend(scene.hu, scene.cavity * spaces.parenchyma, _tissue_hu(scene, spaces))
    _paint_vessels(scene, spaces)
    _paint_dura(scene, spaces)
    _paint_sinuses(scene, spaces.midline_mm)
    _paint_calcifications(scene, spaces)


def _tissue_hu(scene: Scene, spaces: Spaces) -> Field:
    """Grey and white matter by the atlas's shares, thinned white matter, old infarcts."""
    head, atlas = scene.head, spaces.tissue
    slow = scene.smooth_noise(9.0, key=9)
    share = atlas.grey / np.maximum(atlas.grey + atlas.white, 0.05)
    tissue: Field = head.white_hu + share * (head.grey_hu - head.white_hu) + 0.6 * slow
    if head.leukoaraiosis_hu > 0.0:
        near = np.clip(1.2 - (atlas.ventricle_mm - head.ventricle_mm) / 14.0 - 0.3 * slow, 0.0, 1.0)
        tissue -= head.leukoaraiosis_hu * near * (1.0 - share)
    if head.infarct_mm > 0.0:
        _soften(scene, spaces.brain, tissue, slow)
    return tissue


def _soften(scene: Scene, brain: SlicePoints, tissue: Field, slow: Field) -> None:
    """An infarct, old or fresh: ragged loss of density, a hard negative."""
    head = scene.head
    window = brain.window(head.infarct_centre_mm, 1.5 * head.infarct_mm + 14.0)
    if window is not None:
        axes = (head.infarct_mm, 1.3 * head.infarct_mm, head.infarct_mm)
        part = ellipsoid_distance(brain, window, head.infarct_centre_mm, axes)
        part += 0.3 * head.infarct_mm * slow[window]
        loss = head.infarct_share * inside(part, 8.0)
        blend(tissue[window], loss, head.csf_hu + 4.0)


def _paint_vessels(scene: Scene, spaces: Spaces) -> None:
    """Arteries at the base, denser than brain and sometimes calcified: hard negatives."""
    head = scene.head
    for start, end, radius in _VESSELS:
        for side in (-1.0, 1.0) if start[0] else (1.0,):
            first, last = (side * start[0], *start[1:]), (side * end[0], *end[1:])
            middle = tuple((p + q) / 2 for p, q in zip(first, last, strict=True))
            window = spaces.brain.window((middle[0], middle[1], middle[2]), 30.0)
            if window is None:
                continue
            thick = radius * head.vessel_scale
            part = capsule_distance(spaces.brain, window, first, last, (thick, thick))
            blend(scene.hu[window], inside(part) * scene.cavity[window], head.vessel_hu)
            if head.vessels_calcified:
                spots = np.clip(3.0 * (scene.smooth_noise(4.0, key=12)[window] - 1.0), 0.0, 1.0)
                wall = inside(np.abs(part) - 0.5) * spots * scene.cavity[window]
                blend(scene.hu[window], wall, 350.0)


def _paint_dura(scene: Scene, spaces: Spaces) -> None:
    head, midline, brain = scene.head, spaces.midline_mm, spaces.brain
    falx = inside(midline - 0.5 * head.falx_mm) * spaces.falx_zone * scene.cavity
    blend(scene.hu, falx, head.falx_hu)
    notch = np.hypot(brain.x / 18.0, (brain.y - 12.0) / 23.0)
    leaf = inside(np.abs(spaces.tent_mm) - 0.4 * head.falx_mm) * inside((1.0 - notch) * 18.0)
    leaf *= inside(2.0 + 0.55 * (midline - 12.0) - brain.y)
    blend(scene.hu, leaf * scene.cavity, head.falx_hu - 4.0)


def _paint_sinuses(scene: Scene, midline: Field) -> None:
    """Superior sagittal and transverse sinuses, confluence, straight sinus."""
    head, points = scene.head, scene.anatomy
    wall = scene.depth_mm
    behind = inside(20.0 - points.y, 30.0)
    sagittal = inside(midline + 0.7 * wall - (3.0 + 2.5 * behind)) * inside(-(points.z + 8.0))
    transverse = inside(np.abs(points.z + 20.0 + 0.1 * midline) - 4.0) * inside(wall - 4.5)
    transverse *= inside(32.0 - points.y)
    straight = inside(np.hypot(midline, 0.8 * (points.z + 0.35 * points.y - 12.0)) - 2.0)
    straight *= inside(34.0 - points.y)
    vein = np.maximum(np.maximum(sagittal, transverse), straight) * scene.cavity
    blend(scene.hu, vein, head.sinus_hu)


def _paint_calcifications(scene: Scene, spaces: Spaces) -> None:
    """Hard negatives: dense, but never blood."""
    head = scene.head
    spots: list[tuple[Vector, float, float]] = []
    if head.pineal_calcified:
        spots.append(((0.5, 8.0, 2.0), 2.4, 260.0))
    for side in (-1.0, 1.0):
        plexus = (side * 21.0, 22.0, 8.0)
        spots.append((plexus, 3.2, 320.0) if head.choroid_calcified else (plexus, 3.0, 46.0))
        if head.basal_ganglia_calcified:
            spots.append(((side * 19.0, -16.0, 1.0), 3.4, 150.0))
    for centre, radius, hu in spots:
        window = spaces.brain.window(centre, radius + 14.0)
        if window is not None:
            part = ellipsoid_distance(spaces.brain, window, centre, (radius, 1.3 * radius, radius))
            blend(scene.hu[window], inside(part) * scene.cavity[window], hu)
    if head.falx_calcified:
        patch = np.clip(3.0 * (scene.smooth_noise(5.0, key=10) - 1.0), 0.0, 1.0)
        plate = inside(spaces.midline_mm - head.falx_mm) * spaces.falx_zone * scene.cavity
        blend(scene.hu, plate * patch, 400.0)
