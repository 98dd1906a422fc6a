"""Tissue -> CT values: geometry of the series, resolution, cupping, streaks, noise, headrest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ichtrain.phantom.fields import Field, upsampled
from ichtrain.phantom.options import PhantomOptions

_FOV_MM = 230.0
_HEAD_MM = 150.0

_GLOW = ((3.5, 120.0), (10.0, 80.0), (24.0, 60.0))
"""Reach in mm and greatest strength in HU of what bone leaves in the tissue beside it.

Beam hardening, scatter and the tails of the point spread: in a real head the first 2 mm under the
skull were seen 25 HU and more brighter than tissue 15 mm away, and the centre 5 HU darker still.
"""


@dataclass(frozen=True)
class Metal:
    """A clip, plate, electrode or filling: its place as a share of the image, size and streaks."""

    row: float
    column: float
    radius_mm: float
    first_slice: int
    last_slice: int
    streak_hu: float


@dataclass(frozen=True)
class ScannerRecipe:
    """How one head was scanned; `table_step_mm` is the distance between slices along z."""

    pixel_spacing_mm: float
    slice_spacing_mm: float
    tilt_degrees: float
    centre_z_mm: float
    kernel: str
    noise_hu: float
    grain_pixels: float
    streak_hu: float
    glow_hu: tuple[float, ...]
    offset_hu: float
    gain: float
    motion_mm: float
    headrest: Field
    metal: Metal | None

    @property
    def table_step_mm(self) -> float:
        """Distance between neighbouring slices along the table."""
        return self.slice_spacing_mm / float(np.cos(np.deg2rad(self.tilt_degrees)))


def scanner_from_options(options: PhantomOptions, rng: np.random.Generator) -> ScannerRecipe:
    """Draw the scan; what the options give is kept."""
    pixel = rng.uniform(0.42, 0.52) * 512.0 / options.matrix
    few = rng.uniform(4.0, 7.5)
    spacing = (
        few
        if options.slices * few <= _HEAD_MM * 1.15
        else (_HEAD_MM * rng.uniform(0.97, 1.15) / options.slices)
    )
    if options.slices * spacing > _HEAD_MM and rng.random() < 0.1:
        spacing *= rng.uniform(0.2, 0.6)  # thin slices over a part of the head
    tilt = 0.0 if rng.random() < 0.5 else float(rng.uniform(-14.0, 24.0))
    kernel = "sharp" if rng.random() < 0.15 else "soft"
    kernel = options.kernel or kernel
    spacing = options.slice_spacing_mm or spacing
    pixel = options.pixel_spacing_mm or pixel
    noise = float(np.exp(rng.uniform(np.log(1.6), np.log(5.0))))
    grain = rng.uniform(0.55, 1.1)
    fov = pixel * options.matrix
    tilt = tilt if options.tilt_degrees is None else options.tilt_degrees
    return ScannerRecipe(
        pixel_spacing_mm=float(round(pixel, 6)),
        slice_spacing_mm=float(round(spacing, 4)),
        tilt_degrees=float(round(tilt, 3)),
        centre_z_mm=float(8.0 + rng.normal(0.0, 8.0)),
        kernel=kernel,
        noise_hu=noise * (1.7 if kernel == "sharp" else 1.0),
        grain_pixels=float(grain),
        streak_hu=float(rng.uniform(0.0, 9.0)),
        glow_hu=tuple(float(rng.uniform(0.0, most)) for _, most in _GLOW),
        offset_hu=float(rng.uniform(-7.0, 9.0)),
        gain=float(rng.normal(1.0, 0.02)),
        motion_mm=float(rng.uniform(1.0, 3.0)) if rng.random() < 0.08 else 0.0,
        headrest=_headrest(fov, rng),
        metal=_metal(options.slices, rng) if rng.random() < 0.12 else None,
    )


def _metal(slices: int, rng: np.random.Generator) -> Metal:
    """A piece of metal somewhere in or on the head, over a few slices."""
    first = int(rng.integers(0, slices))
    angle, away = rng.uniform(0.0, 2.0 * np.pi), rng.uniform(0.05, 0.36)
    return Metal(
        row=float(0.5 + away * np.sin(angle)),
        column=float(0.5 + 0.8 * away * np.cos(angle)),
        radius_mm=float(rng.uniform(0.7, 4.0)),
        first_slice=first,
        last_slice=first + int(rng.integers(0, 5)),
        streak_hu=float(rng.uniform(8.0, 90.0)),
    )


def _headrest(fov_mm: float, rng: np.random.Generator, matrix: int = 256) -> Field:
    """HU of the head holder: a shell behind the head, sometimes with foam inside."""
    axis = (np.arange(matrix) + 0.5 - matrix / 2) * fov_mm / matrix
    y, x = np.meshgrid(axis, axis, indexing="ij")
    rest = np.full((matrix, matrix), -1000.0)
    if rng.random() < 0.85:
        radius = rng.uniform(104.0, 122.0)
        flat = rng.uniform(0.8, 1.1)
        distance = np.abs(np.hypot(x, y * flat) - radius)
        behind = y > rng.uniform(-10.0, 70.0)
        thick = rng.uniform(0.8, 2.0)
        shell = np.clip(0.5 - (distance - thick) / 1.2, 0, 1) * behind
        foam = (np.hypot(x, y * flat) < radius) & (y > rng.uniform(30.0, 60.0))
        rest[foam] = -1000.0 + rng.uniform(0.0, 60.0)
        rest += shell * (rng.uniform(-150.0, 250.0) - rest)
    return rest.astype(np.float32)


def acquired(
    tissue_hu: Field,
    cavity: Field,
    scanner: ScannerRecipe,
    index: int,
    matrix: int,
    rng: np.random.Generator,
) -> npt.NDArray[np.int16]:
    """Slice `index` as reconstructed, int16 HU [matrix, matrix], from mean tissue HU."""
    size = tissue_hu.shape[0]
    rest = scanner.headrest if size == 256 else upsampled(scanner.headrest, (size, size))
    hu = np.maximum(tissue_hu, rest)
    if scanner.motion_mm and rng.random() < 0.3:
        step = round(scanner.motion_mm * size / (scanner.pixel_spacing_mm * matrix))
        hu = 0.6 * hu + 0.4 * np.roll(hu, int(rng.choice((-1, 1))) * step, axis=1)
    bone = np.clip(hu - 250.0, 0.0, 1200.0)
    pixel_mm = scanner.pixel_spacing_mm * matrix / size
    hu = hu + _beam_hardening(bone, cavity, scanner, pixel_mm, rng)
    if scanner.metal and scanner.metal.first_slice <= index <= scanner.metal.last_slice:
        hu = _with_metal(hu, scanner.metal, pixel_mm, rng)
    # Only soft tissue is sharpened: at the skull both steps would ring by hundreds of HU.
    soft = np.clip(hu, -60.0, 130.0)
    dense = hu - soft
    if scanner.kernel == "sharp":
        soft += 0.35 * (soft - ndimage.gaussian_filter(soft, 1.0))
    if size != matrix:
        soft = upsampled(soft, (matrix, matrix), cubic=True)
        dense = upsampled(dense, (matrix, matrix))
    hu = soft + dense
    brain = scanner.gain * hu + scanner.offset_hu
    hu = np.where(hu > -500.0, brain, hu)
    crowded = 1.0 + 2.0 * float(np.mean(bone > 0) ** 1.0)
    hu += _noise(scanner, matrix, crowded, rng)
    result: npt.NDArray[np.int16] = np.rint(np.clip(hu, -1024.0, 3071.0)).astype(np.int16)
    return result


def _with_metal(hu: Field, metal: Metal, pixel_mm: float, rng: np.random.Generator) -> Field:
    """The metal itself, and bright and dark rays that fade with the distance from it."""
    size = hu.shape[0]
    axis = np.arange(size, dtype=np.float32)
    down, across = axis[:, None] - metal.row * size, axis[None, :] - metal.column * size
    away_mm = np.hypot(down, across) * pixel_mm
    rays = ndimage.gaussian_filter1d(rng.standard_normal(720), rng.uniform(1.5, 6.0), mode="wrap")
    turn = ((np.arctan2(down, across) / (2.0 * np.pi) + 0.5) * 719.0).astype(np.intp)
    streak = metal.streak_hu * (rays / rays.std())[turn] * np.exp(-away_mm / 45.0)
    result: Field = (hu + streak * (hu > -500.0)).astype(np.float32)
    result[away_mm < metal.radius_mm] = 3071.0
    return result


def _glow(bone: Field, scanner: ScannerRecipe, pixel_mm: float) -> Field:
    """HU that a share of bone [R, R] adds around it, in three reaches."""
    size = bone.shape[0]
    step = 2 if size % 2 == 0 else 1  # nothing here is finer than two pixels
    coarse = bone.reshape(size // step, step, size // step, step).mean((1, 3))
    near = np.zeros_like(coarse)
    for (reach_mm, _), strength_hu in zip(_GLOW, scanner.glow_hu, strict=True):
        near += strength_hu * ndimage.gaussian_filter(
            coarse, reach_mm / (pixel_mm * step), truncate=2.5
        )
    return upsampled(near.astype(np.float32), (size, size))


def _beam_hardening(
    bone: Field, cavity: Field, scanner: ScannerRecipe, pixel_mm: float, rng: np.random.Generator
) -> Field:
    """Brightening under the skull, and dark and bright bands between dense bones."""
    size = bone.shape[0]
    field = _glow(bone / 1000.0, scanner, pixel_mm)
    inner = (bone * (cavity < 0.5)).sum(1) / 1200.0
    profile = ndimage.gaussian_filter1d(np.clip(inner - 0.13 * size, 0.0, None), 2.0)
    if scanner.streak_hu and float(profile.max()) > 0.0:
        bands = ndimage.gaussian_filter1d(rng.standard_normal(size), 1.5 * size / 256)
        bands = (bands / bands.std() - 0.6) * profile / (0.15 * size)
        lean = ndimage.gaussian_filter1d(rng.standard_normal(size), size / 10)
        across = np.exp(-((np.linspace(-2.0, 2.0, size)) ** 2)) * (1 + lean / lean.std() * 0.3)
        field = field + scanner.streak_hu * np.outer(np.clip(bands, -3, 2), across) * cavity
    result: Field = field.astype(np.float32)
    return result


def _noise(scanner: ScannerRecipe, matrix: int, crowded: float, rng: np.random.Generator) -> Field:
    """Correlated noise: blurred for a soft kernel, blue for a sharp one, stronger in the centre."""
    white = rng.standard_normal((matrix, matrix), dtype=np.float32)
    grain = scanner.grain_pixels * max(matrix / 512.0, 0.35)
    blurred = ndimage.gaussian_filter(white, grain, truncate=2.5)
    noise = white - 0.7 * blurred if scanner.kernel == "sharp" else blurred
    axis = np.linspace(-1.0, 1.0, matrix, dtype=np.float32)
    radius2 = axis[:, None] ** 2 + axis[None, :] ** 2
    # Averaging a 512 matrix down to fewer pixels would lower the noise.
    level = scanner.noise_hu * crowded * min(1.0, (matrix / 512.0) ** 0.5)
    result: Field = noise * (level / float(noise.std())) * (1.1 - 0.45 * radius2)
    return result
