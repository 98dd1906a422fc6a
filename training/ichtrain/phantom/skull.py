"""Scene -> scalp, skull with diploe, skull base, orbits, sinuses and the face below."""

from __future__ import annotations

import numpy as np

from ichtrain.phantom.fields import Field, Vector, blend, ellipsoid_distance, inside
from ichtrain.phantom.scene import AIR_HU, FORAMEN_MM, Scene

VAULT_MM = -16.0
"""Height under which face and neck begin."""

# Air spaces and orbits on the right side's mirror: centre, half axes, share of air.
_AIR: tuple[tuple[Vector, Vector, float], ...] = (
    ((6.0, -56.0, -36.0), (5.0, 17.0, 9.0), 0.75),
    ((8.0, -24.0, -42.0), (8.0, 9.0, 8.0), 1.0),
    ((27.0, -56.0, -64.0), (13.0, 15.0, 15.0), 1.0),
    ((5.0, -58.0, -60.0), (6.0, 24.0, 16.0), 0.7),
    ((0.0, -14.0, -84.0), (11.0, 7.0, 22.0), 1.0),
)


def paint_outside(scene: Scene) -> None:
    """Scalp, vault and, where the slice is low, the face and the neck."""
    head, z = scene.head, scene.anatomy.z
    bumps = scene.smooth_noise(14.0, key=1)
    skull_mm = head.skull_mm * (1.0 + 0.06 * bumps)
    scalp_mm = head.scalp_mm * (1.0 + 0.2 * bumps)
    height = -scene.depth_mm
    outer = -scene.surfaces.hull_mm - skull_mm
    low = np.clip((-10.0 - z) / 40.0, 0.0, 1.0)
    scalp_mm = scalp_mm * (1.0 + 0.9 * low * np.abs(scene.points.x) / 70.0)
    _paint_scalp(scene, outer - scalp_mm, low)
    grain = scene.smooth_noise(2.0, key=2)
    if float(z.min()) < 0.0:
        _paint_below(scene, outer, grain)
    # Above the base the skull is all that lies between the cavity and the hull's outside; below
    # it bone follows the cavity, as thick as the base is there.
    vault = inside(outer) * inside(VAULT_MM - z, 8.0)
    shell = np.maximum(vault, inside(height - scene.base_bone_mm) * inside(outer - 2.0))
    shell *= inside(FORAMEN_MM - 4.0 - z)
    blend(scene.hu, shell, _bone_hu(scene, height, height - outer, grain))
    if head.craniotomy_radius > 0.0:
        _open_vault(scene, vault)
    if float(z.min()) < 10.0:
        _paint_air_spaces(scene, grain)


def _open_vault(scene: Scene, vault: Field) -> None:
    """A burr hole, a missing flap, or a flap laid back with a gap round it: a hard negative."""
    head, points = scene.head, scene.anatomy
    length = np.sqrt(points.x**2 + points.y**2 + points.z**2) + np.float32(1.0)
    toward = head.craniotomy_direction
    cosine = (points.x * toward[0] + points.y * toward[1] + points.z * toward[2]) / length
    away_mm = (np.arccos(np.clip(cosine, -1.0, 1.0)) - head.craniotomy_radius) * 75.0
    laid_back = head.craniotomy_hu > 100.0
    hole = inside(np.abs(away_mm) - 1.5) if laid_back else inside(away_mm)
    blend(scene.hu, hole * vault, 30.0 if laid_back else head.craniotomy_hu)


def _paint_scalp(scene: Scene, beyond: Field, low: Field) -> None:
    head = scene.head
    muscle = np.clip(1.6 * low + 0.5 - 0.02 * np.abs(scene.points.y) - 0.02 * scene.points.z, 0, 1)
    tissue = head.fat_hu + (head.muscle_hu - head.fat_hu) * muscle
    blend(scene.hu, inside(beyond), tissue.astype(np.float32))
    blend(scene.hu, inside(np.abs(beyond + 1.0) - 1.0), 35.0)


def _bone_hu(scene: Scene, height: Field, thickness: Field, grain: Field) -> Field:
    """Compact tables around a spongy middle."""
    head = scene.head
    within = np.minimum(height, thickness - height)
    spongy = inside(head.table_mm - within)
    diploe = head.diploe_hu + 170.0 * grain
    bone: Field = head.bone_hu + 60.0 * grain + spongy * (diploe - head.bone_hu)
    return bone


def _paint_below(scene: Scene, outer: Field, grain: Field) -> None:
    """Muscle, fat and facial bone under the skull base."""
    head, points = scene.head, scene.anatomy
    texture = scene.smooth_noise(4.5, key=3)
    muscle = np.clip(0.6 + 1.5 * texture, 0.0, 1.0)
    tissue = head.fat_hu + (head.muscle_hu - head.fat_hu) * muscle
    front = np.clip((5.0 - points.y) / 25.0, 0.0, 1.0)
    bone = inside(np.abs(texture + 0.3) * 4.0 - 1.1) * front * (grain > -0.6)
    tissue += bone * (0.55 * head.bone_hu - tissue)
    below = inside(points.z - VAULT_MM, 8.0) * inside(outer) * (1.0 - scene.cavity)
    blend(scene.hu, below, tissue.astype(np.float32))
    canal = np.hypot(points.x / 14.0, (points.y - 22.0) / 16.0)
    spine = inside(points.z - FORAMEN_MM) * inside(outer)
    vertebra = inside((canal - 1.45) * 14.0) * spine
    blend(scene.hu, vertebra, 0.6 * head.bone_hu + 150.0 * grain)
    blend(scene.hu, inside((canal - 0.95) * 14.0) * spine, head.csf_hu + 6.0)
    cord = np.hypot(points.x, points.y - 20.0) - 6.5
    blend(scene.hu, inside(cord) * spine, head.white_hu)


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
            frontal = (side * 11.0, -94.0, -12.0)
            _paint_air(scene, frontal, (10 * size, 3.2, 9 * size), 1.0, cells, outside)


def _paint_air(
    scene: Scene,
    centre: Vector,
    axes: Vector,
    share: float,
    cells: Field,
    outside: Field,
) -> None:
    window = scene.anatomy.window(centre, max(axes) + 2.0)
    if window is None:
        return
    distance = ellipsoid_distance(scene.anatomy, window, centre, axes)
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
        window = scene.anatomy.window(centre, max(axes) + 2.0)
        if window is not None:
            distance = ellipsoid_distance(scene.anatomy, window, centre, axes)
            blend(scene.hu[window], inside(distance) * outside[window], hu)
