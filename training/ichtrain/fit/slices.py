"""Prepared folders -> the slices that a member trains on and the studies it is judged on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ichcore.grid import Grid
from ichtrain.data import SUBSETS, LabelledSeries, Prepared
from ichtrain.data.prepared import INDEX_FILE
from ichtrain.data.splits import refuse_leak
from ichtrain.errors import DataError, OneClass
from ichtrain.fit.options import FitOptions


@dataclass(frozen=True)
class SeriesSlices:
    """Some slices of one series: which folder, which series, and their indices."""

    folder: int
    uid: str
    indices: NDArray[np.intp]


@dataclass(frozen=True)
class FitData:
    """What a member learns from: slices with blood, slices without, and whole studies to judge.

    Only the whereabouts are held; pixels are read from the folders when they are needed.
    """

    folders: tuple[Prepared, ...]
    grid: Grid
    positive: tuple[SeriesSlices, ...]
    negative: tuple[SeriesSlices, ...]
    validation: tuple[SeriesSlices, ...]
    facts: dict[str, Any]

    def series(self, where: SeriesSlices) -> LabelledSeries:
        """The series that `where` speaks of; its arrays are memory maps."""
        return self.folders[where.folder].series(where.uid)

    def items(self, series: LabelledSeries, indices: Iterable[int]) -> NDArray[np.float16]:
        """HU [len(indices), S, R, C]: each slice with its neighbours, the edge repeated."""
        half = self.grid.slices_per_item // 2
        last = len(series.hu) - 1
        around = [
            [min(max(index + offset, 0), last) for offset in range(-half, half + 1)]
            for index in indices
        ]
        return np.asarray(series.hu[np.asarray(around, dtype=np.intp)], dtype=np.float16)


def fit_data_from_folders(folders: Sequence[Path], options: FitOptions) -> FitData:
    """Read the indices of prepared folders and choose what `options` asks for.

    Raises `SplitLeak` where a patient is in two splits, `OneClass` where training or validation
    lacks one class, and `DataError` where folders are on different grids.
    """
    if not folders:
        raise DataError("No data were given; name at least one prepared folder.")
    prepared = tuple(Prepared(folder) for folder in folders)
    for other in prepared[1:]:
        if replace(other.grid, slices_per_item=1) != replace(prepared[0].grid, slices_per_item=1):
            raise DataError(
                f"{other.folder} is on another grid than {prepared[0].folder}; prepare both alike."
            )
    refuse_leak(chain.from_iterable(each.patients for each in prepared))
    grid = prepared[0].grid
    grid = replace(grid, slices_per_item=options.slices_per_item or grid.slices_per_item)
    positive, negative = _training(prepared, options)
    validation, studies = _validation(prepared, options)
    facts = {
        "folders": [_facts(each) for each in prepared],
        "training_series": len({each.uid for each in (*positive, *negative)}),
        "training_slices": {
            "positive": sum(len(each.indices) for each in positive),
            "negative": sum(len(each.indices) for each in negative),
        },
        "validation_series": studies,
    }
    return FitData(prepared, grid, positive, negative, validation, facts)


def study_label(series: LabelledSeries) -> int:
    """1 with blood, 0 without, -1 where some slices are unknown and none is positive."""
    if series.has("any"):
        return 1
    return 0 if series.is_normal else -1


Pool = tuple[SeriesSlices, ...]


def _training(folders: Sequence[Prepared], options: FitOptions) -> tuple[Pool, Pool]:
    pools: tuple[list[SeriesSlices], list[SeriesSlices]] = ([], [])
    for number, folder in enumerate(folders):
        for series in folder.split("train"):
            if not SUBSETS[options.subset](series):
                continue
            for label, pool in zip((1, 0), pools, strict=True):
                indices = np.flatnonzero(series.labels[:, 0] == label)
                # Strong training learns where blood is; a series that has none needs no mask.
                drawn = series.lesion is not None or series.is_normal
                if len(indices) and (drawn or options.annotation == "weak"):
                    pool.append(SeriesSlices(number, series.SeriesInstanceUID, indices))
    for pool, word in zip(pools, ("with", "without"), strict=True):
        if not pool:
            raise OneClass(
                f"{_named(folders)}: no slice {word} blood for {options.annotation} training on "
                f"subset {options.subset}; add such series to the train split."
            )
    return tuple(pools[0]), tuple(pools[1])


def _validation(folders: Sequence[Prepared], options: FitOptions) -> tuple[Pool, dict[str, int]]:
    chosen, labels = [], []
    for number, folder in enumerate(folders):
        for series in folder.split("validation"):
            label = study_label(series)
            if label >= 0 and SUBSETS[options.subset](series):
                indices = np.arange(len(series.hu))
                chosen.append(SeriesSlices(number, series.SeriesInstanceUID, indices))
                labels.append(label)
    for label, word in ((1, "with"), (0, "without")):
        if label not in labels:
            raise OneClass(
                f"{_named(folders)}: no validation series {word} blood in subset "
                f"{options.subset}; nothing can be measured. Add some to the validation split."
            )
    return tuple(chosen), {"positive": sum(labels), "negative": len(labels) - sum(labels)}


def _named(folders: Sequence[Prepared]) -> str:
    return ", ".join(str(each.folder) for each in folders)


def _facts(folder: Prepared) -> dict[str, Any]:
    index = (folder.folder / INDEX_FILE).read_bytes()
    return {
        "name": folder.folder.name,
        "index_sha256": hashlib.sha256(index).hexdigest(),
        "series": len(folder),
    }
