"""The comparison of grids: every grid learns from the same heads and is judged on the same ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

CHECKOUT = Path(__file__).parents[2]


def test_every_grid_is_judged_with_its_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(CHECKOUT))
    from benchmarks.grids import BASE, GRIDS, main

    out = tmp_path / "grids.json"
    tiny = "--train 4 --validation 2 --test 4 --slices 8 --matrix 64 --steps 2"
    answer = CliRunner().invoke(main, [*tiny.split(), "--out", str(out)], catch_exceptions=False)
    assert answer.exit_code == 0, answer.output
    document = json.loads(out.read_text())
    measured = document["measurements"]
    assert list(measured) == list(GRIDS)
    for name, one in measured.items():
        assert 0.0 <= one["study"]["low"] <= one["study"]["area"] <= one["study"]["high"] <= 1.0
        assert (one["study_less_base"] is None) is (name == BASE)
        if name != BASE:
            expected = one["slice"]["area"] - measured[BASE]["slice"]["area"]
            assert one["slice_less_base"]["difference"] == pytest.approx(expected, abs=2e-4)
    assert document["conditions"]["test"] == {"bleeds": 2, "clean": 2}
    assert "1 mm, three slices" in answer.output
