"""The cost of making weights: rates with their conditions, from phantoms and fits that worked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def benchmarks_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(CHECKOUT))


def test_rates_are_stored_with_their_conditions(tmp_path: Path) -> None:
    from benchmarks.training import main

    out = tmp_path / "training.json"
    tiny = "--phantoms 2 --slices 8 --workers 1 --pixels 64 --batch-size 4 --steps 2"
    answer = CliRunner().invoke(
        main, [*tiny.split(), "--encoder", "mobilenet_v2", "--out", str(out)]
    )
    assert answer.exit_code == 0, answer.output
    document = json.loads(out.read_text())
    phantoms = document["measurements"]["phantoms"]
    (rate,) = document["measurements"]["encoders"]
    assert phantoms["slices"] == 16
    assert phantoms["slices_per_second"] > 0
    assert rate["encoder"] == "mobilenet_v2"
    assert rate["trainer_slices_per_second"] > 0
    assert document["conditions"]["workload"]["steps"] == 2
    assert document["conditions"]["machine"]["cores"] >= 1


def test_a_workload_without_steps_is_refused() -> None:
    from benchmarks.training import Workload

    with pytest.raises(ValueError, match="not a workload"):
        Workload(phantoms=1, slices=8, workers=1, pixels=64, batch_size=4, steps=1)
