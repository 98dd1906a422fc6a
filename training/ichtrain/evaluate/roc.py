"""Truth and scores -> the points of a ROC curve, few enough to store."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

MOST_POINTS = 120


@dataclass(frozen=True)
class Curve:
    """Share of clean cases called positive and share of bleeds found, from 0 to 1 both."""

    false_alarms: tuple[float, ...]
    found: tuple[float, ...]


def curve_from_scores(truth: ArrayLike, scores: ArrayLike) -> Curve | None:
    """The curve's corners, thinned evenly where there are many; None where a class is missing."""
    from sklearn.metrics import roc_curve

    labels = np.asarray(truth, dtype=np.bool_)
    if labels.all() or not labels.any():
        return None
    alarms, found, _ = roc_curve(labels, np.asarray(scores))
    chosen = np.unique(np.linspace(0, len(alarms) - 1, MOST_POINTS).round().astype(int))
    if len(alarms) <= MOST_POINTS:
        chosen = np.arange(len(alarms))
    return Curve(
        tuple(round(float(value), 5) for value in alarms[chosen]),
        tuple(round(float(value), 5) for value in found[chosen]),
    )
