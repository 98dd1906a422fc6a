"""Calibration, weights, operating points and the choice of a rule, each on what is known."""

from __future__ import annotations

import numpy as np
import pytest

from ichcore import StudyRule
from ichtrain.ensemble.calibration import calibration_from_logits
from ichtrain.ensemble.cross import chosen_scheme
from ichtrain.ensemble.optimise import sigmoid
from ichtrain.ensemble.points import NAMES, notes_on_points, points_from_scores
from ichtrain.ensemble.rules import Judged, chosen_rule
from ichtrain.ensemble.weights import mask_weights, score_weights

RNG_SEED = 3


def _members(useful: int, useless: int) -> tuple[np.ndarray, np.ndarray]:
    """Calibrated scores [n, K] of members that know something and of members that guess."""
    rng = np.random.default_rng(RNG_SEED)
    label = rng.random(1500) < 0.4
    logits = [2.0 * (2 * label - 1) + rng.normal(0, 2, len(label)) for _ in range(useful)]
    logits += [rng.normal(-0.4, 0.3, len(label)) for _ in range(useless)]
    return sigmoid(np.stack(logits, axis=1)), label


@pytest.mark.parametrize(("slope", "intercept"), [(0.5, -1.0), (1.0, 0.0), (2.0, 1.5)])
def test_calibration_recovers_a_known_slope(slope: float, intercept: float) -> None:
    rng = np.random.default_rng(RNG_SEED)
    logit = rng.normal(0, 2, 20_000)
    label = rng.random(len(logit)) < sigmoid(slope * logit + intercept)
    found = calibration_from_logits(logit, label)
    assert found.slope == pytest.approx(slope, rel=0.06)
    assert found.intercept == pytest.approx(intercept, abs=0.08)


def test_calibration_keeps_a_finite_slope_where_classes_are_apart() -> None:
    logit = np.concatenate([np.full(30, -4.0), np.full(20, 4.0)])
    found = calibration_from_logits(logit, logit > 0)
    assert 0 < found.slope < 5


def test_calibration_of_a_member_that_ranks_the_wrong_way_round_is_nearly_flat() -> None:
    logit = np.random.default_rng(RNG_SEED).normal(0, 2, 500)
    found = calibration_from_logits(logit, logit < 0)
    assert 0 < found.slope < 0.05


def test_calibration_brings_logits_of_a_runaway_network_back() -> None:
    rng = np.random.default_rng(RNG_SEED)
    logit = rng.normal(0, 2, 4000)
    label = rng.random(len(logit)) < sigmoid(logit)
    assert calibration_from_logits(1e4 * logit, label).slope == pytest.approx(1e-4, rel=0.15)


def test_score_weights_lie_on_the_simplex_and_a_useless_member_loses_weight() -> None:
    probability, label = _members(useful=2, useless=1)
    weights = score_weights(probability, label, prior=0.01)
    assert weights.min() >= 0
    assert weights.sum() == pytest.approx(1)
    assert weights[2] < 0.1
    assert weights[:2] == pytest.approx(weights[1::-1], abs=0.2)


def test_the_prior_pulls_score_weights_to_equal_ones() -> None:
    probability, label = _members(useful=1, useless=2)
    far = [
        float(np.abs(score_weights(probability, label, prior) - 1 / 3).max())
        for prior in (0.0, 0.1, 1.0, 100.0)
    ]
    assert far == sorted(far, reverse=True)
    assert far[0] > 0.5
    assert far[-1] < 0.01


def test_mask_weights_lie_on_the_simplex_and_follow_the_member_that_sees_the_lesion() -> None:
    rng = np.random.default_rng(RNG_SEED)
    lesion = rng.random(4000) < 0.2
    seeing = np.where(lesion, 0.7, 0.2) + rng.uniform(-0.15, 0.15, len(lesion))
    guessing = rng.uniform(0.1, 0.9, len(lesion))
    mask = np.stack([seeing, guessing], axis=1).astype(np.float32)
    weights, threshold = mask_weights(mask, lesion, int(lesion.sum()), prior=0.01)
    assert weights.min() >= 0
    assert weights.sum() == pytest.approx(1)
    assert weights[0] > 0.8
    assert 0.3 <= threshold <= 0.6
    equal, _ = mask_weights(mask, lesion, int(lesion.sum()), prior=1000.0)
    assert equal == pytest.approx([0.5, 0.5], abs=0.01)


def test_all_points_lie_in_the_gap_where_classes_are_apart() -> None:
    score = np.array([0.1, 0.2, 0.3, 0.7, 0.8, 0.9])
    points = points_from_scores(score, score > 0.5, 0.95, 0.95)
    assert tuple(point.name for point in points) == NAMES
    assert {point.threshold for point in points} == {0.5}
    assert {(point.sensitivity, point.specificity) for point in points} == {(1.0, 1.0)}
    assert notes_on_points(points, 0.95, 0.95) == []


def test_points_reach_their_targets_and_give_away_no_more_than_they_must() -> None:
    rng = np.random.default_rng(RNG_SEED)
    label = np.arange(400) % 2 == 1
    score = sigmoid(rng.normal(0, 1, 400) + 1.5 * label)
    high, middle, low = points_from_scores(score, label, 0.95, 0.90)
    assert high.threshold < middle.threshold < low.threshold
    assert high.sensitivity >= 0.95
    assert low.specificity >= 0.90
    reached: dict[str, list[float]] = {name: [] for name in ("specificity", "sensitivity")}
    for threshold in score:
        found = score >= threshold
        sensitivity, specificity = found[label].mean(), (~found)[~label].mean()
        reached["specificity"] += [specificity] if sensitivity >= 0.95 else []
        reached["sensitivity"] += [sensitivity] if specificity >= 0.90 else []
    assert high.specificity == pytest.approx(max(reached["specificity"]))
    assert low.sensitivity == pytest.approx(max(reached["sensitivity"]))
    for point in (high, middle, low):
        found = score >= point.threshold
        assert point.sensitivity == pytest.approx(found[label].mean())
        assert point.specificity == pytest.approx((~found)[~label].mean())
    index = [point.sensitivity + point.specificity for point in (high, middle, low)]
    assert max(index) == index[1]


def test_a_target_that_only_calling_nothing_positive_reaches_is_told() -> None:
    # The highest score has no blood: no threshold among the scores has a specificity of 1.
    score, label = np.array([0.2, 0.4, 0.6, 0.8]), np.array([False, True, True, False])
    points = points_from_scores(score, label, 1.0, 1.0)
    assert points[2].specificity == 1
    assert points[2].threshold > 0.8
    assert notes_on_points(points, 1.0, 1.0) == [
        "Operating point high_specificity calls nothing positive."
    ]


def test_a_target_out_of_reach_is_missed_by_as_little_as_may_be_and_told() -> None:
    # A score of 1 without blood: no threshold up to 1 leaves it out.
    score, label = np.array([0.2, 0.4, 0.6, 1.0]), np.array([False, True, True, False])
    points = points_from_scores(score, label, 1.0, 1.0)
    assert points[2].specificity == 0.5
    assert points[2].threshold > 0.6 or points[2].sensitivity > 0
    assert notes_on_points(points, 1.0, 1.0)[-1].startswith("A specificity of 1 is out of reach")


def test_scores_that_are_all_equal_still_give_points() -> None:
    points = points_from_scores(np.full(6, 0.4), np.arange(6) % 2 == 0, 0.95, 0.95)
    assert points[0].sensitivity == 1
    assert points[2].specificity == 1


def _judged(name: str, auc: float, log_loss: float = 0.3, **numbers: float) -> Judged:
    return Judged(StudyRule(name=name, **numbers), auc, log_loss)  # type: ignore[arg-type]


def test_of_rules_that_tie_the_simpler_is_chosen() -> None:
    tied = [_judged("volume_and_maximum", 0.903), _judged("smoothed_maximum", 0.9, 0.5)]
    assert chosen_rule(tied).rule.name == "smoothed_maximum"
    assert chosen_rule([*tied, _judged("lesion_volume", 0.92)]).rule.name == "lesion_volume"


def test_of_shares_of_brain_that_tie_the_greatest_is_chosen_and_then_the_least_log_loss() -> None:
    shares = [
        _judged("top_mean", 0.902, 0.2, minimum_brain_share=0.0),
        _judged("top_mean", 0.9, 0.4, minimum_brain_share=0.25, top_mean_slices=2),
        _judged("top_mean", 0.899, 0.3, minimum_brain_share=0.25, top_mean_slices=3),
        _judged("top_mean", 0.89, 0.1, minimum_brain_share=0.5),
    ]
    best = chosen_rule(shares).rule
    assert (best.minimum_brain_share, best.top_mean_slices) == (0.25, 3)


def test_of_schemes_that_tie_equal_weights_are_chosen() -> None:
    def figures(auc: float, log_loss: float) -> dict[str, float]:
        return {"study_auc": auc, "slice_log_loss": log_loss}

    tied = {name: figures(0.9, 0.300) for name in ("equal", "log_loss", "dice")}
    assert chosen_scheme(tied) == "equal"
    assert chosen_scheme({**tied, "log_loss": figures(0.9, 0.290)}) == "log_loss"
    assert chosen_scheme({**tied, "log_loss": figures(0.88, 0.2)}) == "equal"
    assert chosen_scheme({}) == "equal"
