"""Study scores and labels -> operating points: high sensitivity, balanced, high specificity."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ichcore import OperatingPoint
from ichtrain.ensemble.optimise import Float64

NAMES = ("high_sensitivity", "balanced", "high_specificity")


@dataclass(frozen=True)
class _Cut:
    """A gap between neighbouring scores, and what a threshold inside it comes to."""

    low: float
    high: float
    sensitivity: float
    specificity: float


def points_from_scores(
    score: Float64, label: NDArray[np.bool_], sensitivity: float, specificity: float
) -> tuple[OperatingPoint, ...]:
    """Choose thresholds for study scores [n] of labels [n], of which both kinds must be there.

    The first point has the best specificity at the `sensitivity` asked for, the last the best
    sensitivity at the `specificity`, the middle one the largest sum (Youden's index); of equals
    the more sensitive. Thresholds lie in the middle between two scores; where the classes are
    apart, all three lie in the middle of the gap between them. A target that only a threshold
    below or above all scores reaches is reached so, and one that none reaches is missed by as
    little as may be: `notes_on_points` says either.
    """
    cuts = _cuts(score, label)
    best: dict[str, Callable[[_Cut], tuple[float, ...]]] = {
        "high_sensitivity": lambda cut: (
            min(cut.sensitivity, sensitivity), cut.specificity, cut.sensitivity,
        ),
        "balanced": lambda cut: (cut.sensitivity + cut.specificity, cut.sensitivity),
        "high_specificity": lambda cut: (
            min(cut.specificity, specificity), cut.sensitivity, cut.specificity,
        ),
    }  # fmt: skip
    points = []
    for name in NAMES:
        cut = max(cuts, key=best[name])
        threshold = _between(cut.low, cut.high)
        points.append(OperatingPoint(name, threshold, cut.sensitivity, cut.specificity))
    return tuple(points)


def notes_on_points(
    points: tuple[OperatingPoint, ...], sensitivity: float, specificity: float
) -> list[str]:
    """A sentence for each point that misses its target, or says the same of every study."""
    notes = []
    for point in points:
        if 0 in (point.sensitivity, point.specificity):
            what = "everything" if point.specificity == 0 else "nothing"
            notes.append(f"Operating point {point.name} calls {what} positive.")
    first, _, last = points
    if first.sensitivity < sensitivity:
        notes.append(f"A sensitivity of {sensitivity:g} is out of reach; the nearest was taken.")
    if last.specificity < specificity:
        notes.append(f"A specificity of {specificity:g} is out of reach; the nearest was taken.")
    return notes


def _cuts(score: Float64, label: NDArray[np.bool_]) -> list[_Cut]:
    """Every way to part the scores, that of all positive and that of none included."""
    values = np.unique(score)
    positive, negative = np.sort(score[label]), np.sort(score[~label])
    cuts = [
        _Cut(
            float(low),
            float(high),
            float((len(positive) - np.searchsorted(positive, high)) / len(positive)),
            float(np.searchsorted(negative, high) / len(negative)),
        )
        for low, high in zip([0.0, *values[:-1]], values, strict=True)
    ]
    if values[-1] < 1:  # a threshold is a probability, so nothing lies above a score of 1
        cuts.append(_Cut(float(values[-1]), 1.0, 0.0, 1.0))
    return cuts


def _between(low: float, high: float) -> float:
    """A short number near the middle of two scores; a score on the threshold is positive."""
    middle = (low + high) / 2
    for digits in range(2, 12):
        short = round(middle, digits)
        if abs(short - middle) <= (high - low) / 8 and low < short <= high:
            return short
    return high  # nothing fits between; a score at or above `high` is positive
