"""Proportions carry exact intervals, predictive values follow Bayes, p values are adjusted."""

from __future__ import annotations

import pytest
from scipy.stats import binom

from ichtrain.errors import ScoresError
from ichtrain.statistics import (
    adjusted_by_holm,
    npv_at_prevalence,
    ppv_at_prevalence,
    proportion_from_counts,
)


@pytest.mark.parametrize(("count", "total"), [(18, 20), (1, 20), (7, 9)])
def test_exact_bounds_leave_half_of_alpha_beyond_them(count: int, total: int) -> None:
    found = proportion_from_counts(count, total)
    assert found is not None
    assert found.share == count / total
    assert binom.cdf(count, total, found.high) == pytest.approx(0.025)
    assert binom.sf(count - 1, total, found.low) == pytest.approx(0.025)


def test_all_and_none_have_a_bound_on_one_side() -> None:
    everything, nothing = proportion_from_counts(10, 10), proportion_from_counts(0, 10)
    assert everything is not None
    assert nothing is not None
    assert (everything.low, everything.high) == (pytest.approx(0.025 ** (1 / 10)), 1.0)
    assert (nothing.low, nothing.high) == (0.0, pytest.approx(1 - 0.025 ** (1 / 10)))


def test_of_nothing_there_is_no_proportion() -> None:
    assert proportion_from_counts(0, 0) is None


@pytest.mark.parametrize(("count", "total"), [(3, 2), (-1, 2)])
def test_impossible_counts_are_refused(count: int, total: int) -> None:
    with pytest.raises(ScoresError, match="no proportion"):
        proportion_from_counts(count, total)


def test_predictive_values_are_those_of_a_counted_population() -> None:
    # 1,000 scans, 100 bleeds: 90 found, 10 missed, 90 false alarms, 810 cleared.
    assert ppv_at_prevalence(0.9, 0.9, 0.1) == pytest.approx(90 / 180)
    assert npv_at_prevalence(0.9, 0.9, 0.1) == pytest.approx(810 / 820)


def test_without_calls_there_is_no_predictive_value() -> None:
    assert ppv_at_prevalence(0.0, 1.0, 0.1) is None
    assert npv_at_prevalence(1.0, 0.0, 0.1) is None


def test_a_share_outside_0_to_1_is_refused() -> None:
    with pytest.raises(ScoresError, match="no shares"):
        ppv_at_prevalence(0.9, 0.9, 10)


def test_holm_multiplies_the_smallest_most_and_never_turns_the_order() -> None:
    assert adjusted_by_holm([0.01, 0.04, 0.03]) == pytest.approx((0.03, 0.06, 0.06))
    assert adjusted_by_holm([]) == ()


def test_a_test_that_was_not_made_is_not_counted() -> None:
    assert adjusted_by_holm([0.01, None, 0.04]) == pytest.approx((0.02, None, 0.04))
