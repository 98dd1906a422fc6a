"""Kind -> lesion recipes, and recipes -> blood in a scene.

Blood shapes anatomy before it is painted: sheets press on the brain, subarachnoid blood opens
sulci, a haematoma shifts the midline. So a lesion acts twice, as `pressure` and as `paint`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ichtrain.phantom.fields import Field, Vector, blend, inside
from ichtrain.phantom.options import LARGEST_SMALL_ML, SUBTYPES, Lesion
from ichtrain.phantom.recipe import HeadRecipe
from ichtrain.phantom.scene import Scene

HALF_WIDTH_MM, HALF_LENGTH_MM, HEIGHT_MM = 68.0, 88.0, 76.0
"""Half axes of the brain in the atlas's frame, in which bleeds are placed."""

_VOLUME_ML: dict[Lesion, tuple[float, float]] = {
    Lesion.SDH: (3.0, 130.0),
    Lesion.SAH: (1.5, 40.0),
    Lesion.EDH: (3.0, 90.0),
    Lesion.IPH: (1.5, 80.0),
    Lesion.IVH: (1.0, 40.0),
}


@dataclass(frozen=True)
class LesionRecipe:
    """One bleed.

    centre is a direction for sheets, a place (mm) for the rest; spread is the angular reach
    (radians) of sheets, or the reach in mm of subarachnoid blood.
    """

    subtype: Lesion
    target_ml: float
    side: float
    centre: Vector
    axes: Vector
    spread: float
    hu: float
    hu_mixed: float
    oedema_mm: float
    shift_mm: float
    style: str
    key: int


def lesions_from_kind(kind: str, head: HeadRecipe, rng: np.random.Generator) -> list[LesionRecipe]:
    """Draw the bleeds of a kind; `small` stays within 5 mL in total."""
    if kind == "normal":
        return []
    if kind == "small":
        subtype = SUBTYPES[int(rng.integers(len(SUBTYPES)))]
        volume = float(np.exp(rng.uniform(np.log(0.5), np.log(0.9 * LARGEST_SMALL_ML))))
        return [_lesion(subtype, volume, head, rng, 0)]
    if kind == "mixed":
        chosen = rng.permutation(len(SUBTYPES))[: int(rng.integers(2, 4))]
        return [
            _lesion(SUBTYPES[int(index)], 0.7 * _volume(SUBTYPES[int(index)], rng), head, rng, key)
            for key, index in enumerate(chosen)
        ]
    subtype = Lesion[kind.upper()]
    return [_lesion(subtype, _volume(subtype, rng), head, rng, 0)]


def _volume(subtype: Lesion, rng: np.random.Generator) -> float:
    low, high = _VOLUME_ML[subtype]
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _lesion(
    subtype: Lesion, volume_ml: float, head: HeadRecipe, rng: np.random.Generator, key: int
) -> LesionRecipe:
    side = float(rng.choice((-1.0, 1.0)))
    hu = float(rng.uniform(50.0, 84.0))
    mixed = 0.0
    style = {Lesion.SAH: "sulcal", Lesion.IPH: "deep", Lesion.IVH: "layer"}.get(subtype, "convex")
    draw = rng.random()
    spread = 1.0
    if subtype is Lesion.SDH:
        style = "falx" if draw < 0.12 else "tentorium" if draw < 0.2 else "convex"
        spread = float(rng.uniform(0.55, 1.25)) * min(1.0, 0.35 + volume_ml / 18.0)
        if style == "convex" and rng.random() < 0.4:
            # Mixed, isodense and older collections: seen by the form and by what they press on.
            hu, mixed = float(rng.uniform(34.0, 64.0)), float(rng.uniform(0.0, 22.0))
    elif subtype is Lesion.EDH:
        spread = float(rng.uniform(0.8, 1.2)) * 0.27 * float(np.cbrt(volume_ml / 8.0))
    elif subtype is Lesion.SAH:
        style = "cistern" if draw < 0.4 else "sulcal"
        spread = float(rng.uniform(0.8, 1.2)) * 24.0 * float(np.cbrt(volume_ml / 6.0))
        hu = float(rng.uniform(46.0, 74.0))
    elif subtype is Lesion.IPH:
        style = "deep" if draw < 0.45 else "lobar" if draw < 0.85 else "fossa"
    elif subtype is Lesion.IVH:
        style = "layer" if draw < 0.55 else "cast"
    large = subtype in (Lesion.SDH, Lesion.EDH, Lesion.IPH)
    return LesionRecipe(
        subtype=subtype,
        target_ml=volume_ml,
        side=side,
        centre=_centre(subtype, style, side, head, rng),
        axes=_axes(volume_ml, rng),
        spread=spread,
        hu=hu,
        hu_mixed=mixed,
        oedema_mm=float(rng.uniform(0.0, 7.0)) * min(1.0, volume_ml / 10.0),
        shift_mm=-side * float(rng.uniform(0.2, 1.0)) * min(11.0, 0.12 * volume_ml) * large,
        style=style,
        key=20 + 5 * key,
    )


def _axes(volume_ml: float, rng: np.random.Generator) -> Vector:
    """Half axes (mm) of an ellipsoid with the given volume and a random elongation."""
    ratio = np.exp(rng.normal(0.0, 0.22, 3))
    ratio *= np.cbrt(volume_ml * 1000.0 * 0.75 / np.pi / np.prod(ratio))
    return float(ratio[0]), float(ratio[1]), float(ratio[2])


def _centre(
    subtype: Lesion, style: str, side: float, head: HeadRecipe, rng: np.random.Generator
) -> Vector:
    if subtype is Lesion.IPH:
        if style == "deep":
            place = (rng.uniform(12, 30), rng.uniform(-12, 16), rng.uniform(-2, 14))
        elif style == "lobar":
            angle, height = rng.uniform(-1.2, 1.2), rng.uniform(-8, 48)
            flat = np.sqrt(max(0.2, 1.0 - (max(height, 0.0) / HEIGHT_MM) ** 2))
            place = (flat * 42.0 * np.cos(angle) + 4.0, flat * 56.0 * np.sin(angle) + 2.0, height)
        else:
            place = (rng.uniform(4, 32), rng.uniform(34, 56), rng.uniform(-44, -28))
        return side * float(place[0]), float(place[1]), float(place[2])
    if subtype is Lesion.SAH:
        if style == "cistern":
            return side * float(rng.uniform(0, 16)), float(rng.uniform(-16, -2)), -13.0
        azimuth, elevation = rng.uniform(-1.3, 1.3), rng.uniform(0.0, 1.1)
        return (
            side * float(HALF_WIDTH_MM * np.cos(elevation) * np.cos(azimuth)),
            float(HALF_LENGTH_MM * np.cos(elevation) * np.sin(azimuth)),
            float(HEIGHT_MM * np.sin(elevation)),
        )
    if subtype is Lesion.IVH:
        return side * 15.0, float(rng.uniform(0, 40)), float(rng.uniform(8, 18))
    elevation = rng.uniform(-0.05, 0.75)
    azimuth = rng.uniform(-0.7, 0.6) if subtype is Lesion.SDH else rng.uniform(-1.1, 1.2)
    direction = (np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth))
    return side * float(direction[0]), float(direction[1]), float(np.sin(elevation))


def sheet_from_lesion(scene: Scene, lesion: LesionRecipe, size: float) -> Field:
    """Thickness (mm) of extra-axial blood under the inner table: crescent or biconvex lens."""
    points = scene.anatomy
    if lesion.style != "convex":
        return np.zeros_like(scene.hu)
    length = np.sqrt(points.x**2 + points.y**2 + points.z**2) + np.float32(1.0)
    cosine = (
        points.x * lesion.centre[0] + points.y * lesion.centre[1] + points.z * lesion.centre[2]
    ) / length
    grow = float(size) ** 0.34
    angle2 = 2.0 * (1.0 - cosine) / (lesion.spread * grow) ** 2
    if lesion.subtype is Lesion.EDH:
        thickness = 50.0 * lesion.spread * grow * np.clip(1.0 - angle2, 0.0, 1.0)
        lens: Field = np.minimum(thickness, 45.0).astype(np.float32)
        return lens
    peak = grow * 2.0 * lesion.target_ml**0.42 / max(lesion.spread, 0.4)
    slow = 1.0 + 0.2 * scene.smooth_noise(14.0, key=lesion.key)
    thickness = peak * slow * np.sqrt(np.clip(1.0 - angle2, 0.0, 1.0))
    # Subdural blood stops at the falx.
    thickness = thickness * np.clip((lesion.side * points.x - 2.0) / 6.0, 0.0, 1.0)
    result: Field = thickness.astype(np.float32)
    return result


def opening_from_lesion(scene: Scene, lesion: LesionRecipe, size: float) -> Field:
    """Extra half width (mm) of sulci and cisterns that subarachnoid blood fills."""
    if lesion.subtype is not Lesion.SAH:
        return np.zeros_like(scene.hu)
    return 0.8 * _reach(scene, lesion, size)


def _reach(scene: Scene, lesion: LesionRecipe, size: float) -> Field:
    """Soft ball of influence of subarachnoid blood, ragged by noise."""
    points, centre = scene.anatomy, lesion.centre
    distance = np.sqrt(
        (points.x - centre[0]) ** 2 + (points.y - centre[1]) ** 2 + (points.z - centre[2]) ** 2
    )
    distance += 0.3 * lesion.spread * scene.smooth_noise(9.0, key=lesion.key)
    return inside(distance - lesion.spread * float(size) ** 0.4, 6.0)


def shift_from_lesions(scene: Scene, lesions: list[LesionRecipe]) -> Field:
    """Displacement (mm) of the brain along x: greatest in the middle, none at the skull."""
    shift = sum(lesion.shift_mm for lesion in lesions)
    room = np.clip(1.0 - scene.radius**2, 0.0, 1.0) * np.exp(-(((scene.anatomy.z - 10) / 45) ** 2))
    result: Field = (shift * room).astype(np.float32)
    return result


def paint_blood(scene: Scene, lesion: LesionRecipe, size: float, sheet_mm: Field) -> None:
    """Put the blood of one lesion into `scene.hu` and record its membership."""
    if lesion.subtype in (Lesion.SDH, Lesion.EDH) and lesion.style == "convex":
        blood = inside(scene.depth_mm - sheet_mm) * scene.cavity * np.clip(sheet_mm, 0, 1)
    elif lesion.subtype is Lesion.SDH:
        blood = _dural_sheet(scene, lesion, size)
    elif lesion.subtype is Lesion.SAH:
        blood = scene.subarachnoid * _reach(scene, lesion, size)
        blood *= inside(0.6 - scene.depth_mm)
    elif lesion.subtype is Lesion.IPH:
        blood = _haematoma(scene, lesion, size)
    else:
        blood = _intraventricular(scene, lesion, size)
    for other in scene.blood.values():
        blood = blood * (1.0 - other)
    if float(blood.max()) <= 0.0:
        return
    grain = scene.smooth_noise(5.0, key=lesion.key + 1)
    density = lesion.hu + 2.5 * grain
    if lesion.hu_mixed:
        density -= lesion.hu_mixed * np.clip(0.5 + 1.2 * grain, 0.0, 1.0)
    blend(scene.hu, blood, density)
    scene.add_blood(lesion.subtype, blood)


def _dural_sheet(scene: Scene, lesion: LesionRecipe, size: float) -> Field:
    """Subdural blood along the falx or on the tentorium."""
    points, head = scene.anatomy, scene.head
    thick = float(size) ** 0.6 * (1.6 + lesion.target_ml**0.45)
    extent = min(1.3, 0.55 * lesion.target_ml**0.25)
    slow = 1.0 + 0.3 * scene.smooth_noise(12.0, key=lesion.key)
    side = lesion.side * points.x
    if lesion.style == "falx":
        reach = np.hypot(
            (points.y - 60.0 * np.sign(lesion.centre[1])) / 45.0, (points.z - 34.0) / 32.0
        )
        height = side - 0.5 * head.falx_mm
    else:
        reach = np.hypot((side - 30.0) / 28.0, (points.y - 42.0) / 26.0)
        roof = head.tent_apex_mm - 0.48 * np.abs(points.x) - 0.45 * np.maximum(points.y - 25, 0)
        height = points.z - roof
    reach = reach / extent
    local = thick * slow * np.sqrt(np.clip(1.15 - reach**2, 0.0, 1.0))
    blood: Field = inside(height - local) * inside(-height) * scene.cavity
    blood *= np.clip(local, 0.0, 1.0) * inside(-side)
    return blood * (1.0 - scene.ventricle)


def _haematoma(scene: Scene, lesion: LesionRecipe, size: float) -> Field:
    """Irregular ellipsoid in the brain, with an oedema rim painted under it."""
    points, grow = scene.anatomy, float(np.cbrt(size))
    a, b, c = (axis * grow for axis in lesion.axes)
    cx, cy, cz = lesion.centre
    radius = np.sqrt(
        ((points.x - cx) / a) ** 2 + ((points.y - cy) / b) ** 2 + ((points.z - cz) / c) ** 2
    )
    mean = float(np.cbrt(a * b * c))
    ragged = 0.14 * scene.smooth_noise(max(3.0, 0.4 * mean), key=lesion.key)
    distance = (radius - 1.0 + ragged) * mean
    room = scene.cavity * inside(1.0 - scene.depth_mm)
    if lesion.oedema_mm > 0.5:
        rim = inside(distance - lesion.oedema_mm, 4.0) * room * (1.0 - scene.ventricle)
        scene.hu -= 9.0 * rim * (scene.hu > 22.0) * (scene.hu < 46.0)
    blood: Field = inside(distance) * room
    return blood


def _intraventricular(scene: Scene, lesion: LesionRecipe, size: float) -> Field:
    """Blood in the ventricles: lying behind a level, or a cast round a centre."""
    points = scene.anatomy
    if lesion.style == "layer":
        level = 48.0 - 22.0 * float(np.cbrt(lesion.target_ml * size)) + 4.0
        held = inside(level - points.y, 3.0)
        if lesion.target_ml < 6.0:
            held = held * inside(-lesion.side * points.x + 3.0, 3.0)
        return scene.ventricle * held
    reach = 14.0 * float(np.cbrt(lesion.target_ml * size))
    cx, cy, cz = lesion.centre
    distance = np.sqrt((points.x - cx) ** 2 + (points.y - cy) ** 2 + (points.z - cz) ** 2)
    distance += 4.0 * scene.smooth_noise(6.0, key=lesion.key)
    blood: Field = scene.ventricle * inside(distance - reach, 2.5)
    return blood
