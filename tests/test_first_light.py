"""A study in, a score out, as a person types it: `ichclient infer` on its own real Triton."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ichclient.dicom import headers_from_path
from ichclient.hounsfield import hu_slices_from_series
from ichclient.series import chosen_series, series_from_scan
from ichcore import EnsembleSpec, hu_on_grid, placement_from_hu
from ichexport.engines import onnxruntime_from_onnx
from ichexport.golden import combined_from_runners

pytestmark = pytest.mark.triton

CHECKOUT = Path(__file__).parents[1]
EXAMPLE = CHECKOUT / "examples" / "phantom-sdh"
F32_TOLERANCE = 1e-3
BF16_TOLERANCE = 0.02


def inferred(study: Path, out: Path | None = None) -> dict[str, Any]:
    """What `ichclient infer STUDY --json` prints on stdout."""
    command = [str(Path(sys.executable).with_name("ichclient")), "infer", str(study), "--json"]
    if out is not None:
        command += ["--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_real_head_ct_scores_equal_the_graphs_run_in_process(
    head_ct_ge: Path, bundle: Path, released_spec: EnsembleSpec
) -> None:
    result = inferred(head_ct_ge)
    scores = np.array([entry["score"] for entry in result["slices"]])

    series = chosen_series(series_from_scan(headers_from_path(head_ct_ge)))
    items = []
    for one in hu_slices_from_series(series):
        placement = placement_from_hu(one.hu, one.row_spacing_mm, one.column_spacing_mm)
        items.append(hu_on_grid(one.hu, placement, released_spec.grid)[None])
    runners = {
        name: onnxruntime_from_onnx(bundle / name / "1" / "model.onnx")
        for name in released_spec.member_names
    }
    expected = combined_from_runners(runners, np.stack(items), released_spec)

    assert len(scores) == 28
    assert len(np.unique(scores)) > 14, "slices unlike each other must not score alike"
    tolerance = BF16_TOLERANCE if "bf16" in Path("/proc/cpuinfo").read_text() else F32_TOLERANCE
    np.testing.assert_allclose(scores, expected.score[:, 0], atol=tolerance)
    assert 0 <= result["study_score"] <= 1


def test_the_example_holds_a_bleed_and_it_is_found(tmp_path: Path) -> None:
    result = inferred(EXAMPLE, tmp_path / "out")
    manifest = json.loads((EXAMPLE / "manifest.json").read_text())
    bleeding = {entry["SOPInstanceUID"] for entry in manifest["slices"] if entry["labels"]["any"]}
    top = result["slices"][result["top_slices"][0]]["SOPInstanceUID"]

    assert result["decisions"]["balanced"] == "positive"
    assert top in bleeding
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "masks.npz",
        "report.html",
        "result.json",
        "slices.csv",
        "top_slice.png",
    }


def test_the_example_is_small_enough_to_clone() -> None:
    size_bytes = sum(path.stat().st_size for path in EXAMPLE.iterdir())
    assert size_bytes <= 3 * 2**20
