"""Builds and speeds of engines: right answers first, then turns; a wrong way gets no times."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

CHECKOUT = Path(__file__).parents[2]


def test_every_way_is_compared_and_timed_against_the_base(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(CHECKOUT))
    from benchmarks import engines

    builds = (("onnxruntime", "f32"), ("openvino", "int8"), ("openvino", "fp8"))
    monkeypatch.setattr(engines, "BUILDS", builds)
    monkeypatch.setenv("PYTHONPATH", str(CHECKOUT))
    out = tmp_path / "engines.json"
    options = ["--repository", str(bundle), "--turns", "2", "--runs", "1", "--out", str(out)]
    answer = CliRunner().invoke(engines.main, options, catch_exceptions=False)
    assert answer.exit_code == 0, answer.output
    document = json.loads(out.read_text())
    built = document["builds"]
    assert "not in fp8" in built["openvino fp8"]["not_built"]
    assert built["openvino int8"]["layers"] == {"f32": 8, "int8": 176}
    assert built["openvino int8"]["weight_bytes"] < 0.6 * built["onnxruntime f32"]["weight_bytes"]
    speeds, differences = document["speeds"], document["differences"]
    assert list(speeds) == ["torch f32", "onnxruntime f32", "openvino int8"]
    assert speeds["onnxruntime f32"]["times_base"]["median"] == 1
    assert differences["onnxruntime f32"]["largest_score_difference"] < 1e-4
    assert 1e-4 < differences["openvino int8"]["largest_score_difference"] < 0.1
    assert document["goals"]["openvino int8"]["at_least"] == 2
    assert out.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    assert "research demonstration" in answer.output.lower()
