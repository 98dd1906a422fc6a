"""Calibration figures are right for probabilities whose truth is known by construction."""

from __future__ import annotations

import numpy as np
import pytest

from ichtrain.errors import ScoresError
from ichtrain.statistics import calibration_from_scores


def expit(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values))


@pytest.fixture(scope="module")
def cases() -> tuple[np.ndarray, np.ndarray]:
    """20,000 logits, and truths drawn with exactly their probabilities."""
    rng = np.random.default_rng(0)
    logit = rng.normal(0.0, 2.0, 20_000)
    return logit, (rng.random(20_000) < expit(logit)).astype(int)


def test_true_probabilities_are_called_calibrated(cases: tuple[np.ndarray, np.ndarray]) -> None:
    logit, truth = cases
    found = calibration_from_scores(truth, expit(logit))
    assert found.slope == pytest.approx(1.0, abs=0.05)
    assert found.intercept == pytest.approx(0.0, abs=0.05)
    assert found.expected_calibration_error < 0.02
    assert found.brier == pytest.approx(np.mean((expit(logit) - truth) ** 2))


def test_probabilities_that_are_too_extreme_have_a_slope_below_1(
    cases: tuple[np.ndarray, np.ndarray],
) -> None:
    logit, truth = cases
    assert calibration_from_scores(truth, expit(2 * logit)).slope == pytest.approx(0.5, abs=0.03)


def test_probabilities_that_are_too_high_have_an_intercept_below_0(
    cases: tuple[np.ndarray, np.ndarray],
) -> None:
    logit, truth = cases
    found = calibration_from_scores(truth, expit(logit + 1))
    assert found.intercept == pytest.approx(-1.0, abs=0.05)
    assert found.expected_calibration_error > 0.1


def test_bins_count_every_case_once_and_leave_out_empty_ones() -> None:
    found = calibration_from_scores([0, 1, 1, 0], [0.0, 0.05, 1.0, 0.7])
    assert [(one.low, one.count) for one in found.bins] == [
        (0.0, 2),
        (pytest.approx(0.7), 1),
        (pytest.approx(0.9), 1),
    ]
    assert found.bins[0].observed_share == 0.5
    assert found.bins[0].mean_probability == pytest.approx(0.025)


@pytest.mark.parametrize("truth", [[0, 0, 1, 1], [1, 1, 1, 1]])
def test_classes_apart_or_alone_have_no_slope(truth: list[int]) -> None:
    found = calibration_from_scores(truth, [0.1, 0.2, 0.8, 0.9])
    assert (found.intercept, found.slope) == (None, None)
    assert found.brier > 0


@pytest.mark.parametrize(
    ("truth", "probability"), [([], []), ([0, 1], [0.1]), ([0, 1], [0.1, 1.2]), ([0, 3], [0, 1])]
)
def test_what_is_no_probability_is_refused(truth: list[int], probability: list[float]) -> None:
    with pytest.raises(ScoresError):
        calibration_from_scores(truth, probability)
