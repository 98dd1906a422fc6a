"""Phantoms -> training items on the model's grid, made by the very functions the client uses."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import cycle

import numpy as np
from numpy.typing import NDArray

from ichcore import Grid, hu_on_grid, mask_on_grid, placement_from_hu
from ichtrain.phantom import Phantom, PhantomOptions, phantom_from_options

SMALL_VOLUME_ML = 5.0
"""Lesions of up to this volume are small; source: Kang et al. 2023 and its follow-up."""

VISIBLE_LESION_MM2 = 12.0
"""Lesion area from which a slice counts as positive; three mask pixels of the default grid."""


@dataclass(frozen=True)
class Items:
    """One series on the grid.

    `hu` float16 [n, 1, R, C]; `lesion` and `brain` float16 shares [n, R/2, C/2] of 0 to 1;
    `position_mm` float32 [n]; `kind` the phantom's kind; `volume_ml` all its blood.
    """

    hu: NDArray[np.float16]
    lesion: NDArray[np.float16]
    brain: NDArray[np.float16]
    position_mm: NDArray[np.float32]
    kind: str
    volume_ml: float

    def positive(self, grid: Grid) -> NDArray[np.bool_]:
        """Which slices show blood, shape [n]."""
        area_mm2 = self.lesion.astype(np.float32).sum(axis=(1, 2)) * grid.mask_pixel_mm2
        return np.asarray(area_mm2 >= VISIBLE_LESION_MM2)


def items_from_phantom(phantom: Phantom, grid: Grid) -> Items:
    """Carry HU and masks of a phantom to the grid, slice by slice."""
    hu, lesion, brain = [], [], []
    spacing_mm = phantom.pixel_spacing_mm
    for index, pixels in enumerate(phantom.hu):
        placement = placement_from_hu(pixels, spacing_mm, spacing_mm)
        hu.append(hu_on_grid(pixels, placement, grid)[None])
        lesion.append(mask_on_grid(phantom.lesion[index] > 0, placement, grid))
        brain.append(mask_on_grid(phantom.intracranial[index], placement, grid))
    count = len(phantom.hu)
    return Items(
        hu=np.stack(hu),
        lesion=np.stack(lesion).astype(np.float16),
        brain=np.stack(brain).astype(np.float16),
        position_mm=(np.arange(count) * phantom.slice_spacing_mm).astype(np.float32),
        kind=phantom.kind,
        volume_ml=float(phantom.lesion_ml),
    )


def items_from_options(options: PhantomOptions) -> Items:
    """Make one phantom and carry it to the default grid; the unit of parallel work."""
    return items_from_phantom(phantom_from_options(options), Grid())


def items_from_seeds(
    kinds: Iterable[str], count: int, first_seed: int, *, slices: int, matrix: int, workers: int
) -> list[Items]:
    """`count` phantoms of successive seeds, their kinds taken in turn."""
    options = [
        PhantomOptions(kind=kind, slices=slices, seed=first_seed + offset, matrix=matrix)
        for offset, kind in zip(range(count), cycle(kinds), strict=False)
    ]
    if workers <= 1:
        return [items_from_options(each) for each in options]
    with phantom_pool(workers) as pool:
        return list(pool.map(items_from_options, options))


def phantom_pool(workers: int) -> ProcessPoolExecutor:
    """Processes for `items_from_options`, with one BLAS thread each.

    Left alone, each process starts a thread per core, and they spend their time waiting for each
    other: several times as long on two cores.
    """
    return ProcessPoolExecutor(workers, initializer=_one_thread)


def _one_thread() -> None:
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)
