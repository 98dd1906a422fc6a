"""The committed repository under the real Triton: this process's own numbers, or an error."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ichcore import EnsembleSpec, Grid, SliceScores, slices_from_combined, study_from_slices
from ichexport.configs import server_facts
from ichexport.engines import Runner
from ichexport.golden import combined_from_runners

if TYPE_CHECKING:
    from ichclient.golden import Golden
    from ichclient.process import RunningServer

pytestmark = pytest.mark.triton

Tensors = dict[str, NDArray[np.generic]]
Ask = Callable[..., Tensors]
HU = NDArray[np.float16]


def refusal(ask: Ask, model: str, request: Tensors) -> str:
    from tritonclient.utils import InferenceServerException

    with pytest.raises(InferenceServerException) as refused:
        ask(model, request)
    message = str(refused.value.message())
    assert "Deadline" not in message, "the server said nothing"
    return message


@pytest.mark.parametrize("which", ["golden", "heads", "air", "noise"])
def test_ensemble_says_what_its_graphs_say_in_process(
    ask: Ask,
    runners: dict[str, Runner],
    released_spec: EnsembleSpec,
    golden: Golden,
    make_hu: Callable[..., HU],
    score_tolerance: float,
    which: str,
) -> None:
    hu = hu_named(which, released_spec.grid, golden, make_hu)
    found = ask("ich_ensemble", {"HU": hu})
    expected = combined_from_runners(runners, hu, released_spec)
    for name in ("SCORE", "MEMBER_SCORES", "MASK"):
        wanted = getattr(expected, name.lower())
        assert found[name].dtype == wanted.dtype
        # In bf16 a single pixel, which nothing averages, moves by more than a score.
        times = 2.5 if name == "MASK" else 1.0
        np.testing.assert_allclose(
            found[name].astype(np.float32), wanted.astype(np.float32), atol=times * score_tolerance
        )
    for name in ("LESION_MM2", "BRAIN_MM2"):
        # A pixel at the threshold may fall to either side.
        wanted = getattr(expected, name.lower())
        np.testing.assert_allclose(found[name], wanted, atol=golden.tolerance_lesion_mm2)


def hu_named(which: str, grid: Grid, golden: Golden, make_hu: Callable[..., HU]) -> HU:
    shape = (2, grid.slices_per_item, grid.rows, grid.columns)
    rng = np.random.default_rng(11)
    return {
        "golden": golden.hu,
        "heads": make_hu(grid, slices=5, seed=21),
        "air": np.full(shape, -1024, dtype=np.float16),
        "noise": rng.integers(-1024, 2047, shape, endpoint=True).astype(np.float16),
    }[which]


def test_two_requests_at_once_get_the_bits_they_get_alone(
    ask: Ask, released_spec: EnsembleSpec, make_hu: Callable[..., HU]
) -> None:
    requests = [make_hu(released_spec.grid, slices=n, seed=n) for n in (1, 3)]
    alone = [ask("ich_ensemble", {"HU": hu}) for hu in requests]
    barrier = threading.Barrier(len(requests), timeout=60)
    together: dict[int, list[Tensors]] = {0: [], 1: []}

    def keep_asking(index: int) -> None:
        for _ in range(3):
            barrier.wait()
            together[index].append(ask("ich_ensemble", {"HU": requests[index]}))

    threads = [threading.Thread(target=keep_asking, args=(index,)) for index in together]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    for index, expected in enumerate(alone):
        assert len(together[index]) == 3
        for found in together[index]:
            for name, values in expected.items():
                np.testing.assert_array_equal(found[name], values, err_msg=name)


@pytest.mark.parametrize("model", ["ich_fused", "ich_ensemble"])
def test_a_slice_gets_the_same_bits_alone_beside_any_other_and_in_any_place(
    ask: Ask, golden: Golden, model: str
) -> None:
    count = len(golden.hu)
    alone = [ask(model, {"HU": golden.hu[[place]]}) for place in range(count)]
    rng = np.random.default_rng(5)
    for chunk in (
        [*range(count)],
        [*range(count)][::-1],
        *(rng.permutation(count)[:7] for _ in range(3)),
    ):
        found = ask(model, {"HU": golden.hu[chunk]})
        for name in ("SCORE", "MEMBER_SCORES", "MASK", "LESION_MM2", "BRAIN_MM2"):
            expected = np.concatenate([alone[place][name] for place in chunk])
            np.testing.assert_array_equal(found[name], expected, err_msg=f"{name} of {chunk}")


def test_study_under_the_server_is_the_rule_on_in_process_slices(
    ask: Ask,
    study_request: Callable[[SliceScores], Tensors],
    make_series_scores: Callable[..., SliceScores],
    released_spec: EnsembleSpec,
) -> None:
    scores = make_series_scores(24, seed=3)
    found = ask("ich_study", study_request(scores))
    study = study_from_slices(scores, released_spec)
    assert found["STUDY_SCORE"] == np.float32(study.score)
    assert found["LESION_VOLUME_ML"] == np.float32(study.lesion_volume_ml)
    assert found["TOP_SLICES"].tolist() == list(study.top_slices)
    decisions = zip(found["OPERATING_POINT"], found["DECISION"], strict=True)
    assert tuple((p.decode(), d.decode()) for p, d in decisions) == study.decisions


def test_slices_flow_from_the_ensemble_to_the_study_model(
    ask: Ask,
    runners: dict[str, Runner],
    study_request: Callable[[SliceScores], Tensors],
    released_spec: EnsembleSpec,
    make_hu: Callable[..., HU],
    score_tolerance: float,
) -> None:
    hu = make_hu(released_spec.grid, slices=6, seed=13)
    position_mm = np.arange(6, dtype=np.float32) * np.float32(5)
    chunk = ask("ich_ensemble", {"HU": hu})
    names = ("SCORE", "LESION_MM2", "BRAIN_MM2", "PROVENANCE")
    request = {name: chunk[name].reshape(-1) for name in names}
    request |= {"MEMBER_SCORES": chunk["MEMBER_SCORES"], "POSITION_MM": position_mm}
    found = ask("ich_study", request)
    (provenance,) = set(chunk["PROVENANCE"].ravel().tolist())
    combined = combined_from_runners(runners, hu, released_spec)
    slices = slices_from_combined([combined], position_mm, provenance.decode())
    study = study_from_slices(slices, released_spec)
    np.testing.assert_allclose(found["STUDY_SCORE"], [study.score], atol=score_tolerance)
    assert found["PROVENANCE"].tolist() == [provenance]


def test_a_series_without_spacing_has_no_volume(
    ask: Ask,
    study_request: Callable[[SliceScores], Tensors],
    make_series_scores: Callable[..., SliceScores],
) -> None:
    found = ask("ich_study", study_request(make_series_scores(1)))
    assert found["LESION_VOLUME_ML"].shape == (0,)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_hu_that_is_not_finite_is_an_error(
    ask: Ask, released_spec: EnsembleSpec, make_hu: Callable[..., HU], value: float
) -> None:
    hu = make_hu(released_spec.grid, slices=2)
    hu[0, 0, 10, 10] = value
    assert "not finite" in refusal(ask, "ich_ensemble", {"HU": hu})
    # Seen: had two members refused, Triton 2.51 would answer nobody any more.
    assert np.isfinite(ask("ich_ensemble", {"HU": np.nan_to_num(hu)})["SCORE"]).all()


@pytest.mark.parametrize(
    ("shape", "cause"),
    [
        ((0, 1, 256, 256), "size mismatch"),
        ((1, 1, 128, 256), "unexpected shape"),
        ((65, 1, 256, 256), "batch-size must be <= 64"),
    ],
)
def test_chunks_outside_the_contract_are_errors(
    ask: Ask, shape: tuple[int, ...], cause: str
) -> None:
    assert cause in refusal(ask, "ich_ensemble", {"HU": np.zeros(shape, dtype=np.float16)})


def test_study_of_mixed_or_no_slices_is_an_error(
    ask: Ask,
    study_request: Callable[[SliceScores], Tensors],
    make_series_scores: Callable[..., SliceScores],
) -> None:
    request = study_request(make_series_scores())
    mixed = request["PROVENANCE"].copy()
    mixed[3] = b"spec:a engines:c"
    nan = request["SCORE"].copy()
    nan[3] = np.nan
    none = {name: values[:0] for name, values in request.items()}
    assert "different bundles" in refusal(ask, "ich_study", {**request, "PROVENANCE": mixed})
    assert "not finite" in refusal(ask, "ich_study", {**request, "SCORE": nan})
    assert "no slices" in refusal(ask, "ich_study", none)


def test_the_server_says_what_it_serves(served: RunningServer, released_spec: EnsembleSpec) -> None:
    from tritonclient import grpc

    with grpc.InferenceServerClient(served.url) as client:
        config = client.get_model_config("ich_ensemble").config
        told = {key: value.string_value for key, value in config.parameters.items()}
        backends = {
            name: client.get_model_config(name).config.backend
            for name in released_spec.member_names
        }
        ready = [client.is_model_ready(name, "1") for name in (*backends, "ich_study")]
    assert told == server_facts(released_spec)
    assert set(backends.values()) == {"python"}  # configs/cpu.pbtxt, not the production config
    assert all(ready)


def test_another_version_is_refused(ask: Ask, make_series_scores: Any, study_request: Any) -> None:
    from tritonclient.utils import InferenceServerException

    with pytest.raises(InferenceServerException, match="version 2"):
        ask("ich_study", study_request(make_series_scores()), version="2")


def test_serving_writes_nothing_into_the_repository(served: RunningServer, bundle: Any) -> None:
    assert served.url.startswith("127.0.0.1:")
    assert list(bundle.rglob("__pycache__")) == []
