"""Tiny prepared folders from numpy: heads with and without a bright disc."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ichcore import Grid
from ichtrain.data import LABELS, LabelledSeries, PreparedWriter
from ichtrain.fit import FitOptions

GRID = Grid(rows=64, columns=64, pixel_spacing_mm=4.0)
SLICES = 4
MakeSeries = Callable[..., LabelledSeries]


def disc_series(number: int, split: str, bleeds: bool, **changes: Any) -> LabelledSeries:
    """A round head of four slices, the two in the middle with a bright disc if it bleeds."""
    rng = np.random.default_rng(number)
    rows, columns = np.mgrid[-1:1:64j, -1:1:64j]
    radius = np.hypot(rows, columns)
    head = np.where(radius < 0.75, 30.0, np.where(radius < 0.85, 900.0, -1000.0))
    hu = np.repeat(head[None], SLICES, axis=0)
    lesion = np.zeros((SLICES, 32, 32), dtype=np.uint8)
    if bleeds:
        row, column = rng.uniform(-0.35, 0.35, 2)
        disc = np.hypot(rows - row, columns - column) < 0.25
        hu[1:3, disc] = 75.0
        lesion[1:3] = disc[::2, ::2] * 255
    hu = np.rint(hu + rng.normal(0, 4, hu.shape)).clip(-1024, 2047)
    labels = np.zeros((SLICES, len(LABELS)), dtype=np.int8)
    if bleeds:
        labels[1:3, [0, 1 + number % 2]] = 1
    fields: dict[str, Any] = {
        "SeriesInstanceUID": f"1.2.{number}",
        "SOPInstanceUID": tuple(f"1.2.{number}.{index}" for index in range(SLICES)),
        "patient": f"P{number}",
        "site": "numpy",
        "split": split,
        "annotation": "mask",
        "labels": labels,
        "lesion_ml": 6.0 if bleeds else 0.0,
        "hu": hu.astype(np.float16),
        "position_mm": np.arange(SLICES, dtype=np.float32) * 5,
        "lesion": lesion,
        "brain": np.repeat((radius < 0.75)[None, ::2, ::2] * np.uint8(255), SLICES, axis=0),
    }
    return LabelledSeries(**{**fields, **changes})


def prepared(folder: Path, series: list[LabelledSeries], grid: Grid = GRID) -> Path:
    writer = PreparedWriter(folder, grid)
    for each in series:
        writer.add(each)
    return folder


@pytest.fixture(scope="session")
def discs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve training and eight validation series, half of them with a disc."""
    series = [disc_series(n, "train", n % 4 < 2) for n in range(12)]
    series += [disc_series(n, "validation", n % 4 < 2) for n in range(100, 108)]
    return prepared(tmp_path_factory.mktemp("prepared") / "discs", series)


@pytest.fixture
def quick() -> Callable[..., FitOptions]:
    """Options of seconds; anything may be changed."""

    def options(**changes: Any) -> FitOptions:
        fields = {
            "name": "ich_any", "epochs": 2, "steps_per_epoch": 3, "batch_size": 4, "workers": 0,
            "device": "cpu",
        }  # fmt: skip
        return FitOptions(**{**fields, **changes})

    return options


@pytest.fixture(scope="session")
def study_discs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with one label a study, spread over its slices, and nothing drawn."""
    series = []
    for number in (*range(12), *range(100, 108)):
        bleeds = number % 4 < 2
        labels = np.full((SLICES, len(LABELS)), int(bleeds), dtype=np.int8)
        split = "train" if number < 100 else "validation"
        changes = {"annotation": "study", "labels": labels, "lesion": None, "brain": None}
        series.append(disc_series(number, split, bleeds, **changes, lesion_ml=None))
    return prepared(tmp_path_factory.mktemp("prepared") / "studies", series)


@pytest.fixture
def make() -> MakeSeries:
    """Makes one series by number, split, and whether it bleeds."""
    return disc_series


@pytest.fixture
def fold(tmp_path: Path) -> Callable[..., Path]:
    """Puts series into a prepared folder of their own."""

    def folder(series: list[LabelledSeries], grid: Grid = GRID) -> Path:
        return prepared(tmp_path / f"data{len(list(tmp_path.iterdir()))}", series, grid)

    return folder
