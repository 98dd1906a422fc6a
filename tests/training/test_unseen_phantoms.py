"""The released weights find bleeds in phantoms nobody trained on, and shuffled ones do not."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from ichcore import EnsembleSpec
from ichexport.configs import ONNX_FILE
from ichexport.repository import spec_of_repository
from ichtrain.items import Items, items_from_options, phantom_pool
from ichtrain.unseen import (
    UNSEEN_FIRST_SEED,
    KindFigures,
    figures_from_judged,
    judged_from_items,
    runners_from_repository,
    table_from_figures,
)
from ichtrain.unseen_cli import unseen_options

ROOT = Path(__file__).parents[2]
REPOSITORY = ROOT / "model_repository"
RECORD = ROOT / "docs" / "evaluation" / "unseen.json"

PER_KIND = int(os.environ.get("ICH_UNSEEN_PER_KIND", "3"))
POINT = "balanced"


def shortfalls(figures: Sequence[KindFigures]) -> list[str]:
    """What keeps a set of figures from being a working bundle; empty when it works."""
    found = {row.kind: row for row in figures}
    bleeds = [row for row in figures if row.kind != "normal"]
    sensitivity = sum(row.positive_share[POINT] * row.count for row in bleeds) / sum(
        row.count for row in bleeds
    )
    problems = []
    if sensitivity < 0.7:
        problems.append(f"sensitivity {sensitivity:.2f} is below 0.7")
    if found["normal"].positive_share[POINT] > 0.4:
        problems.append(f"{found['normal'].positive_share[POINT]:.2f} of normals are positive")
    dice = float(np.median([row.median_dice for row in bleeds]))
    if dice < 0.4:
        problems.append(f"the median Dice is {dice:.2f}, below 0.4")
    return problems


@pytest.fixture(scope="module")
def phantoms() -> list[tuple[int, Items]]:
    options = unseen_options(UNSEEN_FIRST_SEED, PER_KIND, slices=16, matrix=256)
    with phantom_pool(2) as pool:
        items = list(pool.map(items_from_options, options))
    return [(one.seed, each) for one, each in zip(options, items, strict=True)]


def figures(
    repository: Path, spec: EnsembleSpec, phantoms: list[tuple[int, Items]]
) -> tuple[KindFigures, ...]:
    runners = runners_from_repository(repository, spec)
    return figures_from_judged(
        [judged_from_items(items, seed, runners, spec) for seed, items in phantoms], spec
    )


def test_released_weights_work_on_unseen_phantoms(phantoms: list[tuple[int, Items]]) -> None:
    assert shortfalls(figures(REPOSITORY, spec_of_repository(REPOSITORY), phantoms)) == []


def test_shuffled_weights_do_not(phantoms: list[tuple[int, Items]], tmp_path: Path) -> None:
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
    assert shortfalls(figures(tmp_path, spec, phantoms)) != []


def test_the_recorded_figures_are_of_the_released_spec() -> None:
    record = json.loads(RECORD.read_text())
    assert record["spec_sha256"] == spec_of_repository(REPOSITORY).sha256
    assert record["conditions"]["per_kind"] >= 20
    assert shortfalls([KindFigures(**row) for row in record["figures"]]) == []


def test_the_readme_shows_the_recorded_figures() -> None:
    record = json.loads(RECORD.read_text())
    rows = [KindFigures(**row) for row in record["figures"]]
    assert table_from_figures(rows, spec_of_repository(REPOSITORY)) in (
        ROOT / "README.md"
    ).read_text(encoding="utf-8")
