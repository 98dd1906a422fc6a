"""PhantomOptions -> Phantom: recipe, anatomy slice by slice, blood of the wanted size, scanner."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ichtrain.errors import PhantomError
from ichtrain.phantom.brain import paint_inside
from ichtrain.phantom.fields import Field, NoiseVolume, SlicePoints, upsampled
from ichtrain.phantom.layout import Layout, plane_from_layout
from ichtrain.phantom.lesions import (
    LesionRecipe,
    lesions_from_kind,
    opening_from_lesion,
    paint_blood,
    sheet_from_lesion,
    shift_from_lesions,
)
from ichtrain.phantom.options import (
    LARGEST_SMALL_ML,
    SMALLEST_LESION_ML,
    SUBTYPES,
    Lesion,
    Phantom,
    PhantomOptions,
)
from ichtrain.phantom.recipe import HeadRecipe, head_from_rng
from ichtrain.phantom.scanner import ScannerRecipe, acquired, scanner_from_options
from ichtrain.phantom.scene import AIR_HU, Scene, scene_from_points
from ichtrain.phantom.shell import BaseMaps, base_maps_from_head
from ichtrain.phantom.skull import paint_outside
from ichtrain.phantom.spaces import spaces_from_scene

WORK_MATRIX = 256
"""Anatomy is painted at most this fine (about 0.9 mm, a soft kernel's resolution)."""
PREVIEW_MATRIX = 80
MOST_HEADS = 6
MOST_ATTEMPTS = 8
MOST_PREVIEWS = 4
LABEL_SHARE = 0.4
"""A voxel is labelled when this share of it is blood: thin blood shows before it fills half."""


@dataclass(frozen=True)
class Patient:
    """One drawn head with its bleeds and the sizes they have been tuned to."""

    head: HeadRecipe
    base: BaseMaps
    noise: NoiseVolume
    lesions: list[LesionRecipe]
    sizes: dict[Lesion, float]


def phantom_from_options(options: PhantomOptions) -> Phantom:
    """Make the phantom; the same options give the same voxels on the same machine."""
    kind_key = sum(ord(letter) << (8 * i) for i, letter in enumerate(options.kind[:3]))
    rng = np.random.default_rng((options.seed, kind_key))
    for _ in range(MOST_HEADS):
        phantom = _phantom_of_one_head(options, rng)
        if phantom is not None:
            return phantom
    raise PhantomError(
        f"Phantom {options.kind} with seed {options.seed} and {options.slices} slices got no "
        f"lesion of a fitting size in {MOST_HEADS} heads. Use another seed."
    )


def _phantom_of_one_head(options: PhantomOptions, rng: np.random.Generator) -> Phantom | None:
    """Draw a head; None where it has no room for its bleed, as narrow ventricles have none."""
    head = head_from_rng(rng, options.calcification)
    scanner = scanner_from_options(options, rng)
    patient = Patient(
        head,
        base_maps_from_head(head, rng),
        NoiseVolume(rng),
        lesions_from_kind(options.kind, head, rng),
        {},
    )
    _tune_sizes(patient, scanner, options)
    for _ in range(MOST_ATTEMPTS):
        phantom = _rendered(patient, scanner, options, rng)
        if not _resize_misfits(patient, phantom):
            return phantom
    return None


def _rendered(
    patient: Patient, scanner: ScannerRecipe, options: PhantomOptions, rng: np.random.Generator
) -> Phantom:
    """Paint and scan every slice."""
    spacing = scanner.slice_spacing_mm
    work = Layout(
        min(options.matrix, WORK_MATRIX),
        scanner.pixel_spacing_mm * options.matrix,
        options.slices,
        spacing,
        min(3, 1 + int(spacing / 2.4)),
    )
    shape = (options.slices, options.matrix, options.matrix)
    hu = np.empty(shape, np.int16)
    label = np.empty(shape, np.uint8)
    intracranial = np.empty(shape, np.bool_)
    for index in range(options.slices):
        tissue, blood, cavity = _slice(patient, scanner, work, index)
        hu[index] = acquired(tissue, cavity, scanner, index, options.matrix, rng)
        label[index] = _labels(blood, options.matrix)
        intracranial[index] = _resized(cavity, options.matrix) > 0.5
    label[~intracranial] = Lesion.NONE
    return Phantom(
        hu,
        label,
        intracranial,
        scanner.pixel_spacing_mm,
        spacing,
        scanner.tilt_degrees,
        options.kind,
        options.seed,
        scanner.kernel,
    )


def _resize_misfits(patient: Patient, phantom: Phantom) -> bool:
    """Grow bleeds that came out too small to see, shrink too large small ones; True if any."""
    found = phantom.lesion_ml_by_subtype
    misfit = False
    for lesion in patient.lesions:
        if found[lesion.subtype] < SMALLEST_LESION_ML:
            patient.sizes[lesion.subtype] *= 2.5
            misfit = True
        elif phantom.kind == "small" and found[lesion.subtype] > LARGEST_SMALL_ML:
            patient.sizes[lesion.subtype] *= 0.6
            misfit = True
    return misfit


def _resized(values: Field, matrix: int) -> Field:
    return values if values.shape[0] == matrix else upsampled(values, (matrix, matrix))


def _labels(blood: dict[Lesion, Field], matrix: int) -> npt.NDArray[np.uint8]:
    label = np.zeros((matrix, matrix), np.uint8)
    for subtype, share in blood.items():
        label[_resized(share, matrix) > LABEL_SHARE] = subtype
    return label


def _slice(
    patient: Patient, scanner: ScannerRecipe, layout: Layout, index: int
) -> tuple[Field, dict[Lesion, Field], Field]:
    """Mean HU, blood and cavity of one slice over its sub-slices (partial volume)."""
    shape = (layout.matrix, layout.matrix)
    total, cavity = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    blood: dict[Lesion, Field] = {}
    for sub in range(layout.sub_slices):
        along = ((sub + 0.5) / layout.sub_slices - 0.5) * layout.spacing_mm
        plane = plane_from_layout(patient.head, scanner, layout, index, along)
        crop = plane.head_window(patient.head)
        if crop is None:
            total += AIR_HU
            continue
        scene = _scene(patient, plane.points(crop))
        paint_outside(scene)
        if float(scene.cavity.max()) > 0.0:
            _paint_cavity(scene, patient, tissue=True)
        total += AIR_HU
        total[crop] += scene.hu - AIR_HU
        cavity[crop] += scene.cavity
        for subtype, share in scene.blood.items():
            blood.setdefault(subtype, np.zeros(shape, np.float32))[crop] += share
    mean = {subtype: share / layout.sub_slices for subtype, share in blood.items()}
    return total / layout.sub_slices, mean, cavity / layout.sub_slices


def _scene(patient: Patient, points: SlicePoints) -> Scene:
    return scene_from_points(patient.head, patient.base, patient.noise, points)


def _paint_cavity(scene: Scene, patient: Patient, tissue: bool) -> None:
    """Lay out and paint the inside of the skull; without `tissue` only the blood is made."""
    zero = np.zeros_like(scene.hu)
    sizes = [patient.sizes[lesion.subtype] for lesion in patient.lesions]
    pairs = list(zip(patient.lesions, sizes, strict=True))
    sheets = [sheet_from_lesion(scene, lesion, size) for lesion, size in pairs]
    sheet = np.max([zero, *sheets], axis=0)
    wide = np.max([zero, *(opening_from_lesion(scene, *p) for p in pairs)], axis=0)
    needs_spaces = any(lesion.subtype in (Lesion.SAH, Lesion.IVH) for lesion in patient.lesions)
    if tissue or needs_spaces:
        shift = shift_from_lesions(scene, patient.lesions)
        spaces = spaces_from_scene(scene, sheet, shift, wide)
        if tissue:
            paint_inside(scene, spaces)
    for (lesion, size), thickness in zip(pairs, sheets, strict=True):
        paint_blood(scene, lesion, size, thickness)


def _tune_sizes(patient: Patient, scanner: ScannerRecipe, options: PhantomOptions) -> None:
    """Scale each bleed until a coarse preview shows about its target volume."""
    if not patient.lesions:
        return
    layout = Layout(
        PREVIEW_MATRIX,
        scanner.pixel_spacing_mm * options.matrix,
        options.slices,
        scanner.slice_spacing_mm,
        1,
    )
    patient.sizes.update({lesion.subtype: 1.0 for lesion in patient.lesions})
    every = max(1, options.slices // 12)
    voxel_ml = (layout.fov_mm / PREVIEW_MATRIX) ** 2 * layout.spacing_mm * every / 1000.0
    for _ in range(MOST_PREVIEWS):
        found = dict.fromkeys(SUBTYPES, 0.0)
        for index in range(0, options.slices, every):
            plane = plane_from_layout(patient.head, scanner, layout, index, 0.0)
            crop = plane.head_window(patient.head)
            if crop is None:
                continue
            scene = _scene(patient, plane.points(crop))
            if float(scene.cavity.max()) == 0.0:
                continue
            _paint_cavity(scene, patient, tissue=False)
            for subtype, share in scene.blood.items():
                labelled = np.count_nonzero(share > LABEL_SHARE)
                found[subtype] += labelled * voxel_ml
        done = True
        for lesion in patient.lesions:
            goal = max(lesion.target_ml, 2.0 * SMALLEST_LESION_ML)
            ceiling = 0.85 * LARGEST_SMALL_ML if options.kind == "small" else 1e3
            goal = min(goal, ceiling)
            ratio = goal / max(found[lesion.subtype], 0.02 * goal)
            if not 0.75 < ratio < 1.33:
                done = False
                patient.sizes[lesion.subtype] *= float(np.clip(ratio, 0.2, 6.0))
        if done:
            return
