"""`ich_any` and its like: HU -> LOGIT, MASK, BRAIN with OpenVINO."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ichcore import EnsembleSpec
from ichcore.wire import member_outputs
from ichexport.engines import Runner

MEMBERS = ["ich_any", "ich_sdh", "ich_sah", "ich_small"]
HU = NDArray[np.float16]
DTYPES = {"FP16": np.float16, "FP32": np.float32}


@pytest.mark.parametrize("name", MEMBERS)
def test_member_says_what_its_graph_says(
    load_model: Callable[..., Any],
    runners: dict[str, Runner],
    released_spec: EnsembleSpec,
    make_hu: Callable[..., HU],
    score_tolerance: float,
    name: str,
) -> None:
    hu = make_hu(released_spec.grid, slices=3, seed=5)
    found, expected = load_model(name).answer({"HU": hu}), runners[name](hu)
    specs = member_outputs(released_spec.grid, with_brain=name == released_spec.brain_member)
    assert [*found] == [spec.name for spec in specs]
    for spec in specs:
        assert found[spec.name].dtype == DTYPES[spec.data_type]
        assert found[spec.name].shape == (3, *spec.shape)
    # In bf16 a logit moves by 4 times or more what its probability does, and a single pixel, which
    # nothing averages, by more than a score.
    whole = score_tolerance <= 1e-3
    logit = score_tolerance if whole else 20 * score_tolerance
    np.testing.assert_allclose(found["LOGIT"], expected["LOGIT"], atol=logit)
    for mask in {"MASK", "BRAIN"} & found.keys():
        np.testing.assert_allclose(
            found[mask].astype(np.float32),
            expected[mask].astype(np.float32),
            atol=1e-3 if whole else 2.5 * score_tolerance,
        )


def test_requests_of_one_batch_do_not_touch_each_other(
    load_model: Callable[..., Any], released_spec: EnsembleSpec, make_hu: Callable[..., HU]
) -> None:
    loaded = load_model("ich_any")
    requests = [{"HU": make_hu(released_spec.grid, slices=n, seed=n)} for n in (1, 3, 2)]
    alone = [loaded.answer(request) for request in requests]
    together = loaded.answers(*requests)
    assert len(together) == 3
    for response, expected in zip(together, alone, strict=True):
        for tensor in response.output_tensors():
            np.testing.assert_array_equal(tensor.as_numpy(), expected[tensor.name()])


def test_more_requests_than_run_at_once_are_all_answered_in_their_own_order(
    load_model: Callable[..., Any], released_spec: EnsembleSpec, make_hu: Callable[..., HU]
) -> None:
    loaded = load_model("ich_any")
    hu = make_hu(released_spec.grid, slices=11, seed=3)
    expected = loaded.answer({"HU": hu})["LOGIT"]
    assert len(np.unique(expected)) == len(hu)
    for response in loaded.answers(*[{"HU": hu}] * 9):
        logit, *_ = response.output_tensors()
        np.testing.assert_array_equal(logit.as_numpy(), expected)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_hu_that_is_not_finite_gets_no_score(
    load_model: Callable[..., Any],
    released_spec: EnsembleSpec,
    make_hu: Callable[..., HU],
    value: float,
) -> None:
    # Seen: OpenVINO clips a NaN to the window's edge, and a plausible logit comes of it.
    hu = make_hu(released_spec.grid, slices=2)
    hu[1, 0, 100, 100] = value
    logit = load_model("ich_any").answer({"HU": hu})["LOGIT"]
    assert logit.dtype == np.float32
    assert np.isfinite(logit).ravel().tolist() == [True, False]


def test_an_engine_that_fails_gives_no_score_and_says_why(load_model: Callable[..., Any]) -> None:
    loaded = load_model("ich_any")
    found = loaded.answer({"HU": np.zeros((3, 1, 64, 64), dtype=np.float16)})
    assert {name: values.shape[0] for name, values in found.items()} == {
        "LOGIT": 3, "MASK": 3, "BRAIN": 3,
    }  # fmt: skip
    assert all(np.isnan(values).all() for values in found.values())
    assert "(3, 1, 64, 64)" in loaded.backend.Logger.errors[-1]


def test_a_compiled_graph_is_kept_and_taken_again_unless_it_was_altered(
    load_model: Callable[..., Any],
    released_spec: EnsembleSpec,
    make_hu: Callable[..., HU],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    request = {"HU": make_hu(released_spec.grid, slices=2)}
    cache = tmp_path / "cache"
    monkeypatch.setenv("ICH_ENGINE_CACHE", str(cache))
    expected = {name: load_model(name).answer(request)["LOGIT"] for name in ("ich_sdh", "ich_sah")}
    first, second = sorted(cache.iterdir(), key=lambda path: path.stat().st_mtime)
    true = first.read_bytes()
    np.testing.assert_array_equal(
        load_model("ich_sdh").answer(request)["LOGIT"], expected["ich_sdh"]
    )

    first.write_bytes(second.read_bytes())  # so that it shows which file was read
    found = load_model("ich_sdh").answer(request)["LOGIT"]
    np.testing.assert_array_equal(found, expected["ich_sah"])
    assert not np.array_equal(*expected.values())

    for altered in (b"", true[:-1], true[:-1] + bytes([true[-1] ^ 1])):
        first.write_bytes(altered)
        found = load_model("ich_sdh").answer(request)["LOGIT"]
        np.testing.assert_array_equal(found, expected["ich_sdh"])
        content = first.read_bytes()
        assert content[:32] == hashlib.sha256(content[32:]).digest()
    assert len([*cache.iterdir()]) == 2


def test_a_cache_that_cannot_be_written_changes_nothing(
    load_model: Callable[..., Any],
    released_spec: EnsembleSpec,
    make_hu: Callable[..., HU],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("ICH_ENGINE_CACHE", str(tmp_path / "file" / "cache"))
    found = load_model("ich_any").answer({"HU": make_hu(released_spec.grid, slices=2)})
    assert np.isfinite(found["LOGIT"]).all()


def test_adapter_is_the_same_in_every_member(bundle: Path) -> None:
    assert len({(bundle / name / "1" / "model.py").read_bytes() for name in MEMBERS}) == 1
