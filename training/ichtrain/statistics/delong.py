"""Truth and scores -> area under the ROC curve with DeLong's variance, and tests of two areas.

Sources: E. R. DeLong, D. M. DeLong, D. L. Clarke-Pearson, Biometrics 1988, 44:837-845, for the
variance and the paired test, whose placements and interval are in `ichcore.intervals`;
N. A. Obuchowski, Biometrics 1997, 53:567-578, for cases that hang together, such as slices of one
series. The unpaired test uses Welch's degrees of freedom.
`tests/training/statistics/test_delong.py` holds all of it against published figures.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from ichcore.intervals import (
    edge_interval,
    logit_interval,
    placements_from_scores,
    spread_of_mean,
)
from ichtrain.errors import OneClass, ScoresError

Float64 = NDArray[np.float64]

INTERVALS = ("logit", "plain")
"""`logit` is symmetric in log(AUC / (1 - AUC)), so it stays inside 0 to 1 and holds better near 1;
`plain` is symmetric in the AUC and clipped, as in most published tables."""


@dataclass(frozen=True)
class AUC:
    """An area under the ROC curve, its standard error, its interval, and how many it is of.

    Where the area is 0 or 1 the standard error is 0 and says nothing; the interval is then a rough
    one from the counts alone.
    """

    area: float
    standard_error: float
    low: float
    high: float
    positives: int
    negatives: int
    interval: str = "logit"
    confidence: float = 0.95


@dataclass(frozen=True)
class AUCTest:
    """Two areas compared: first minus second, its interval, and the two-sided p value.

    `statistic` is a z for a paired and a t for an unpaired test (with `degrees_of_freedom`). It and
    `p_value` are None where the areas differ but no case allows for an error, such as perfect
    scores against constant ones: no test can be made of that.
    """

    difference: float
    standard_error: float
    low: float
    high: float
    statistic: float | None
    p_value: float | None
    degrees_of_freedom: float | None = None
    confidence: float = 0.95


@dataclass(frozen=True)
class _Placements:
    """Each positive's share of negatives below it [m], each negative's of positives above [k].

    With clusters, `positive_home` and `negative_home` number the cluster of each.
    """

    positive: Float64
    negative: Float64
    positive_home: NDArray[np.int64] | None = None
    negative_home: NDArray[np.int64] | None = None

    @property
    def area(self) -> float:
        return float(self.positive.mean())

    @property
    def variance(self) -> float:
        if self.positive_home is not None and self.negative_home is not None:
            return self._clustered_variance(self.positive_home, self.negative_home)
        return spread_of_mean(self.positive) + spread_of_mean(self.negative)

    def less(self, other: _Placements) -> _Placements:
        """Placements of the difference of two areas of the same cases."""
        return replace(
            self,
            positive=self.positive - other.positive,
            negative=self.negative - other.negative,
        )

    def _clustered_variance(
        self, positive_home: NDArray[np.int64], negative_home: NDArray[np.int64]
    ) -> float:
        """Obuchowski's, of sums over clusters; each case a cluster of its own gives DeLong's."""
        clusters = 1 + int(max(positive_home.max(), negative_home.max()))
        of_positives = np.bincount(positive_home, self.positive - self.area, clusters)
        of_negatives = np.bincount(negative_home, self.negative - self.area, clusters)
        count, others = len(self.positive), len(self.negative)
        variance = (
            _scaled(len(np.unique(positive_home))) * float((of_positives**2).sum()) / count**2
            + _scaled(len(np.unique(negative_home))) * float((of_negatives**2).sum()) / others**2
            + 2 * _scaled(clusters) * float(of_positives @ of_negatives) / (count * others)
        )
        return max(0.0, variance)


def auc_from_scores(
    truth: ArrayLike,
    scores: ArrayLike,
    *,
    clusters: ArrayLike | None = None,
    interval: str = "logit",
    confidence: float = 0.95,
) -> AUC:
    """The area under the ROC curve of scores [n] for a truth of 0 and 1 [n], ties counted half.

    `clusters` [n] names what each case belongs to, where cases hang together. Raises `OneClass`
    without a positive or without a negative, `ScoresError` on lengths that differ and on values
    that are not finite or no truth.
    """
    if interval not in INTERVALS:
        raise ScoresError(f"Interval '{interval}' is none of {', '.join(INTERVALS)}.")
    placements = _placements(truth, scores, clusters)
    area, error = placements.area, math.sqrt(placements.variance)
    counts = len(placements.positive), len(placements.negative)
    if area in (0.0, 1.0):
        low, high = edge_interval(area, *counts, confidence)
    else:
        low, high = _interval(area, error, interval, confidence)
    return AUC(area, error, low, high, *counts, interval, confidence)


def paired_test(
    truth: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    *,
    clusters: ArrayLike | None = None,
    confidence: float = 0.95,
) -> AUCTest:
    """Compare two scores of the same cases, all [n]; `clusters` and errors as `auc_from_scores`.

    Scores that rank the cases alike have no variance of their difference: statistic 0, p 1.
    """
    difference = _placements(truth, first, clusters).less(_placements(truth, second, clusters))
    return _test(difference.area, difference.variance, None, confidence)


def unpaired_test(
    first_truth: ArrayLike,
    first: ArrayLike,
    second_truth: ArrayLike,
    second: ArrayLike,
    *,
    confidence: float = 0.95,
) -> AUCTest:
    """Compare scores of two independent groups of cases; raises as `auc_from_scores` does."""
    a, b = _placements(first_truth, first), _placements(second_truth, second)
    variance = a.variance + b.variance
    if variance == 0:
        return _test(a.area - b.area, 0.0, None, confidence)
    count_a = len(a.positive) + len(a.negative)
    count_b = len(b.positive) + len(b.negative)
    freedom = variance**2 / (a.variance**2 / (count_a - 1) + b.variance**2 / (count_b - 1))
    return _test(a.area - b.area, variance, freedom, confidence)


def _placements(
    truth: ArrayLike, scores: ArrayLike, clusters: ArrayLike | None = None
) -> _Placements:
    labels, values = _checked(truth, scores)
    placements = _Placements(*placements_from_scores(values[labels], values[~labels]))
    if clusters is None:
        return placements
    homes = np.unique(np.asarray(clusters), return_inverse=True)[1]
    if homes.shape != labels.shape:
        raise ScoresError(f"Clusters {homes.shape} and truth {labels.shape} must both be [n].")
    return replace(placements, positive_home=homes[labels], negative_home=homes[~labels])


def _checked(truth: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.bool_], Float64]:
    labels, values = np.asarray(truth), np.asarray(scores, dtype=np.float64)
    if labels.ndim != 1 or labels.shape != values.shape:
        raise ScoresError(f"Truth {labels.shape} and scores {values.shape} must both be [n].")
    if not np.isin(labels, (0, 1)).all():
        raise ScoresError("The truth must be 0 or 1; leave out cases of which nothing is known.")
    if not np.isfinite(values).all():
        raise ScoresError("A score is not finite; a case that was refused has no place here.")
    labels = labels.astype(np.bool_)
    if not labels.any() or labels.all():
        raise OneClass(
            f"{int(labels.sum())} positives and {int((~labels).sum())} negatives have no AUC; "
            "both kinds are needed."
        )
    return labels, values


def _scaled(clusters: int) -> float:
    """The correction for clusters whose mean was estimated; a single one has no spread to scale."""
    return clusters / (clusters - 1) if clusters > 1 else 0.0


def _interval(area: float, error: float, kind: str, confidence: float) -> tuple[float, float]:
    if kind == "logit":
        return logit_interval(area, error, confidence)
    reach = float(stats.norm.ppf((1 + confidence) / 2)) * error
    return max(0.0, area - reach), min(1.0, area + reach)


def _test(difference: float, variance: float, freedom: float | None, confidence: float) -> AUCTest:
    error = math.sqrt(variance)
    if error == 0:
        same = difference == 0
        return AUCTest(
            difference,
            0.0,
            difference,
            difference,
            0.0 if same else None,
            1.0 if same else None,
            freedom,
            confidence,
        )
    spread = stats.norm if freedom is None else stats.t(freedom)
    statistic = difference / error
    reach = float(spread.ppf((1 + confidence) / 2)) * error
    p_value = min(1.0, 2 * float(spread.sf(abs(statistic))))
    return AUCTest(
        difference,
        error,
        difference - reach,
        difference + reach,
        statistic,
        p_value,
        freedom,
        confidence,
    )
