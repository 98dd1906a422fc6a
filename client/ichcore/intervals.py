"""Counts -> exact intervals of a share, and the areas under a ROC curve with theirs.

Sources: C. J. Clopper, E. S. Pearson, Biometrika 1934, 26:404-413, for shares; E. R. DeLong,
D. M. DeLong, D. L. Clarke-Pearson, Biometrics 1988, 44:837-845, for areas, by the midranks of
X. Sun, W. Xu, IEEE Signal Processing Letters 2014, 21:1389-1393. `ichtrain.statistics` has the
tests of two areas; all of it is held against published figures and other libraries by its tests.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]

# The interval between two neighbouring floats of 0 to 1 is reached sooner than this.
_MOST_HALVINGS = 1100


@dataclass(frozen=True)
class Share:
    """`count` of `total`, with its exact interval."""

    count: int
    total: int
    share: float
    low: float
    high: float


@dataclass(frozen=True)
class Area:
    """An area under the ROC curve with its interval, symmetric in the logit of the area."""

    area: float
    low: float
    high: float


def share_from_counts(count: int, total: int, confidence: float = 0.95) -> Share | None:
    """A share with its Clopper-Pearson interval; None of nothing, which has no share.

    Either end is where the tail of the binomial that reaches `count` is half of what the
    confidence leaves. Raises ValueError unless 0 <= count <= total.
    """
    if not 0 <= count <= total:
        raise ValueError(f"{count} of {total} is no share")
    if total == 0:
        return None
    rest = (1 - confidence) / 2
    low = 0.0 if count == 0 else _crossing(lambda p: _upper_tail(count, total, p) >= rest)
    high = (
        1.0 if count == total else _crossing(lambda p: _upper_tail(count + 1, total, p) >= 1 - rest)
    )
    return Share(count, total, count / total, low, high)


def area_from_scores(positives: Float64, negatives: Float64, confidence: float = 0.95) -> Area:
    """The area of scores [m] of positives against those [k] of negatives, ties counted half.

    Cases are independent of each other. Raises ValueError without a positive or a negative.
    """
    of_positives, of_negatives = placements_from_scores(positives, negatives)
    area = float(of_positives.mean())
    if area in (0.0, 1.0):
        return Area(area, *edge_interval(area, len(positives), len(negatives), confidence))
    error = math.sqrt(spread_of_mean(of_positives) + spread_of_mean(of_negatives))
    return Area(area, *logit_interval(area, error, confidence))


def placements_from_scores(positives: Float64, negatives: Float64) -> tuple[Float64, Float64]:
    """Each positive's share of negatives below it [m], each negative's of positives above [k]."""
    if not len(positives) or not len(negatives):
        raise ValueError("an area needs a positive and a negative")
    midrank = _midranks(np.concatenate([positives, negatives]))
    count, others = len(positives), len(negatives)
    return (
        (midrank[:count] - _midranks(positives)) / others,
        1.0 - (midrank[count:] - _midranks(negatives)) / count,
    )


def spread_of_mean(placements: Float64) -> float:
    """Variance of their mean; a single case has none that could be estimated, so it adds 0."""
    if len(placements) < 2:
        return 0.0
    return float(placements.var(ddof=1) / len(placements))


def logit_interval(area: float, error: float, confidence: float) -> tuple[float, float]:
    """The interval of an area inside 0 to 1, from its standard error."""
    reach = NormalDist().inv_cdf((1 + confidence) / 2) * error / (area * (1 - area))
    middle = math.log(area / (1 - area))
    return _expit(middle - reach), _expit(middle + reach)


def edge_interval(
    area: float, positives: int, negatives: int, confidence: float
) -> tuple[float, float]:
    """Of perfect separation, where DeLong's variance is 0 and would claim certainty.

    Clopper-Pearson's bound for all m of m, m being how many the rarer kind has.
    """
    bound = ((1 - confidence) / 2) ** (1 / min(positives, negatives))
    return (bound, 1.0) if area == 1.0 else (0.0, 1 - bound)


def _upper_tail(count: int, total: int, p: float) -> float:
    """P(X >= count) of a binomial; `p` inside 0 to 1. The shorter tail is the one summed."""
    if count > total * p:
        return _mass(count, total, total, p)
    return 1.0 - _mass(0, count - 1, total, p)


def _mass(first: int, last: int, total: int, p: float) -> float:
    """P(first <= X <= last), summed from the smallest term up."""
    log_p, log_q = math.log(p), math.log1p(-p)
    terms = (
        math.exp(
            math.lgamma(total + 1) - math.lgamma(k + 1) - math.lgamma(total - k + 1)
            + k * log_p + (total - k) * log_q
        )
        for k in range(first, last + 1)
    )  # fmt: skip
    return min(1.0, math.fsum(terms))


def _crossing(reached: Callable[[float], bool]) -> float:
    """The p inside 0 to 1 from which on `reached` holds, to the last bit."""
    low, high = 0.0, 1.0
    for _ in range(_MOST_HALVINGS):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (low, middle) if reached(middle) else (middle, high)
    return (low + high) / 2


def _midranks(values: Float64) -> Float64:
    """Ranks from 1, equal values sharing the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[inverse], dtype=np.float64)


def _expit(value: float) -> float:
    return 0.5 + 0.5 * math.tanh(0.5 * value)
