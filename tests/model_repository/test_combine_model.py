"""`ich_combine`: the members' tensors -> the formula of ichcore, or an error."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ichcore import EnsembleSpec, MemberOutputs, combined_from_members

Tensors = dict[str, NDArray[np.generic]]


@pytest.fixture
def outputs(released_spec: EnsembleSpec) -> dict[str, MemberOutputs]:
    """Random outputs of all members for four slices."""
    rng = np.random.default_rng(7)
    shape = (4, *released_spec.grid.mask_shape)

    def member(name: str) -> MemberOutputs:
        brain = rng.random(shape).astype(np.float16)
        return MemberOutputs(
            logit=rng.normal(0, 3, (4, 1)).astype(np.float32),
            mask=rng.random(shape).astype(np.float16),
            brain=brain if name == released_spec.brain_member else None,
        )

    return {name: member(name) for name in released_spec.member_names}


def request_from(outputs: dict[str, MemberOutputs]) -> Tensors:
    request: Tensors = {}
    for name, output in outputs.items():
        request[f"LOGIT_{name}"] = output.logit
        if output.mask is not None:
            request[f"MASK_{name}"] = output.mask
        if output.brain is not None:
            request["BRAIN"] = output.brain
    return request


@pytest.mark.parametrize("without_mask", [None, "ich_sah"])
def test_combine_is_the_formula_to_the_last_bit(
    load_model: Callable[..., Any],
    released_spec: EnsembleSpec,
    outputs: dict[str, MemberOutputs],
    without_mask: str | None,
) -> None:
    if without_mask is not None:
        outputs[without_mask] = MemberOutputs(outputs[without_mask].logit)
    found = load_model("ich_combine").answer(request_from(outputs))
    expected = combined_from_members(outputs, released_spec)
    for name in ("SCORE", "MEMBER_SCORES", "MASK", "LESION_MM2", "BRAIN_MM2"):
        wanted = getattr(expected, name.lower())
        assert found[name].dtype == wanted.dtype
        np.testing.assert_array_equal(found[name], wanted)


def test_every_slice_carries_spec_and_engines(
    load_model: Callable[..., Any], released_spec: EnsembleSpec, outputs: dict[str, MemberOutputs]
) -> None:
    provenance = load_model("ich_combine").answer(request_from(outputs))["PROVENANCE"]
    assert provenance.shape == (4, 1)
    (text,) = {item.decode() for item in provenance.ravel()}
    spec, engines = text.split()
    assert spec == f"spec:{released_spec.sha256[:16]}"
    assert len(engines.removeprefix("engines:")) == 16


@pytest.mark.parametrize("tensor", ["LOGIT_ich_sdh", "MASK_ich_any", "BRAIN"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_errors_and_no_scores(
    load_model: Callable[..., Any],
    outputs: dict[str, MemberOutputs],
    tensor: str,
    value: float,
) -> None:
    request = request_from(outputs)
    spoilt = request[tensor].copy()
    spoilt.reshape(-1)[3] = value
    assert "not finite" in load_model("ich_combine").refusal({**request, tensor: spoilt})


def test_no_slices_are_an_error(
    load_model: Callable[..., Any], outputs: dict[str, MemberOutputs]
) -> None:
    request = {name: values[:0] for name, values in request_from(outputs).items()}
    assert "no slices" in load_model("ich_combine").refusal(request)


def test_one_bad_request_leaves_the_others_alone(
    load_model: Callable[..., Any], outputs: dict[str, MemberOutputs]
) -> None:
    good = request_from(outputs)
    bad = {**good, "LOGIT_ich_any": np.full((4, 1), np.nan, dtype=np.float32)}
    responses = load_model("ich_combine").answers(good, bad, good)
    assert [response.has_error() for response in responses] == [False, True, False]


@pytest.fixture
def copy(bundle: Path, tmp_path: Path) -> Path:
    """The committed repository, free to be spoilt."""
    return shutil.copytree(bundle, tmp_path / "repository")


def record_path(copy: Path) -> Path:
    return copy / "ich_sah" / "1" / "model.onnx.build.json"


def test_engines_of_other_weights_are_refused_at_load(
    load_model: Callable[..., Any], copy: Path
) -> None:
    record = json.loads(record_path(copy).read_text())
    record_path(copy).write_text(json.dumps({**record, "weights_sha256": "0" * 64}))
    with pytest.raises(Exception, match="ich_sah was made of weights 0000") as refusal:
        load_model("ich_combine", copy)
    assert type(refusal.value).__name__ == "TritonModelException"


@pytest.mark.parametrize("record", [None, "", "{}", "[]"])
def test_engines_without_a_record_are_refused_at_load(
    load_model: Callable[..., Any], copy: Path, record: str | None
) -> None:
    if record is None:
        record_path(copy).unlink()
    else:
        record_path(copy).write_text(record)
    with pytest.raises(Exception, match=r"model\.onnx\.build\.json") as refusal:
        load_model("ich_combine", copy)
    assert type(refusal.value).__name__ == "TritonModelException"


def test_another_engine_is_another_provenance(
    load_model: Callable[..., Any], copy: Path, outputs: dict[str, MemberOutputs]
) -> None:
    request = request_from(outputs)
    before = load_model("ich_combine").answer(request)["PROVENANCE"]
    record = json.loads(record_path(copy).read_text())
    record_path(copy).write_text(json.dumps({**record, "engine_sha256": "0" * 64}))
    after = load_model("ich_combine", copy).answer(request)["PROVENANCE"]
    assert before[0, 0].split()[0] == after[0, 0].split()[0]
    assert before[0, 0] != after[0, 0]
