"""Exact intervals and areas, held against scipy and statsmodels, which no client imports."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import beta
from statsmodels.stats.proportion import proportion_confint

from ichcore.intervals import area_from_scores, share_from_counts
from ichtrain.statistics import auc_from_scores


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
@pytest.mark.parametrize("total", [1, 2, 7, 84, 1000])
def test_intervals_are_those_of_clopper_and_pearson(total: int, confidence: float) -> None:
    for count in {0, 1, total // 3, total // 2, total - 1, total}:
        share = share_from_counts(count, total, confidence)
        assert share is not None
        expected = proportion_confint(count, total, alpha=1 - confidence, method="beta")
        np.testing.assert_allclose((share.low, share.high), expected, rtol=1e-11, atol=1e-14)
        assert share.low <= share.share <= share.high


def test_the_ends_are_quantiles_of_the_beta_distribution() -> None:
    share = share_from_counts(3, 4000)
    assert share is not None
    assert share.low == pytest.approx(beta.ppf(0.025, 3, 3998), rel=1e-10)
    assert share.high == pytest.approx(beta.ppf(0.975, 4, 3997), rel=1e-10)


def test_of_nothing_there_is_no_share() -> None:
    assert share_from_counts(0, 0) is None


@pytest.mark.parametrize(("count", "total"), [(-1, 3), (4, 3), (1, 0)])
def test_counts_that_are_none_are_refused(count: int, total: int) -> None:
    with pytest.raises(ValueError, match="no share"):
        share_from_counts(count, total)


@pytest.mark.parametrize("seed", range(5))
def test_areas_are_those_of_the_training_room(seed: int) -> None:
    rng = np.random.default_rng(seed)
    positives, negatives = rng.normal(1, 1, 12).round(1), rng.normal(0, 1, 20).round(1)
    found = area_from_scores(positives, negatives)
    told = auc_from_scores([1] * 12 + [0] * 20, np.concatenate([positives, negatives]))
    assert (found.area, found.low, found.high) == (told.area, told.low, told.high)
    pairs = (positives[:, None] > negatives).mean() + (positives[:, None] == negatives).mean() / 2
    assert found.area == pytest.approx(pairs)


def test_perfect_scores_are_no_certainty() -> None:
    found = area_from_scores(np.array([0.8, 0.9, 0.7]), np.array([0.1, 0.2]))
    assert (found.area, found.high) == (1.0, 1.0)
    assert found.low == pytest.approx(0.025**0.5)
    with pytest.raises(ValueError, match="negative"):
        area_from_scores(np.array([0.5]), np.array([]))
