"""`ich_fused` under the real Triton: what `ich_ensemble` says, from one engine."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ichcore import Calibration, EnsembleSpec, ScannedSeries
from ichcore.items import hu_from_chunk, items_from_slices
from ichexport.repository import write_repository

if TYPE_CHECKING:
    from ichclient.golden import Golden
    from ichclient.process import RunningServer

pytestmark = pytest.mark.triton

Tensors = dict[str, NDArray[np.generic]]
Ask = Callable[..., Tensors]
HU = NDArray[np.float16]


@pytest.fixture(scope="module")
def real_hu(head_ct_ge: Path, released_spec: EnsembleSpec) -> HU:
    """Eight slices of a human head on the grid, read as the client reads them."""
    from ichclient.hounsfield import hu_slices_from_series
    from ichclient.infer import study_from_path

    slices = hu_slices_from_series(study_from_path(head_ct_ge).series)
    return np.stack([item.hu for item in items_from_slices(slices, released_spec.grid)])[4:20:2]


def assert_same(fused: Tensors, ensemble: Tensors, score: float, area_mm2: float) -> None:
    """Members run in bf16 round otherwise in a graph of their own than in one together."""
    assert fused.keys() == ensemble.keys()
    for name in ("SCORE", "MEMBER_SCORES", "MASK"):
        assert fused[name].dtype == ensemble[name].dtype
        assert fused[name].shape == ensemble[name].shape
        difference = np.abs(fused[name].astype(np.float32) - ensemble[name].astype(np.float32))
        # A single pixel, which nothing averages, moves by more than a score.
        assert difference.max() <= (2.5 * score if name == "MASK" else score), name
    for name in ("LESION_MM2", "BRAIN_MM2"):
        np.testing.assert_allclose(fused[name], ensemble[name], atol=area_mm2)


def test_fused_says_what_the_ensemble_says(
    ask: Ask, golden: Golden, score_tolerance: float
) -> None:
    both = [ask(model, {"HU": golden.hu}) for model in ("ich_fused", "ich_ensemble")]
    assert_same(*both, score_tolerance, golden.tolerance_lesion_mm2)
    spec, engines = zip(*(b["PROVENANCE"][0, 0].decode().split() for b in both), strict=True)
    assert spec[0] == spec[1]
    assert engines[0] != engines[1]  # slices of the two never meet in one study


def test_fused_says_so_of_a_real_head(
    ask: Ask, real_hu: HU, golden: Golden, score_tolerance: float
) -> None:
    both = [ask(model, {"HU": real_hu}) for model in ("ich_fused", "ich_ensemble")]
    assert both[0]["BRAIN_MM2"].max() > 5000
    assert_same(*both, score_tolerance, golden.tolerance_lesion_mm2)


def test_the_study_model_takes_its_slices(ask: Ask, golden: Golden) -> None:
    chunk = ask("ich_fused", {"HU": golden.hu})
    names = ("SCORE", "LESION_MM2", "BRAIN_MM2", "PROVENANCE")
    request = {name: chunk[name].reshape(-1) for name in names}
    position_mm = np.arange(len(golden.hu), dtype=np.float32) * np.float32(5)
    request |= {"MEMBER_SCORES": chunk["MEMBER_SCORES"], "POSITION_MM": position_mm}
    assert ask("ich_study", request)["PROVENANCE"].tolist() == [chunk["PROVENANCE"][0, 0]]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_hu_that_is_not_finite_is_an_error(ask: Ask, golden: Golden, value: float) -> None:
    from tritonclient.utils import InferenceServerException

    hu = golden.hu.copy()
    hu[0, 0, 10, 10] = value
    with pytest.raises(InferenceServerException, match="not finite"):
        ask("ich_fused", {"HU": hu})
    assert np.isfinite(ask("ich_fused", {"HU": golden.hu})["SCORE"]).all()


@pytest.fixture(scope="module")
def swapped(
    bundle: Path, released_spec: EnsembleSpec, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    """A server on the same engines and a spec in which every number is another."""
    from ichclient.process import running_server

    folder = tmp_path_factory.mktemp("swapped")
    repository = shutil.copytree(
        bundle, folder / "repository", ignore=shutil.ignore_patterns("__pycache__")
    )
    weights = ((0.1, 0.4), (0.2, 0.3), (0.3, 0.2), (0.4, 0.1))
    members = tuple(
        replace(m, score_weight=s, mask_weight=w, calibration=Calibration(0.6 + s, 0.2 - w))
        for m, (s, w) in zip(released_spec.members, weights, strict=True)
    )
    spec = replace(released_spec, members=members, mask_threshold=0.22, brain_threshold=0.6)
    write_repository(repository, spec)
    series = repository / "ich_series_unary" / "config.pbtxt"
    series.write_text(series.read_text().replace('"ich_ensemble"', '"ich_fused"'))
    with running_server(repository, log_path=folder / "triton.log", stop_deadline_s=0) as server:
        yield server


def test_both_follow_a_new_spec(
    ask: Ask, swapped: Any, golden: Golden, score_tolerance: float
) -> None:
    models = ("ich_fused", "ich_ensemble")
    before = ask("ich_fused", {"HU": golden.hu})
    both = [ask(model, {"HU": golden.hu}, server=swapped) for model in models]
    assert_same(*both, score_tolerance, golden.tolerance_lesion_mm2)
    assert np.abs(both[0]["SCORE"] - before["SCORE"]).max() > 0.05


def test_a_series_may_be_judged_by_fused(
    ask: Ask, swapped: Any, released_spec: EnsembleSpec, make_hu: Callable[..., HU]
) -> None:
    grid = released_spec.grid
    scanned = make_hu(grid, slices=3, seed=5)[:, 0].astype(np.int16)
    position_mm = np.arange(3, dtype=np.float32) * np.float32(5)
    inputs = {"HU": scanned, "POSITION_MM": position_mm, "PIXEL_SPACING_MM": np.ones(2)}
    found = ask("ich_series_unary", inputs, server=swapped)
    items = items_from_slices(ScannedSeries(scanned, position_mm, np.ones(2)), grid)
    fused = ask("ich_fused", {"HU": hu_from_chunk(list(items))}, server=swapped)
    np.testing.assert_array_equal(found["SCORE"], fused["SCORE"][:, 0])
    assert found["PROVENANCE"].tolist() == [fused["PROVENANCE"][0, 0]]
