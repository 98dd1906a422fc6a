"""The released weights find bleeds in phantoms that nobody trained on; shuffled ones do not."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from ichexport.repository import spec_of_repository
from ichexport.targets import ONNX_FILE
from ichtrain.data import LabelledSeries
from ichtrain.evaluate import (
    Bundle,
    bundle_from_repository,
    outcome_from_series,
    record_from_outcomes,
)
from ichtrain.evaluate.record import Record
from ichtrain.phantom import KINDS
from ichtrain.phantoms import PhantomPlan, phantom_pool, series_from_options

REPOSITORY = Path(__file__).parents[3] / "model_repository"
PER_KIND = int(os.environ.get("ICH_UNSEEN_PER_KIND", "3"))

LEAST_AREA = 0.8
"""Study AUC; about as far above chance as two dozen phantoms can tell from it."""

LEAST_SENSITIVITY = 0.6
MOST_FALSE_ALARMS = 0.4
LEAST_DICE = 0.5
"""All three at the balanced operating point; low, since three of a kind are few."""


def shortfalls(record: Record) -> list[str]:
    """What keeps a bundle from being a working one; empty when it works."""
    whole = record["whole"]
    balanced = next(point for point in whole["points"] if point["name"] == "balanced")
    alarms = balanced["clean"]["positive"] / whole["clean"]
    checks = {
        f"the AUC is {whole['area']['area']:.2f}": whole["area"]["area"] >= LEAST_AREA,
        f"sensitivity is {balanced['sensitivity']['share']:.2f}": (
            balanced["sensitivity"]["share"] >= LEAST_SENSITIVITY
        ),
        f"{alarms:.2f} of clean heads are positive": alarms <= MOST_FALSE_ALARMS,
        f"the median Dice is {whole['median_dice']:.2f}": whole["median_dice"] >= LEAST_DICE,
    }
    return [problem for problem, holds in checks.items() if not holds]


def record_of(bundle: Bundle, phantoms: Sequence[LabelledSeries]) -> Record:
    return record_from_outcomes(
        [outcome_from_series(series, bundle) for series in phantoms], bundle.spec, {}
    )


@pytest.fixture(scope="module")
def phantoms() -> list[LabelledSeries]:
    plan = PhantomPlan("test", PER_KIND * len(KINDS), KINDS, slices=16, matrix=256)
    make = partial(series_from_options, split="test", grid=spec_of_repository(REPOSITORY).grid)
    with phantom_pool(2) as pool:
        return list(pool.map(make, plan.options()))


def test_released_weights_work_on_unseen_phantoms(phantoms: list[LabelledSeries]) -> None:
    assert shortfalls(record_of(bundle_from_repository(REPOSITORY), phantoms)) == []


def test_shuffled_weights_do_not(phantoms: list[LabelledSeries], tmp_path: Path) -> None:
    import onnx
    from onnx import numpy_helper

    spec = spec_of_repository(REPOSITORY)
    rng = np.random.default_rng(0)
    for name in spec.member_names:
        graph = onnx.load(REPOSITORY / name / "1" / ONNX_FILE)
        for initializer in graph.graph.initializer:
            values = numpy_helper.to_array(initializer)
            if values.dtype == np.float16:
                shuffled = rng.permutation(values.ravel()).reshape(values.shape)
                initializer.CopyFrom(numpy_helper.from_array(shuffled, initializer.name))
        (tmp_path / name / "1").mkdir(parents=True)
        onnx.save(graph, tmp_path / name / "1" / ONNX_FILE)
    where = tmp_path / "ich_combine" / "1" / "ensemble.json"
    where.parent.mkdir(parents=True)
    where.write_bytes((REPOSITORY / "ich_combine" / "1" / "ensemble.json").read_bytes())
    assert shortfalls(record_of(bundle_from_repository(tmp_path), phantoms)) != []
