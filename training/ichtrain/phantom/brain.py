"""Spaces -> HU inside the skull: brain, fluid, dura, venous sinuses and calcifications."""

from __future__ import annotations

import numpy as np

from ichtrain.phantom.fields import Field, SlicePoints, Vector, blend, ellipsoid_distance, inside
from ichtrain.phantom.scene import Scene
from ichtrain.phantom.spaces import Spaces

_NUCLEI: tuple[tuple[Vector, Vector, float, float], ...] = (
    ((11.0, 8.0, 5.0), (8.0, 13.0, 8.0), 0.35, 0.7),
    ((13.0, -17.0, 9.0), (5.0, 8.0, 9.0), 0.3, 1.0),
    ((26.0, -5.0, 5.0), (5.0, 15.0, 9.0), 0.25, 1.0),
    ((19.0, -3.0, 3.0), (4.0, 9.0, 6.0), 0.4, 0.5),
)


def paint_inside(scene: Scene, spaces: Spaces) -> None:
    """Fill the cavity with everything but blood."""
    blend(scene.hu, scene.cavity, scene.head.csf_hu)
    tissue = _tissue_hu(scene, spaces.brain, spaces.surface_mm, spaces.infratentorial)
    blend(scene.hu, scene.cavity * spaces.parenchyma, tissue)
    _paint_dura(scene, spaces.midline_mm, spaces.tent_mm, spaces.falx_zone)
    _paint_sinuses(scene, spaces.midline_mm)
    _paint_calcifications(scene, spaces)


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
    if head.infarct_mm > 0.0:
        _soften(scene, brain, tissue, slow)
    return tissue


def _soften(scene: Scene, brain: SlicePoints, tissue: Field, slow: Field) -> None:
    """An old infarct: ragged loss of density, a hard negative."""
    head = scene.head
    window = brain.window(head.infarct_centre_mm, 1.5 * head.infarct_mm + 14.0)
    if window is not None:
        axes = (head.infarct_mm, 1.3 * head.infarct_mm, head.infarct_mm)
        part = ellipsoid_distance(brain, window, head.infarct_centre_mm, axes)
        part += 0.3 * head.infarct_mm * slow[window]
        blend(tissue[window], 0.6 * inside(part, 8.0), head.csf_hu + 4.0)


def _paint_dura(scene: Scene, midline: Field, tent_mm: Field, falx_zone: Field) -> None:
    head, points = scene.head, scene.points
    falx = inside(midline - 0.5 * head.falx_mm) * falx_zone * scene.cavity
    blend(scene.hu, falx, head.falx_hu)
    notch = np.hypot(points.x / 18.0, (points.y - 12.0) / 23.0)
    leaf = inside(np.abs(tent_mm) - 0.4 * head.falx_mm) * inside((1.0 - notch) * 18.0)
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


def _paint_calcifications(scene: Scene, spaces: Spaces) -> None:
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
        window = spaces.brain.window(centre, radius + 14.0)
        if window is not None:
            part = ellipsoid_distance(spaces.brain, window, centre, (radius, 1.3 * radius, radius))
            blend(scene.hu[window], inside(part) * scene.cavity[window], hu)
    if head.falx_calcified:
        patch = np.clip(3.0 * (scene.smooth_noise(5.0, key=10) - 1.0), 0.0, 1.0)
        plate = inside(spaces.midline_mm - head.falx_mm) * spaces.falx_zone * scene.cavity
        blend(scene.hu, plate * patch, 400.0)
