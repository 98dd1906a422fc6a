"""Phantoms go straight into a prepared folder, each split with heads of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ichcore import Grid
from ichtrain.data import LABELS, LabelledSeries, Prepared
from ichtrain.errors import DataError
from ichtrain.phantoms import PhantomPlan, prepare_phantoms, series_from_options

GRID = Grid(64, 64, 4.0)
PLAN = PhantomPlan("train", 3, ("normal", "iph", "mixed"), slices=8, matrix=64)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("prepared")
    prepare_phantoms(path, [PLAN], GRID, workers=1)
    return path


def series_of(folder: Path) -> list[LabelledSeries]:
    return list(Prepared(folder).split("train"))


def test_every_phantom_is_there_with_mask_and_brain(folder: Path) -> None:
    normal, bleeding, mixed = series_of(folder)
    assert normal.is_normal
    assert normal.lesion_ml == 0
    assert bleeding.subtypes == {"iph"}
    assert len(mixed.subtypes) >= 2
    for series in (normal, bleeding, mixed):
        assert series.lesion is not None
        assert series.brain is not None
        assert series.hu.shape == (8, 64, 64)
        assert series.lesion.shape == series.brain.shape == (8, 32, 32)


def test_a_slice_is_positive_where_its_mask_shows_blood(folder: Path) -> None:
    bleeding = series_of(folder)[1]
    assert bleeding.lesion is not None
    area_mm2 = bleeding.lesion.sum(axis=(1, 2)) / 255 * GRID.mask_pixel_mm2
    np.testing.assert_array_equal(bleeding.labels[:, 0] == 1, area_mm2 >= 12.0)
    assert np.all(bleeding.labels[:, LABELS.index("sdh")] == 0)


def test_a_second_run_adds_only_what_is_missing(folder: Path) -> None:
    before = Prepared(folder).uids
    steps: list[tuple[int, int]] = []
    prepare_phantoms(folder, [PLAN], GRID, workers=1, progress=lambda *at: steps.append(at))
    assert steps == [(3, 3)]
    prepare_phantoms(folder, [replace(PLAN, count=4)], GRID, workers=1)
    assert Prepared(folder).uids[:3] == before
    assert len(Prepared(folder)) == 4


def test_the_splits_share_no_head() -> None:
    patients = [
        series_from_options(PhantomPlan(split, 1, ("normal",), 8, 64).options()[0], split, GRID)
        for split in ("train", "validation", "test")
    ]
    assert len({series.patient for series in patients}) == 3
    assert not np.array_equal(patients[0].hu, patients[1].hu)


def test_another_grid_is_refused(folder: Path) -> None:
    with pytest.raises(DataError, match="another grid"):
        prepare_phantoms(folder, [PLAN], Grid(96, 96, 2.5), workers=1)
