"""Counts -> proportions with exact intervals; sensitivity and specificity -> predictive values.

The one file of this room that knows statsmodels' multiple tests.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ichcore.intervals import share_from_counts
from ichtrain.errors import ScoresError


@dataclass(frozen=True)
class Proportion:
    """`count` of `total`, with its Clopper-Pearson interval."""

    count: int
    total: int
    share: float
    low: float
    high: float
    confidence: float = 0.95


def proportion_from_counts(
    count: int, total: int, *, confidence: float = 0.95
) -> Proportion | None:
    """A proportion with its exact interval; None of nothing, which has no proportion.

    The interval is that of `ichcore.intervals`. Raises `ScoresError` unless 0 <= count <= total.
    """
    try:
        share = share_from_counts(count, total, confidence)
    except ValueError as error:
        raise ScoresError(f"{count} of {total} is no proportion.") from error
    if share is None:
        return None
    return Proportion(count, total, share.share, share.low, share.high, confidence)


def ppv_at_prevalence(sensitivity: float, specificity: float, prevalence: float) -> float | None:
    """Share of positive calls that are right, by Bayes; None where nothing is called positive."""
    _refuse_no_shares(sensitivity, specificity, prevalence)
    found = sensitivity * prevalence
    called = found + (1 - specificity) * (1 - prevalence)
    return found / called if called > 0 else None


def npv_at_prevalence(sensitivity: float, specificity: float, prevalence: float) -> float | None:
    """Share of negative calls that are right, by Bayes; None where nothing is called negative."""
    _refuse_no_shares(sensitivity, specificity, prevalence)
    cleared = specificity * (1 - prevalence)
    called = cleared + (1 - sensitivity) * prevalence
    return cleared / called if called > 0 else None


def adjusted_by_holm(p_values: Sequence[float | None]) -> tuple[float | None, ...]:
    """P values adjusted for how many there are, in the same order; a None stays and is not counted.

    Source: S. Holm, Scandinavian Journal of Statistics 1979, 6:65-70.
    """
    from statsmodels.stats.multitest import multipletests

    made = [p for p in p_values if p is not None]
    adjusted = iter(multipletests(made, method="holm")[1] if made else ())
    return tuple(None if p is None else float(next(adjusted)) for p in p_values)


def _refuse_no_shares(*values: float) -> None:
    if not all(math.isfinite(value) and 0 <= value <= 1 for value in values):
        raise ScoresError(f"{values} are no shares of 0 to 1.")
