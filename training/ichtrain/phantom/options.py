"""The phantom's vocabulary: kinds, lesion labels, options in and the finished phantom out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from ichtrain.errors import PhantomOptionError

KINDS = ("normal", "sdh", "sah", "edh", "iph", "ivh", "small", "mixed")
KERNELS = ("soft", "sharp")

LARGEST_SMALL_ML = 5.0
SMALLEST_LESION_ML = 0.3


class Lesion(IntEnum):
    """Label values of the lesion mask."""

    NONE = 0
    SDH = 1
    SAH = 2
    EDH = 3
    IPH = 4
    IVH = 5


SUBTYPES = (Lesion.SDH, Lesion.SAH, Lesion.EDH, Lesion.IPH, Lesion.IVH)


def _check_range(name: str, value: float | None, low: float, high: float) -> None:
    if value is not None and not low <= value <= high:
        raise PhantomOptionError(f"{name} is {value}: give a value from {low:g} to {high:g}.")


@dataclass(frozen=True)
class PhantomOptions:
    """What to make; a field left None is drawn from the seed.

    Raises PhantomOptionError for an unknown kind or kernel, or a number out of range.
    """

    kind: str = "normal"
    slices: int = 32
    seed: int = 0
    matrix: int = 512
    pixel_spacing_mm: float | None = None
    slice_spacing_mm: float | None = None
    tilt_degrees: float | None = None
    kernel: str | None = None
    calcification: bool | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise PhantomOptionError(f"kind is {self.kind!r}: choose one of {', '.join(KINDS)}.")
        if self.kernel is not None and self.kernel not in KERNELS:
            raise PhantomOptionError(
                f"kernel is {self.kernel!r}: choose one of {', '.join(KERNELS)}."
            )
        _check_range("slices", self.slices, 8, 400)
        _check_range("seed", self.seed, 0, 2**31 - 1)
        _check_range("matrix", self.matrix, 64, 1024)
        if self.matrix % 2:
            raise PhantomOptionError(f"matrix is {self.matrix}: give an even number of pixels.")
        _check_range("slice_spacing_mm", self.slice_spacing_mm, 0.3, 12.0)
        _check_range("tilt_degrees", self.tilt_degrees, -30.0, 30.0)
        if self.pixel_spacing_mm is not None:
            _check_range("matrix * pixel_spacing_mm", self.matrix * self.pixel_spacing_mm, 190, 320)
        if self.slice_spacing_mm is not None:
            _check_range("slices * slice_spacing_mm", self.slices * self.slice_spacing_mm, 60, 260)


@dataclass(frozen=True)
class Phantom:
    """One synthetic head: voxels, exact labels and geometry.

    hu: int16 [n, R, C], slices inferior to superior, rows anterior to posterior, columns
    patient right to left. lesion: uint8 [n, R, C] of `Lesion`. intracranial: bool [n, R, C],
    inside the skull (brain, CSF, meninges, blood). slice_spacing_mm is along the slice normal;
    with a tilt the table moves slice_spacing_mm / cos(tilt) from slice to slice.
    """

    hu: npt.NDArray[np.int16]
    lesion: npt.NDArray[np.uint8]
    intracranial: npt.NDArray[np.bool_]
    pixel_spacing_mm: float
    slice_spacing_mm: float
    tilt_degrees: float
    kind: str
    seed: int
    kernel: str = "soft"

    def __post_init__(self) -> None:
        if self.hu.ndim != 3 or not self.hu.shape == self.lesion.shape == self.intracranial.shape:
            raise PhantomOptionError(
                f"hu {self.hu.shape}, lesion {self.lesion.shape} and intracranial "
                f"{self.intracranial.shape} differ: give three volumes of one shape [n, R, C]."
            )

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in millilitres."""
        return self.pixel_spacing_mm**2 * self.slice_spacing_mm / 1000.0

    @property
    def lesion_ml(self) -> float:
        """Total lesion volume in millilitres."""
        return float(np.count_nonzero(self.lesion)) * self.voxel_ml

    @property
    def lesion_ml_by_subtype(self) -> dict[Lesion, float]:
        """Lesion volume in millilitres of each subtype, zero where absent."""
        counts = np.bincount(self.lesion.ravel(), minlength=len(Lesion))
        return {subtype: float(counts[subtype]) * self.voxel_ml for subtype in SUBTYPES}
