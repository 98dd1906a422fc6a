"""Phantom plans -> a prepared folder: synthetic labelled series straight on the grid.

Every phantom is carried to the grid by the very functions the client uses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ichcore import Grid, hu_on_grid, mask_on_grid, placement_from_hu
from ichtrain.data import LABELS, SUBTYPES, LabelledSeries, PreparedWriter
from ichtrain.data.series import VISIBLE_LESION_MM2, lesion_labels
from ichtrain.phantom import Lesion, Phantom, PhantomOptions, phantom_from_options
from ichtrain.phantom.dicom import SeriesIdentity, uid_from_options

FIRST_SEED = {"train": 0, "validation": 1_000_000, "test": 2_000_000}
"""Phantoms of a split begin at this seed, so that no head is in two splits."""

MOST_PER_SPLIT = 1_000_000

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class PhantomPlan:
    """How many phantoms of a split to make, and of which kinds in turn."""

    split: str
    count: int
    kinds: tuple[str, ...]
    slices: int = 24
    matrix: int = 256

    def options(self) -> tuple[PhantomOptions, ...]:
        """The options of every phantom, in order."""
        first = FIRST_SEED[self.split]
        return tuple(
            PhantomOptions(kind=kind, slices=self.slices, seed=first + offset, matrix=self.matrix)
            for offset, kind in zip(range(self.count), cycle(self.kinds), strict=False)
        )


def series_from_options(options: PhantomOptions, split: str, grid: Grid) -> LabelledSeries:
    """Make one phantom and carry it to the grid; the unit of parallel work."""
    phantom = phantom_from_options(options)
    return series_from_phantom(phantom, uid_from_options(options), split, grid)


def series_from_phantom(
    phantom: Phantom, series_uid: str, split: str, grid: Grid
) -> LabelledSeries:
    """Carry HU, blood and the inside of the skull to the grid, slice by slice."""
    identity = SeriesIdentity(phantom)
    spacing_mm = phantom.pixel_spacing_mm
    hu, lesion, brain, labels = [], [], [], []
    for index, pixels in enumerate(phantom.hu):
        placement = placement_from_hu(pixels, spacing_mm, spacing_mm)
        hu.append(hu_on_grid(pixels, placement, grid))
        lesion.append(mask_on_grid(phantom.lesion[index] > 0, placement, grid))
        brain.append(mask_on_grid(phantom.intracranial[index], placement, grid))
        labels.append(_labels(phantom.lesion[index], spacing_mm))
    shares = _bytes(lesion)
    table = np.asarray(labels, dtype=np.int8)
    table[:, 0] = lesion_labels(shares, grid)
    count = len(hu)
    return LabelledSeries(
        SeriesInstanceUID=series_uid,
        SOPInstanceUID=tuple(identity.sop_instance_uid(index) for index in range(count)),
        patient=f"PHANTOM-{phantom.kind}-{phantom.seed}",
        site="phantom",
        split=split,
        annotation="mask",
        labels=table,
        lesion_ml=float(phantom.lesion_ml),
        hu=np.stack(hu),
        position_mm=(np.arange(count) * phantom.slice_spacing_mm).astype(np.float32),
        lesion=shares,
        brain=_bytes(brain),
    )


def prepare_phantoms(
    folder: Path,
    plans: Iterable[PhantomPlan],
    grid: Grid,
    *,
    workers: int = 2,
    progress: Progress = lambda done, total: None,
) -> None:
    """Fill a prepared folder with phantoms; those that are there already are kept.

    Raises `DataError` when the folder was made on another grid or cannot be written.
    """
    writer = PreparedWriter(folder, grid)
    work = [(options, plan.split, grid) for plan in plans for options in plan.options()]
    todo = [one for one in work if uid_from_options(one[0]) not in writer.done]
    progress(len(work) - len(todo), len(work))
    for number, series in enumerate(made_series(todo, workers), len(work) - len(todo) + 1):
        writer.add(series)
        progress(number, len(work))


Work = tuple[PhantomOptions, str, Grid]


def made_series(todo: list[Work], workers: int) -> Iterator[LabelledSeries]:
    """Phantoms on the grid in the order of the work, made by `workers` processes."""
    if workers <= 1:
        yield from (series_from_options(*one) for one in todo)
        return
    with phantom_pool(workers) as pool:
        yield from pool.map(_series_of, todo, chunksize=2)


def _series_of(work: Work) -> LabelledSeries:
    return series_from_options(*work)


def phantom_pool(workers: int) -> ProcessPoolExecutor:
    """Processes that make phantoms, with one BLAS thread each.

    Left alone, each process starts a thread per core, and they spend their time waiting for each
    other: several times as long on two cores.
    """
    return ProcessPoolExecutor(workers, initializer=_one_thread)


def _one_thread() -> None:
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)


def _labels(lesion: NDArray[np.uint8], spacing_mm: float) -> list[int]:
    """Labels of one slice; the first, for any blood, is set from the mask on the grid."""
    area_mm2 = np.bincount(lesion.ravel(), minlength=len(Lesion)) * spacing_mm**2
    by_name = {name: area_mm2[Lesion[name.upper()]] >= VISIBLE_LESION_MM2 for name in SUBTYPES}
    return [0, *(int(by_name[name]) for name in LABELS[1:])]


def _bytes(shares: list[NDArray[np.float32]]) -> NDArray[np.uint8]:
    return np.asarray(np.rint(np.clip(np.stack(shares), 0.0, 1.0) * 255.0), dtype=np.uint8)
