"""Phantoms -> a file of slices to compare engines on, or to calibrate quantised ones with.

`ichexport build` reads it: HU on the grid, the study of each slice and its place, and which
studies show blood.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import numpy as np

from ichcore import Grid
from ichexport.files import written_whole
from ichtrain.data.items import items_hu
from ichtrain.phantom import PhantomOptions
from ichtrain.phantoms import FIRST_SEED, MOST_PER_SPLIT, Progress, made_series

FIRST_SEEDS = {
    "compare": FIRST_SEED["test"] + MOST_PER_SPLIT,
    "calibrate": FIRST_SEED["test"] + 2 * MOST_PER_SPLIT,
}
"""By purpose: no head was trained, fitted or tested on, and none is calibrated and compared on."""

MIXED_KINDS = (
    "normal", "sdh", "normal", "sah", "small", "normal",
    "iph", "small", "normal", "edh", "mixed", "ivh",
)  # fmt: skip


@dataclass(frozen=True)
class SlicesPlan:
    """How many phantoms to draw for a purpose, of which kinds in turn, and slices of each.

    With 16 slices a head still has slices close enough to be judged negative.
    """

    purpose: str = "compare"
    count: int = 24
    kinds: tuple[str, ...] = MIXED_KINDS
    slices: int = 16
    matrix: int = 256

    def options(self) -> tuple[PhantomOptions, ...]:
        """The options of every phantom, in order."""
        first = FIRST_SEEDS[self.purpose]
        return tuple(
            PhantomOptions(kind=kind, slices=self.slices, seed=first + offset, matrix=self.matrix)
            for offset, kind in zip(range(self.count), cycle(self.kinds), strict=False)
        )


def write_slices(
    path: Path,
    plan: SlicesPlan,
    grid: Grid,
    *,
    workers: int = 2,
    progress: Progress = lambda done, total: None,
) -> None:
    """Draw the phantoms and write HU, STUDY, POSITION_MM and TRUTH, whole or not at all."""
    work = [(options, "test", grid) for options in plan.options()]
    progress(0, len(work))
    made = []
    for number, series in enumerate(made_series(work, workers), 1):
        made.append(series)
        progress(number, len(work))
    content = io.BytesIO()
    np.savez_compressed(
        content,
        HU=np.concatenate([items_hu(series, grid.slices_per_item) for series in made]),
        STUDY=np.repeat(np.arange(len(made)), [len(series.hu) for series in made]),
        POSITION_MM=np.concatenate([series.position_mm for series in made]),
        TRUTH=np.array([series.has("any") for series in made]),
    )
    written_whole(path, content.getvalue())
