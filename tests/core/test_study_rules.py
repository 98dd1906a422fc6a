"""The named study rules on examples computed by hand, and what none of them may do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ichcore import (
    RULE_NAMES,
    Decision,
    EnsembleSpec,
    SliceScores,
    StudyRule,
    StudyScore,
    study_from_slices,
)

MakeSlices = Callable[..., SliceScores]
MakeSpec = Callable[..., EnsembleSpec]
Judge = Callable[..., StudyScore]


def f32(*values: float) -> Any:
    return np.array(values, dtype=np.float32)


@pytest.fixture(scope="session")
def judge(make_spec: MakeSpec, make_slices: MakeSlices) -> Judge:
    """The study score of slice scores by a rule: `judge(scores, {slice fields}, **rule)`."""

    def judged(scores: Any, changes: dict[str, Any] | None = None, **rule: Any) -> StudyScore:
        base = StudyRule(minimum_coverage_mm=40.0, minimum_slices=3)
        spec = make_spec(study_rule=replace(base, **rule))
        return study_from_slices(make_slices(scores, **(changes or {})), spec)

    return judged


def test_the_rule_that_nobody_named_is_the_smoothed_maximum_of_all_slices(judge: Judge) -> None:
    rule = StudyRule()
    assert (rule.name, rule.minimum_brain_share) == ("smoothed_maximum", 0.0)
    # No brain at all on the slice that decides; with a share of 0 it counts all the same.
    study = judge([0.0, 0.8, 0.4, 0.0], {"brain_mm2": f32(9000, 0, 9000, 9000)})
    assert study.score == pytest.approx(0.5)


def test_the_top_mean_is_the_mean_of_the_highest_smoothed_scores(judge: Judge) -> None:
    scores = [0.0, 0.2, 0.8, 0.4, 0.0]  # smoothed: 0.05, 0.3, 0.55, 0.4, 0.1
    for k, expected in ((1, 0.55), (2, 0.475), (3, 1.25 / 3), (5, 0.28), (9, 0.28)):
        study = judge(scores, name="top_mean", top_mean_slices=k)
        assert study.score == pytest.approx(expected)
        assert study.member_scores == pytest.approx((expected,) * 3)


def test_the_volume_rule_is_one_half_at_half_volume_and_grows_with_volume(judge: Judge) -> None:
    # 200 mm2 on two slices of 10 mm: 4 mL.
    changes = {"lesion_mm2": f32(0, 200, 200, 0)}
    rule: dict[str, Any] = {"name": "lesion_volume"}
    scores = [0.1, 0.3, 0.3, 0.1]
    assert judge(scores, changes, **rule, half_volume_ml=4.0).score == pytest.approx(0.5)
    assert judge(scores, changes, **rule, half_volume_ml=1.0).score == pytest.approx(0.8)
    assert judge(scores, {}, **rule).score == 0
    # Members have no area of their own.
    smoothed = judge(scores, changes).member_scores
    assert judge(scores, changes, **rule).member_scores == smoothed


def test_volume_and_maximum_is_their_weighted_mean(judge: Judge) -> None:
    changes = {"lesion_mm2": f32(0, 200, 200, 0)}
    rule: dict[str, Any] = {"name": "volume_and_maximum", "half_volume_ml": 1.0}
    for weight, expected in ((0.0, 0.3), (0.25, 0.25 * 0.8 + 0.75 * 0.3), (1.0, 0.8)):
        study = judge([0.3] * 4, changes, **rule, volume_weight=weight)
        assert study.score == pytest.approx(expected)


def test_slices_with_little_brain_do_not_enter_the_score(judge: Judge) -> None:
    scores = [0.9, 0.2, 0.4, 0.2, 1.0, 0.1]
    changes = {
        "brain_mm2": f32(4999, 5000, 10000, 9000, 2000, 0),
        "lesion_mm2": f32(500, 0, 100, 0, 500, 0),
    }
    study = judge(scores, changes, minimum_brain_share=0.5)
    # Only 0.2, 0.4, 0.2 count, and none of their neighbours does.
    assert study.score == pytest.approx(0.3)
    assert study.member_scores == pytest.approx((0.3,) * 3)
    assert study.top_slices == (2, 1, 3, 4, 0)
    assert judge(scores, changes, minimum_brain_share=0.2).score > 0.5
    volume = judge(scores, changes, name="lesion_volume", minimum_brain_share=0.5)
    assert volume.score == pytest.approx(1 / 3)  # 1 mL beside half_volume_ml = 2
    # What is reported stays the blood and the brain of every slice.
    assert volume.lesion_volume_ml == pytest.approx(11)
    assert volume.coverage_mm == pytest.approx(50)


def test_without_any_brain_all_slices_count(judge: Judge) -> None:
    study = judge([0.2, 0.8, 0.2], {"brain_mm2": f32(0, 0, 0)}, minimum_brain_share=0.5)
    assert study.score == pytest.approx(0.5)


def test_a_head_of_which_too_little_was_scored_is_never_negative(judge: Judge) -> None:
    # One slice said to be nearly all brain pushes every other one out.
    changes = {"brain_mm2": f32(30000, *[9000] * 7)}
    seen = judge([0.0] * 8, changes)
    scored = judge([0.0] * 8, changes, minimum_brain_share=0.5)
    assert seen.coverage_mm == scored.coverage_mm == 80
    assert {decision for _, decision in seen.decisions} == {Decision.NEGATIVE}
    assert {decision for _, decision in scored.decisions} == {Decision.INDETERMINATE}


def test_sections_of_an_ellipsoid_that_count_are_enough_for_a_negative(judge: Judge) -> None:
    height = np.linspace(-1, 1, 41)
    changes = {"brain_mm2": (15000 * (1 - height**2)).astype(np.float32)}
    for share in (0.0, 0.25, 0.5, 0.75):
        study = judge([0.0] * 41, {**changes, "position_mm": f32(*(height * 70))},
                      minimum_brain_share=share, minimum_coverage_mm=120.0)  # fmt: skip
        assert {decision for _, decision in study.decisions} == {Decision.NEGATIVE}, share


@pytest.mark.parametrize(
    ("position_mm", "volume_ml"),
    [
        ((0, 10, 10, 20), 5 * 0.4),  # a position twice: the nominal 5 mm each
        ((0, 4, 44, 48), (4 + 10.5) * 0.1 * 2),  # a hole counts up to the largest gap
    ],
)
def test_blood_counts_where_positions_allow_no_volume(
    judge: Judge, position_mm: tuple[float, ...], volume_ml: float
) -> None:
    changes = {"position_mm": f32(*position_mm), "lesion_mm2": f32(*[100] * 4)}
    study = judge([0.1] * 4, changes, name="lesion_volume", half_volume_ml=1.0)
    assert study.lesion_volume_ml is None
    assert study.score == pytest.approx(volume_ml / (volume_ml + 1))


@pytest.mark.parametrize("name", RULE_NAMES)
def test_one_slice_has_a_score_by_every_rule_and_is_never_negative(judge: Judge, name: str) -> None:
    study = judge([0.6], {"lesion_mm2": f32(400)}, name=name)
    assert 0.49 < study.score < 0.61
    assert Decision.NEGATIVE not in {decision for _, decision in study.decisions}


@given(
    name=st.sampled_from(RULE_NAMES),
    scores=st.lists(st.floats(0, 1, width=32), min_size=1, max_size=20),
    which=st.integers(0, 19),
    higher=st.floats(0, 1, width=32),
    more_mm2=st.floats(0, 5000, width=32),
    share=st.sampled_from((0.0, 0.25, 0.5, 1.0)),
)
@settings(max_examples=120, deadline=None)
def test_no_rule_is_lowered_by_a_higher_score_or_a_larger_lesion_and_all_stay_probabilities(
    judge: Judge,
    name: str,
    scores: list[float],
    which: int,
    higher: float,
    more_mm2: float,
    share: float,
) -> None:
    count, index = len(scores), which % len(scores)
    areas = {"brain_mm2": np.linspace(9000, 1000, count, dtype=np.float32)}
    raised, larger = list(scores), np.zeros(count, np.float32)
    raised[index], larger[index] = max(higher, scores[index]), more_mm2
    before = judge(scores, areas, name=name, minimum_brain_share=share).score
    after = judge(raised, {**areas, "lesion_mm2": larger}, name=name, minimum_brain_share=share)
    assert 0 <= before <= after.score + 1e-7
    assert after.score <= 1
