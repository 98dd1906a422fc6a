"""Votes of readers -> how far they agree beyond chance, and whether two rounds differ.

The only file of the reading study that calls statsmodels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
"""Resamples of a bootstrap; its limits are good to about a hundredth."""


@dataclass(frozen=True)
class Agreement:
    """Fleiss' kappa with a 95 % percentile bootstrap interval over cases.

    `kappa` is None where it has no value: fewer than two readers or cases, or all answers alike.
    """

    kappa: float | None
    low: float | None
    high: float | None
    cases: int
    readers: int


def agreement_from_votes(votes: NDArray[np.bool_], seed: int = 0) -> Agreement:
    """Votes [cases, readers], True for positive; every reader has answered every case.

    Source: J. L. Fleiss, Measuring nominal scale agreement among many raters, 1971.
    """
    cases, readers = votes.shape
    positive = votes.sum(axis=1)
    table = np.stack([readers - positive, positive], axis=1)
    kappa = kappa_from_table(table)
    if kappa is None:
        return Agreement(None, None, None, cases, readers)
    rng = np.random.default_rng(seed)
    drawn = (kappa_from_table(table[rng.integers(0, cases, cases)]) for _ in range(RESAMPLES))
    # A resample in which all answers are alike has no kappa.
    kappas = [one for one in drawn if one is not None]
    low, high = np.percentile(kappas, (2.5, 97.5))
    return Agreement(kappa, float(low), float(high), cases, readers)


def kappa_from_table(table: NDArray[np.int64]) -> float | None:
    """Fleiss' kappa of counts [cases, categories]; None where it has no value."""
    from statsmodels.stats.inter_rater import fleiss_kappa

    cases, readers = len(table), int(table.sum(axis=1).max(initial=0))
    if cases < 2 or readers < 2 or np.count_nonzero(table.sum(axis=0)) < 2:
        return None
    return float(fleiss_kappa(table))


def exact_p(gained: int, lost: int) -> float:
    """Two-sided exact McNemar test: gains against losses, ties left out; 1 without either."""
    from statsmodels.stats.contingency_tables import mcnemar

    if gained + lost == 0:
        return 1.0
    return float(mcnemar(np.array([[0, lost], [gained, 0]]), exact=True).pvalue)
