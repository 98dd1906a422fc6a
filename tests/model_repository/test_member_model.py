"""`ich_any` and its like: HU -> LOGIT, MASK, BRAIN with OpenVINO."""

from __future__ import annotations

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
    # In bf16 a logit moves by up to 4 times what its probability does.
    logit = score_tolerance if score_tolerance <= 1e-3 else 20 * score_tolerance
    np.testing.assert_allclose(found["LOGIT"], expected["LOGIT"], atol=logit)
    for mask in {"MASK", "BRAIN"} & found.keys():
        np.testing.assert_allclose(
            found[mask].astype(np.float32),
            expected[mask].astype(np.float32),
            atol=max(score_tolerance, 1e-3),
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


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_hu_that_is_not_finite_is_refused(
    load_model: Callable[..., Any],
    released_spec: EnsembleSpec,
    make_hu: Callable[..., HU],
    value: float,
) -> None:
    # Seen: OpenVINO clips a NaN to the window's edge, and a plausible score comes of it.
    hu = make_hu(released_spec.grid, slices=2)
    hu[1, 0, 100, 100] = value
    assert "not finite" in load_model("ich_any").refusal({"HU": hu})


def test_a_refused_request_leaves_its_neighbours_alone(
    load_model: Callable[..., Any], released_spec: EnsembleSpec, make_hu: Callable[..., HU]
) -> None:
    good = make_hu(released_spec.grid, slices=1)
    responses = load_model("ich_any").answers({"HU": good}, {"HU": good * np.float16(np.nan)})
    assert [response.has_error() for response in responses] == [False, True]


def test_hu_of_another_grid_is_an_error_and_no_score(load_model: Callable[..., Any]) -> None:
    refusal = load_model("ich_any").refusal({"HU": np.zeros((1, 1, 64, 64), dtype=np.float16)})
    assert "(1, 1, 64, 64)" in refusal


def test_adapter_is_the_same_in_every_member(bundle: Path) -> None:
    assert len({(bundle / name / "1" / "model.py").read_bytes() for name in MEMBERS}) == 1
