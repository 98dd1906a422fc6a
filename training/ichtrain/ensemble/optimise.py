"""Loss with its gradient -> the arguments that minimise it; scipy stays in this file."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]

Loss = Callable[[Float64], tuple[float, Float64]]
"""Value and gradient at a point."""


def minimum(loss: Loss, start: Float64) -> Float64:
    """A minimum near `start`, by L-BFGS."""
    from scipy.optimize import minimize

    fitted = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 200})
    return np.asarray(fitted.x, dtype=np.float64)


def minimum_on_simplex(loss: Loss, size: int) -> Float64:
    """Weights of 0 or more with sum 1 that minimise `loss`, from equal ones, through a softmax."""

    def through_softmax(exponents: Float64) -> tuple[float, Float64]:
        weights = _softmax(exponents)
        value, slope = loss(weights)
        return value, weights * (slope - weights @ slope)

    return _softmax(minimum(through_softmax, np.zeros(size)))


def towards_equal(weights: Float64) -> tuple[float, Float64]:
    """How far weights are from equal ones: the divergence KL(equal || weights), and its slope.

    A multiple of it is the logarithm of a symmetric Dirichlet prior.
    """
    kept = np.maximum(weights, 1e-12)
    size = len(weights)
    return float(-np.log(kept * size).mean()), -1.0 / (size * kept)


def sigmoid(values: Float64) -> Float64:
    """The logistic function; tanh does not overflow for large negative values, exp does."""
    return np.asarray(0.5 + 0.5 * np.tanh(0.5 * values), dtype=np.float64)


def _softmax(exponents: Float64) -> Float64:
    powers = np.exp(exponents - exponents.max())
    return np.asarray(powers / powers.sum(), dtype=np.float64)
