"""Logits of whole studies -> AUC over slices and over studies."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ichtrain.data import LabelledSeries
from ichtrain.fit.slices import study_label

NEIGHBOUR_WEIGHTS = (0.25, 0.5, 0.25)
"""Weights of a slice and its neighbours before the maximum; those of the default study rule."""

Logits = NDArray[np.float64]


def study_logit(logits: Logits) -> float:
    """Highest smoothed logit of a study's slices [n], edges repeated."""
    padded = np.pad(logits, 1, mode="edge")
    return float(np.convolve(padded, NEIGHBOUR_WEIGHTS, mode="valid").max())


def study_auc(series: Sequence[LabelledSeries], logits: Sequence[Logits]) -> float:
    """AUC of the studies' logits; both classes must be there."""
    labels = np.array([study_label(each) for each in series])
    return _auc(labels, np.array([study_logit(each) for each in logits]))


def slice_auc(series: Sequence[LabelledSeries], logits: Sequence[Logits]) -> float | None:
    """AUC over all slices whose label is known, or None without both classes.

    A study label spread over slices says nothing about one of them, and is left out.
    """
    labelled = [
        (each.labels[:, 0], values)
        for each, values in zip(series, logits, strict=True)
        if each.annotation != "study" or each.is_normal
    ]
    if not labelled:
        return None
    labels = np.concatenate([label for label, _ in labelled])
    values = np.concatenate([value for _, value in labelled])
    known = labels >= 0
    if len(np.unique(labels[known])) < 2:
        return None
    return _auc(labels[known], values[known])


def _auc(labels: NDArray[np.int8], values: Logits) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(labels, values))
