"""Truth and probabilities -> how far a score of 0.7 means 7 in 10.

Sources: G. W. Brier, Monthly Weather Review 1950, 78:1-3; D. R. Cox, Biometrika 1958, 45:562-565,
for intercept and slope; M. P. Naeini, G. F. Cooper, M. Hauskrecht, AAAI 2015, for the expected
calibration error.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ichtrain.errors import ScoresError

Float64 = NDArray[np.float64]

_CERTAIN = 1e-6
"""Probabilities are taken as no closer to 0 or 1 than this; a logit of 0 or 1 is infinite."""


@dataclass(frozen=True)
class ReliabilityBin:
    """Cases whose probability lies in `low` to `high`: how many, mean probability, true share."""

    low: float
    high: float
    count: int
    mean_probability: float
    observed_share: float


@dataclass(frozen=True)
class CalibrationFigures:
    """How well probabilities fit what happened.

    `intercept` (with slope 1) is 0 and `slope` is 1 where the fit is right; a slope below 1 means
    too extreme, an intercept below 0 too high. Both are None where the classes do not overlap or
    one is absent, for then no finite value fits. `bins` leaves out empty ones.
    """

    brier: float
    expected_calibration_error: float
    intercept: float | None
    slope: float | None
    bins: tuple[ReliabilityBin, ...]


def calibration_from_scores(
    truth: ArrayLike, probability: ArrayLike, *, bins: int = 10
) -> CalibrationFigures:
    """Judge probabilities [n] of 0 to 1 against a truth of 0 and 1 [n], in bins of equal width.

    Raises `ScoresError` on no cases, lengths that differ and what is no probability or no truth.
    """
    from sklearn.metrics import brier_score_loss

    labels, values = _checked(truth, probability)
    table = _bins(labels, values, bins)
    error = sum(one.count * abs(one.mean_probability - one.observed_share) for one in table)
    return CalibrationFigures(
        float(brier_score_loss(labels, values, pos_label=1)),
        float(error / len(labels)),
        *_intercept_and_slope(labels, values),
        table,
    )


def _bins(labels: Float64, values: Float64, count: int) -> tuple[ReliabilityBin, ...]:
    edges = np.arange(count + 1) / count
    home = np.clip(np.digitize(values, edges[1:-1]), 0, count - 1)
    return tuple(
        ReliabilityBin(
            float(edges[index]),
            float(edges[index + 1]),
            int(inside.sum()),
            float(values[inside].mean()),
            float(labels[inside].mean()),
        )
        for index in range(count)
        if (inside := home == index).any()
    )


def _intercept_and_slope(labels: Float64, values: Float64) -> tuple[float | None, float | None]:
    """Logistic regression of the truth on the logit: the intercept with slope 1, and the slope."""
    positive, negative = values[labels == 1], values[labels == 0]
    if not len(positive) or not len(negative):
        return None, None
    overlap = positive.min() < negative.max() and negative.min() < positive.max()
    if not overlap:
        return None, None
    import statsmodels.api as sm

    inside = np.clip(values, _CERTAIN, 1 - _CERTAIN)
    logit = np.log(inside / (1 - inside))
    ones = np.ones_like(logit)
    family = sm.families.Binomial()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of fits that are nearly perfect; they are wanted
        moved = sm.GLM(labels, ones, family=family, offset=logit).fit()
        turned = sm.GLM(labels, np.column_stack([ones, logit]), family=family).fit()
    intercept, slope = float(moved.params[0]), float(turned.params[1])
    return (
        intercept if np.isfinite(intercept) else None,
        slope if np.isfinite(slope) else None,
    )


def _checked(truth: ArrayLike, probability: ArrayLike) -> tuple[Float64, Float64]:
    labels = np.asarray(truth, dtype=np.float64)
    values = np.asarray(probability, dtype=np.float64)
    if labels.ndim != 1 or labels.shape != values.shape or len(labels) == 0:
        raise ScoresError(f"Truth {labels.shape} and probabilities {values.shape} must be [n].")
    if not np.isin(labels, (0, 1)).all():
        raise ScoresError("The truth must be 0 or 1; leave out cases of which nothing is known.")
    if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
        raise ScoresError("A probability lies outside 0 to 1 or is not finite.")
    return labels, values
