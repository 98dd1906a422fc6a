"""The weighted combination says what a few independent lines of numpy say, and refuses the rest."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ichcore import (
    ContractError,
    EnsembleSpec,
    MemberOutputs,
    NonFiniteError,
    NoSlicesError,
    combined_from_members,
)

Outputs = dict[str, MemberOutputs]


@pytest.fixture
def spec(make_spec: Callable[..., EnsembleSpec]) -> EnsembleSpec:
    return make_spec()


@pytest.fixture
def outputs(make_outputs: Callable[..., Outputs]) -> Outputs:
    return make_outputs()


def changed(outputs: Outputs, name: str, **fields: Any) -> Outputs:
    return {**outputs, name: dataclasses.replace(outputs[name], **fields)}


def test_scores_and_areas_equal_the_formula_written_out(
    spec: EnsembleSpec, outputs: Outputs
) -> None:
    any_, sdh, sah = (outputs[name] for name in ("ich_any", "ich_sdh", "ich_sah"))
    p_any = 1 / (1 + np.exp(-(2.0 * any_.logit.astype(float) - 1.0)))
    p_sdh = 1 / (1 + np.exp(-sdh.logit.astype(float)))
    p_sah = 1 / (1 + np.exp(-(0.5 * sah.logit.astype(float) + 0.25)))
    mask = 0.5 * any_.mask.astype(float) + 0.5 * sdh.mask.astype(float)
    brain = any_.brain >= 0.5
    combined = combined_from_members(outputs, spec)
    assert combined.score == pytest.approx(0.5 * p_any + 0.3 * p_sdh + 0.2 * p_sah, abs=1e-6)
    assert combined.member_scores == pytest.approx(np.hstack([p_any, p_sdh, p_sah]), abs=1e-6)
    assert combined.mask.astype(float) == pytest.approx(mask, abs=5e-4)
    # A mask pixel of the test grid is 4 mm by 4 mm.
    assert combined.brain_mm2[:, 0].tolist() == (16.0 * brain.sum(axis=(1, 2))).tolist()
    lesion_mm2 = 16.0 * ((mask >= 0.4) & brain).sum(axis=(1, 2))
    assert combined.lesion_mm2[:, 0] == pytest.approx(lesion_mm2, abs=16)


def test_dtypes_and_shapes_are_those_of_the_wire(spec: EnsembleSpec, outputs: Outputs) -> None:
    combined = combined_from_members(outputs, spec)
    assert {
        field.name: (
            getattr(combined, field.name).dtype.str[1:],
            getattr(combined, field.name).shape,
        )
        for field in dataclasses.fields(combined)
    } == {
        "score": ("f4", (5, 1)),
        "member_scores": ("f4", (5, 3)),
        "mask": ("f2", (5, 32, 16)),
        "lesion_mm2": ("f4", (5, 1)),
        "brain_mm2": ("f4", (5, 1)),
    }


def test_a_slice_gets_the_same_bits_in_any_batch(
    spec: EnsembleSpec, make_outputs: Callable[..., Outputs]
) -> None:
    outputs = make_outputs(slices=37, seed=3)
    whole = combined_from_members(outputs, spec)
    for start, stop in [(0, 1), (1, 3), (4, 9), (20, 37), (36, 37)]:
        chunk = {
            name: MemberOutputs(
                *(None if part is None else part[start:stop] for part in (o.logit, o.mask, o.brain))
            )
            for name, o in outputs.items()
        }
        part = combined_from_members(chunk, spec)
        assert np.array_equal(part.score, whole.score[start:stop])
        assert np.array_equal(part.member_scores, whole.member_scores[start:stop])
        assert np.array_equal(part.mask, whole.mask[start:stop])
        assert np.array_equal(part.lesion_mm2, whole.lesion_mm2[start:stop])


def test_a_member_without_a_mask_leaves_its_weight_to_the_others(
    spec: EnsembleSpec, outputs: Outputs
) -> None:
    combined = combined_from_members(changed(outputs, "ich_sdh", mask=None), spec)
    assert np.array_equal(combined.mask, outputs["ich_any"].mask)
    assert np.array_equal(combined.score, combined_from_members(outputs, spec).score)


def test_no_mask_at_all_is_refused_and_no_lesion_of_0_mm2(
    spec: EnsembleSpec, outputs: Outputs
) -> None:
    unmasked = changed(changed(outputs, "ich_any", mask=None), "ich_sdh", mask=None)
    with pytest.raises(ContractError, match="gave a MASK"):
        combined_from_members(unmasked, spec)


def test_a_lesion_outside_the_brain_has_no_area(spec: EnsembleSpec, outputs: Outputs) -> None:
    nowhere = np.zeros_like(outputs["ich_any"].brain)
    combined = combined_from_members(changed(outputs, "ich_any", brain=nowhere), spec)
    assert not combined.lesion_mm2.any()
    assert not combined.brain_mm2.any()
    assert combined.mask.any()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    ("name", "tensor"),
    [("ich_any", "logit"), ("ich_sah", "logit"), ("ich_sdh", "mask"), ("ich_any", "brain")],
)
def test_a_value_that_is_not_finite_is_refused(
    spec: EnsembleSpec, outputs: Outputs, name: str, tensor: str, value: float
) -> None:
    values = getattr(outputs[name], tensor).copy()
    values.flat[-1] = value
    with pytest.raises(NonFiniteError, match=f"{tensor.upper()} of {name}"):
        combined_from_members(changed(outputs, name, **{tensor: values}), spec)


def test_nan_in_a_mask_of_weight_0_is_refused_too(spec: EnsembleSpec, outputs: Outputs) -> None:
    mask = np.full_like(outputs["ich_any"].mask, np.nan)
    with pytest.raises(NonFiniteError):
        combined_from_members(changed(outputs, "ich_sah", mask=mask), spec)


@pytest.mark.parametrize("tensor", ["mask", "brain"])
def test_logits_in_place_of_probabilities_are_refused(
    spec: EnsembleSpec, outputs: Outputs, tensor: str
) -> None:
    logits = (getattr(outputs["ich_any"], tensor) * 8 - 4).astype(np.float16)
    with pytest.raises(ContractError, match="probabilities"):
        combined_from_members(changed(outputs, "ich_any", **{tensor: logits}), spec)


def test_no_slices_is_refused(spec: EnsembleSpec, make_outputs: Callable[..., Outputs]) -> None:
    with pytest.raises(NoSlicesError):
        combined_from_members(make_outputs(slices=0), spec)


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("ich_sdh", {"logit": np.zeros((4, 1), np.float32)}),
        ("ich_any", {"logit": np.zeros(5, np.float32)}),
        ("ich_any", {"logit": np.zeros((5, 2), np.float32)}),
        ("ich_any", {"mask": np.zeros((5, 16, 32), np.float16)}),
        ("ich_sdh", {"mask": np.zeros((1, 32, 16), np.float16)}),
        ("ich_any", {"brain": np.zeros((5, 1, 32, 16), np.float16)}),
        ("ich_any", {"brain": None}),
    ],
)
def test_a_wrong_shape_is_refused_and_never_broadcast(
    spec: EnsembleSpec, outputs: Outputs, name: str, fields: dict[str, Any]
) -> None:
    with pytest.raises(ContractError):
        combined_from_members(changed(outputs, name, **fields), spec)


def test_a_missing_member_is_named(spec: EnsembleSpec, outputs: Outputs) -> None:
    del outputs["ich_sah"]
    with pytest.raises(ContractError, match="ich_sah"):
        combined_from_members(outputs, spec)


@given(
    logits=st.lists(st.floats(-1e4, 1e4, width=32), min_size=3, max_size=3),
    which=st.integers(0, 2),
    rise=st.floats(0, 1e4, width=32),
)
@settings(max_examples=60, deadline=None)
def test_a_higher_logit_never_lowers_the_score_and_it_stays_a_probability(
    make_spec: Callable[..., EnsembleSpec],
    make_outputs: Callable[..., Outputs],
    logits: list[float],
    which: int,
    rise: float,
) -> None:
    spec, one_slice = make_spec(), make_outputs(slices=1)
    higher = [value + rise * (index == which) for index, value in enumerate(logits)]

    def score(values: list[float]) -> float:
        outputs = {
            name: dataclasses.replace(one_slice[name], logit=np.array([[value]], dtype=np.float32))
            for name, value in zip(spec.member_names, values, strict=True)
        }
        return float(combined_from_members(outputs, spec).score[0, 0])

    assert 0 <= score(logits) <= score(higher) <= 1


def test_weights_that_pass_1_by_rounding_do_not_carry_a_score_past_1(
    make_spec: Callable[..., EnsembleSpec], outputs: Outputs
) -> None:
    first, *others = make_spec().members
    heavier = dataclasses.replace(first, score_weight=first.score_weight + 9e-7)
    certain = {
        name: dataclasses.replace(output, logit=np.full((5, 1), 100, dtype=np.float32))
        for name, output in outputs.items()
    }
    combined = combined_from_members(certain, make_spec(members=(heavier, *others)))
    assert combined.score.max() == 1
