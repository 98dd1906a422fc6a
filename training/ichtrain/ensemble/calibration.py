"""Slice logits and labels -> Platt scaling of one member.

Every member is calibrated against any haemorrhage, not against the finding it was trained on: the
spec averages the calibrated scores into one score of "any", so each has to say what its logit means
for that. Source: J. Platt, Probabilistic outputs for support vector machines, 1999, whose smoothed
targets keep perfectly separated slices from an infinite slope.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ichcore import Calibration
from ichtrain.ensemble.optimise import Float64, minimum, sigmoid

_LOG_SLOPE_SPREAD = 1.0
_INTERCEPT_SPREAD = 10.0
"""Spreads of weak normal priors around slope 1 and intercept 0, worth about one slice each."""


def calibration_from_logits(logit: Float64, label: NDArray[np.bool_]) -> Calibration:
    """Fit slope and intercept to logits [n] and labels [n] by maximum likelihood.

    The slope stays above 0, also where a member ranks slices the wrong way round.
    """
    positives, negatives = int(label.sum()), int((~label).sum())
    target = np.where(label, (positives + 1) / (positives + 2), 1 / (negatives + 2))

    def loss(parameters: Float64) -> tuple[float, Float64]:
        log_slope, intercept = float(parameters[0]), float(parameters[1])
        scaled = np.exp(log_slope) * logit
        total = scaled + intercept
        value = np.logaddexp(0, total).sum() - (target * total).sum()
        residual = sigmoid(total) - target
        value += 0.5 * (log_slope / _LOG_SLOPE_SPREAD) ** 2
        value += 0.5 * (intercept / _INTERCEPT_SPREAD) ** 2
        slope = np.array(
            [
                (residual * scaled).sum() + log_slope / _LOG_SLOPE_SPREAD**2,
                residual.sum() + intercept / _INTERCEPT_SPREAD**2,
            ]
        )
        return float(value) / len(logit), slope / len(logit)

    # Logits of 1e4 from a network that ran away start in the flat part; scale them first.
    start = -np.log(max(1.0, float(np.abs(logit).mean())))
    log_slope, intercept = minimum(loss, np.array([start, 0.0]))
    return Calibration(float(np.exp(log_slope)), float(intercept))
