"""The study rule on examples computed by hand, and what it refuses or leaves open."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ichcore import (
    ContractError,
    Decision,
    EnsembleSpec,
    NonFiniteError,
    NoSlicesError,
    ProvenanceError,
    SliceScores,
    study_from_slices,
)
from ichcore.study import slice_extent_mm

MakeSlices = Callable[..., SliceScores]
MakeSpec = Callable[..., EnsembleSpec]


@pytest.fixture(scope="session")
def spec(make_spec: MakeSpec) -> EnsembleSpec:
    return make_spec()


def f32(*values: float) -> Any:
    return np.array(values, dtype=np.float32)


def test_the_rule_on_an_example_worked_out_by_hand(
    spec: EnsembleSpec, make_slices: MakeSlices
) -> None:
    slices = make_slices(
        [0.0, 0.2, 0.8, 0.4, 0.0],
        lesion_mm2=f32(0, 50, 400, 100, 0),
        brain_mm2=f32(900, 5000, 9000, 9000, 9000),
        position_mm=f32(-20, -15, -10, 0, 10),
        member_scores=f32(*[0, 0, 1] * 2, *[0.5, 1, 1], *[0, 0, 1] * 2).reshape(5, 3),
    )
    study = study_from_slices(slices, spec)
    # Means over three: 0.05, 0.3, 0.55, 0.4, 0.1.
    assert study.score == pytest.approx(0.55)
    assert study.member_scores == pytest.approx((0.25, 0.5, 1.0))
    # Each slice stands for half the way to its neighbours: 5, 5, 7.5, 10, 10 mm.
    assert study.coverage_mm == pytest.approx(32.5)
    assert study.lesion_volume_ml == pytest.approx((50 * 5 + 400 * 7.5 + 100 * 10) / 1000)
    assert study.top_slices == (2, 3, 1, 0, 4)
    assert study.provenance == "spec:a engines:b"
    # 32.5 mm is less than the 40 mm that a negative needs.
    assert dict(study.decisions) == {
        "sensitive": Decision.POSITIVE,
        "specific": Decision.INDETERMINATE,
    }


def test_edges_are_repeated_so_that_a_mean_stays_a_mean(
    spec: EnsembleSpec, make_slices: MakeSlices
) -> None:
    assert study_from_slices(make_slices([0.8, 0.4, 0.0]), spec).score == pytest.approx(0.7)
    assert study_from_slices(make_slices([0.6] * 7), spec).score == pytest.approx(0.6)


def test_enough_coverage_allows_a_negative(spec: EnsembleSpec, make_slices: MakeSlices) -> None:
    study = study_from_slices(make_slices([0.1] * 4), spec)
    assert {decision for _, decision in study.decisions} == {Decision.NEGATIVE}


@pytest.mark.parametrize(
    "changes",
    [
        {"brain_mm2": f32(9000, 900, 900, 900)},  # air and neck
        {"position_mm": f32(0, 3, 6, 9)},  # a short stack
        {"position_mm": f32(0, 10, 10, 20)},  # a position twice: no spacing
        {"position_mm": f32(0, 1, 60, 61)},  # a hole in the middle
    ],
)
def test_too_little_coverage_is_indeterminate_and_never_negative(
    spec: EnsembleSpec, make_slices: MakeSlices, changes: dict[str, Any]
) -> None:
    study = study_from_slices(make_slices([0.1] * 4, **changes), spec)
    assert {decision for _, decision in study.decisions} == {Decision.INDETERMINATE}
    assert study.coverage_mm < 40


def test_positive_stays_positive_with_too_little_coverage(
    spec: EnsembleSpec, make_slices: MakeSlices
) -> None:
    study = study_from_slices(make_slices([0.9, 0.9], brain_mm2=f32(0, 0)), spec)
    assert {decision for _, decision in study.decisions} == {Decision.POSITIVE}


def test_a_score_on_the_threshold_is_positive(make_spec: MakeSpec, make_slices: MakeSlices) -> None:
    spec = make_spec()
    threshold = spec.operating_points[0].threshold
    study = study_from_slices(make_slices([np.nextafter(np.float32(threshold), 1)] * 5), spec)
    assert study.decisions[0][1] is Decision.POSITIVE


def test_one_slice_has_a_score_but_neither_volume_nor_coverage(
    spec: EnsembleSpec, make_slices: MakeSlices
) -> None:
    study = study_from_slices(make_slices([0.2], lesion_mm2=f32(100)), spec)
    assert study.score == pytest.approx(0.2)
    assert study.lesion_volume_ml is None
    assert study.coverage_mm == 0
    assert {decision for _, decision in study.decisions} == {Decision.INDETERMINATE}


@pytest.mark.parametrize("position_mm", [(0, 10, 10, 20), (0, 5, 40, 45)])
def test_volume_is_none_where_positions_do_not_allow_it(
    spec: EnsembleSpec, make_slices: MakeSlices, position_mm: tuple[float, ...]
) -> None:
    slices = make_slices([0.1] * 4, position_mm=f32(*position_mm))
    assert study_from_slices(slices, spec).lesion_volume_ml is None


def test_no_slices_is_refused(make_slices: MakeSlices) -> None:
    with pytest.raises(NoSlicesError):
        make_slices([])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    "name", ["score", "member_scores", "lesion_mm2", "brain_mm2", "position_mm"]
)
def test_a_value_that_is_not_finite_is_refused(
    make_slices: MakeSlices, name: str, value: float
) -> None:
    values = getattr(make_slices([0.1, 0.2, 0.3]), name).copy()
    values[-1] = value
    with pytest.raises(NonFiniteError, match=name):
        make_slices([0.1, 0.2, 0.3], **{name: values})


@pytest.mark.parametrize(
    "changes",
    [
        {"score": np.zeros((3, 1), np.float32)},
        {"member_scores": np.zeros(3, np.float32)},
        {"member_scores": np.zeros((2, 3), np.float32)},
        {"lesion_mm2": np.zeros(2, np.float32)},
        {"brain_mm2": np.zeros((3, 1), np.float32)},
        {"position_mm": np.zeros(4, np.float32)},
        {"provenance": ("spec:a engines:b",) * 2},
        {"position_mm": f32(20, 10, 0)},
        {"score": f32(0.1, 1.5, 0.1)},
        {"score": f32(0.1, -0.5, 0.1)},
        {"member_scores": np.full((3, 3), -2, np.float32)},
        {"lesion_mm2": f32(0, -1, 0)},
        {"brain_mm2": f32(0, -1, 0)},
    ],
)
def test_a_wrong_shape_order_or_range_is_refused(
    make_slices: MakeSlices, changes: dict[str, Any]
) -> None:
    with pytest.raises(ContractError):
        make_slices([0.1, 0.2, 0.3], **changes)


def test_slices_of_different_bundles_are_refused(make_slices: MakeSlices) -> None:
    bundles = ("spec:a engines:b", "spec:a engines:c", "spec:a engines:b")
    with pytest.raises(ProvenanceError, match="2 different bundles"):
        make_slices([0.1] * 3, provenance=bundles)


def test_another_number_of_members_is_refused(spec: EnsembleSpec, make_slices: MakeSlices) -> None:
    slices = make_slices([0.1] * 3, member_scores=np.zeros((3, 4), np.float32))
    with pytest.raises(ContractError, match="4 members"):
        study_from_slices(slices, spec)


def test_extent_is_half_the_way_to_either_neighbour() -> None:
    assert slice_extent_mm([0, 2, 6, 7]).tolist() == [2, 3, 2.5, 1]
    assert slice_extent_mm([4.0]) is None
    assert slice_extent_mm([0.0, 0.0, 1.0]) is None


@given(
    scores=st.lists(st.floats(0, 1, width=32), min_size=1, max_size=40),
    which=st.integers(0, 39),
    higher=st.floats(0, 1, width=32),
)
@settings(max_examples=60, deadline=None)
def test_a_higher_slice_score_never_lowers_the_study_score_and_it_stays_a_probability(
    make_slices: MakeSlices,
    spec: EnsembleSpec,
    scores: list[float],
    which: int,
    higher: float,
) -> None:
    raised = list(scores)
    raised[which % len(scores)] = max(higher, scores[which % len(scores)])
    before = study_from_slices(make_slices(scores), spec).score
    after = study_from_slices(make_slices(raised), spec).score
    assert 0 <= before <= after <= 1
    assert before <= max(scores) + 1e-6
