"""What members say of slices and pixels -> their weights on the simplex, and the mask threshold.

Mask weights minimise the Dice loss of the combined mask, as in the source (Kang et al. 2023 and its
follow-up). Score weights minimise the log loss of the combined slice score. Both are drawn towards
equal weights, because on few patients the simplex gives everything to one member.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ichtrain.ensemble.optimise import Float64, minimum_on_simplex, sigmoid, towards_equal

THRESHOLDS = tuple(round(0.2 + 0.05 * step, 2) for step in range(11))
"""Mask thresholds that are tried; all lie above `validation.LEAST_MASK`."""

DEFAULT_THRESHOLD = 0.5
"""Where nothing tells thresholds apart; the one that Kang et al. fitted their weights at."""

_SHARPNESS = 12.0
_ROUNDS = 2
_CERTAIN = 1e-6


def log_loss(probability: Float64, label: NDArray[np.bool_]) -> float:
    """Mean log loss of probabilities [n] for labels [n]."""
    clipped = np.clip(probability, _CERTAIN, 1 - _CERTAIN)
    return float(-np.where(label, np.log(clipped), np.log1p(-clipped)).mean())


def score_weights(probability: Float64, label: NDArray[np.bool_], prior: float) -> Float64:
    """Weights [K] of calibrated member scores [n, K] with the least log loss for labels [n]."""

    def loss(weights: Float64) -> tuple[float, Float64]:
        combined = np.clip(probability @ weights, _CERTAIN, 1 - _CERTAIN)
        pull = np.where(label, -1 / combined, 1 / (1 - combined)) / len(label)
        far, slope = towards_equal(weights)
        return log_loss(combined, label) + prior * far, pull @ probability + prior * slope

    return minimum_on_simplex(loss, probability.shape[1])


def mask_weights(
    mask: NDArray[np.float32], lesion: NDArray[np.bool_], lesion_pixels: int, prior: float
) -> tuple[Float64, float]:
    """Weights [K] and threshold with the best Dice, fitted in turn.

    `mask` [p, K] are probabilities of the pixels that may be lesion at all, `lesion` [p] their
    truth, and `lesion_pixels` how many pixels of lesion there are, those outside `mask` included.
    """
    weights = np.full(mask.shape[1], 1 / mask.shape[1])
    threshold = _best_threshold(mask, lesion, lesion_pixels, weights)
    for _ in range(_ROUNDS if mask.shape[1] > 1 and len(mask) else 0):
        weights = _weights_at(threshold, mask, lesion, lesion_pixels, prior)
        threshold = _best_threshold(mask, lesion, lesion_pixels, weights)
    return weights, threshold


def dices(
    mask: NDArray[np.float32], lesion: NDArray[np.bool_], lesion_pixels: int, weights: Float64
) -> dict[float, float]:
    """Dice of the combined mask over all pixels at each of `THRESHOLDS`."""
    combined = mask @ weights.astype(np.float32)
    found = {threshold: combined >= threshold for threshold in THRESHOLDS}
    return {
        threshold: float(2 * (here & lesion).sum() / max(1, int(here.sum()) + lesion_pixels))
        for threshold, here in found.items()
    }


def _weights_at(
    threshold: float,
    mask: NDArray[np.float32],
    lesion: NDArray[np.bool_],
    lesion_pixels: int,
    prior: float,
) -> Float64:
    truth = lesion.astype(np.float64)

    def loss(weights: Float64) -> tuple[float, Float64]:
        # A steep sigmoid stands for the threshold, which has no slope to follow.
        combined = (mask @ weights.astype(np.float32)).astype(np.float64)
        share = sigmoid(_SHARPNESS * (combined - threshold))
        overlap, size = float(share @ truth), float(share.sum()) + lesion_pixels + 1e-6
        pull = (-2 * truth / size + 2 * overlap / size**2) * _SHARPNESS * share * (1 - share)
        far, slope = towards_equal(weights)
        return 1 - 2 * overlap / size + prior * far, pull @ mask + prior * slope

    return minimum_on_simplex(loss, mask.shape[1])


def _best_threshold(
    mask: NDArray[np.float32], lesion: NDArray[np.bool_], lesion_pixels: int, weights: Float64
) -> float:
    found = dices(mask, lesion, lesion_pixels, weights)
    best = max(found.values())
    equal = [threshold for threshold, dice in found.items() if dice == best]
    return min(equal, key=lambda threshold: abs(threshold - DEFAULT_THRESHOLD))
