"""Scene -> scalp, skull with diploe, skull base, orbits, sinuses and the face below."""

from __future__ import annotations

import numpy as np

from ichtrain.phantom.fields import Field, Vector, blend, ellipsoid_distance, inside
from ichtrain.phantom.scene import AIR_HU, Scene

# Air spaces and orbits on the right side's mirror: centre, half axes, share of air.
_AIR: tuple[tuple[Vector, Vector, float], ...] = (
    ((6.0, -56.0, -36.0), (5.0, 17.0, 9.0), 0.75),
    ((8.0, -24.0, -42.0), (8.0, 9.0, 8.0), 1.0),
    ((27.0, -56.0, -64.0), (13.0, 15.0, 15.0), 1.0),
    ((5.0, -58.0, -60.0), (6.0, 24.0, 16.0), 0.7),
    ((0.0, -14.0, -84.0), (11.0, 7.0, 22.0), 1.0),
)


def paint_outside(scene: Scene) -> None:
    """Scalp, vault and, where the slice is low, the face."""
    head = scene.head
    bumps = scene.smooth_noise(14.0, key=1)
    skull_mm = head.skull_mm * (1.0 + 0.13 * bumps)
    scalp_mm = head.scalp_mm * (1.0 + 0.2 * bumps)
    height = -scene.depth_mm
    low = np.clip((-10.0 - scene.points.z) / 40.0, 0.0, 1.0)
    scalp_mm = scalp_mm * (1.0 + 0.9 * low * np.abs(scene.points.x) / 70.0)
    _paint_scalp(scene, height, skull_mm, scalp_mm, low)
    grain = scene.smooth_noise(2.0, key=2)
    if float(scene.points.z.min()) < 0.0:
        _paint_below(scene, height, skull_mm, grain)
    bone = _bone_hu(scene, height, skull_mm, grain)
    shell = inside(height - skull_mm) * inside(-(scene.above_floor_mm + scene.floor_bone_mm))
    blend(scene.hu, shell, bone)
    if float(scene.points.z.min()) < 10.0:
        _paint_air_spaces(scene, grain)


def _paint_scalp(scene: Scene, height: Field, skull_mm: Field, scalp_mm: Field, low: Field) -> None:
    head = scene.head
    outer = height - skull_mm - scalp_mm
    muscle = np.clip(1.6 * low + 0.5 - 0.02 * np.abs(scene.points.y) - 0.02 * scene.points.z, 0, 1)
    tissue = head.fat_hu + (head.muscle_hu - head.fat_hu) * muscle
    blend(scene.hu, inside(outer), tissue.astype(np.float32))
    blend(scene.hu, inside(np.abs(outer + 1.0) - 1.0), 35.0)


def _bone_hu(scene: Scene, height: Field, skull_mm: Field, grain: Field) -> Field:
    """Compact tables around a spongy middle."""
    head = scene.head
    within = np.minimum(height, skull_mm - height)
    spongy = inside(head.table_mm - within)
    diploe = head.diploe_hu + 170.0 * grain
    bone: Field = head.bone_hu + 60.0 * grain + spongy * (diploe - head.bone_hu)
    return bone


def _paint_below(scene: Scene, height: Field, skull_mm: Field, grain: Field) -> None:
    """Muscle, fat and facial bone under the skull base."""
    head = scene.head
    texture = scene.smooth_noise(4.5, key=3)
    muscle = np.clip(0.6 + 1.5 * texture, 0.0, 1.0)
    tissue = head.fat_hu + (head.muscle_hu - head.fat_hu) * muscle
    front = np.clip((5.0 - scene.points.y) / 25.0, 0.0, 1.0)
    bone = inside(np.abs(texture + 0.3) * 4.0 - 1.1) * front * (grain > -0.6)
    tissue += bone * (0.55 * head.bone_hu - tissue)
    below = inside(scene.above_floor_mm) * inside(height - skull_mm)
    blend(scene.hu, below, tissue.astype(np.float32))
    canal = np.hypot(scene.points.x / 14.0, (scene.points.y - 24.0) / 16.0)
    vertebra = inside((canal - 1.45) * 14.0) * inside(scene.points.z + 64.0 - head.floor_shift_mm)
    blend(scene.hu, vertebra, 0.6 * head.bone_hu + 150.0 * grain)
    blend(scene.hu, inside((canal - 0.95) * 14.0) * inside(height), head.csf_hu + 6.0)
    cord = np.hypot(scene.points.x, scene.points.y - 22.0) - 6.5
    blend(scene.hu, inside(cord) * inside(height), head.white_hu)


def _paint_air_spaces(scene: Scene, cells: Field) -> None:
    head, outside = scene.head, 1.0 - scene.cavity
    for side in (-1.0, 1.0):
        _paint_orbit(scene, side)
        for centre, axes, share in _AIR:
            _paint_air(scene, (side * centre[0], centre[1], centre[2]), axes, share, cells, outside)
        mastoid = (side * 57.0, 38.0, -32.0)
        _paint_air(scene, mastoid, (10.0, 14.0, 13.0), 0.6 * head.mastoid_air, cells, outside)
        canal = (side * 68.0, 14.0, -34.0)
        _paint_air(scene, canal, (16.0, 3.5, 3.5), 0.9, cells, outside)
        if head.frontal_sinus > 0.35:
            size = head.frontal_sinus
            frontal = (side * 11.0, -head.half_front_mm - 0.4 * head.skull_mm, -14.0)
            _paint_air(scene, frontal, (10 * size, 3.2, 9 * size), 1.0, cells, outside)


def _paint_air(
    scene: Scene,
    centre: Vector,
    axes: Vector,
    share: float,
    cells: Field,
    outside: Field,
) -> None:
    window = scene.points.window(centre, max(axes) + 2.0)
    if window is None:
        return
    distance = ellipsoid_distance(scene.points, window, centre, axes)
    # A share below 1 leaves walls between cells where the noise is low.
    threshold = 1.6 * (1.0 - 2.0 * share) if share < 1.0 else -9.0
    open_cells: Field = np.clip(2.5 * (cells[window] - threshold), 0.0, 1.0)
    air = inside(distance) * outside[window] * open_cells
    blend(scene.hu[window], air, AIR_HU)


def _paint_orbit(scene: Scene, side: float) -> None:
    head, outside = scene.head, 1.0 - scene.cavity
    for centre, axes, hu in (
        ((side * 31.0, -60.0, -38.0), (18.0, 24.0, 16.0), head.fat_hu),
        ((side * 26.0, -52.0, -38.0), (2.2, 20.0, 2.2), 30.0),
        ((side * 42.0, -56.0, -38.0), (2.2, 16.0, 5.0), 45.0),
        ((side * 20.0, -56.0, -38.0), (2.2, 16.0, 5.0), 45.0),
        ((side * 32.0, -74.0, -38.0), (12.5, 12.5, 12.5), 45.0),
        ((side * 32.0, -74.0, -38.0), (11.0, 11.0, 11.0), 10.0),
        ((side * 32.0, -83.0, -38.0), (4.5, 2.0, 4.5), 75.0),
    ):
        window = scene.points.window(centre, max(axes) + 2.0)
        if window is not None:
            distance = ellipsoid_distance(scene.points, window, centre, axes)
            blend(scene.hu[window], inside(distance) * outside[window], hu)
