"""Test of two areas -> held, did not hold, underpowered or not tested, by a rule set before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from numpy.typing import ArrayLike, NDArray

from ichtrain.statistics import AUCTest, adjusted_by_holm, paired_test

TRAINED_FROM_AUC = 0.6
"""Validation AUC below which a network counts as not trained and enters no test."""

SIGNIFICANCE = 0.05
WIDEST_INTERVAL = 0.1
"""A difference whose interval is wider says neither yes nor no."""

POWER = 0.8
_DETECTABLE_ERRORS = 1.959964 + 0.841621
"""Standard errors that a true difference must span to be seen with that power at that level."""

HELD, NOT_HELD = "held", "did not hold"
UNDERPOWERED, NOT_TESTED = "underpowered", "not tested"

RULE: dict[str, Any] = {
    "trained_from_auc": TRAINED_FROM_AUC,
    "significance": SIGNIFICANCE,
    "widest_interval": WIDEST_INTERVAL,
    "power_percent": 100 * POWER,
    "confidence_percent": 95,
}
"""The numbers of the rule, for the record."""


@dataclass(frozen=True)
class Question:
    """Is `first` better than `second`? `claimed` says whether the paper says so."""

    first: str
    second: str
    claimed: bool


def verdict_from_test(test: AUCTest, adjusted_p: float | None) -> str:
    """What a paired test says of 'first is better than second'.

    Held: the difference is above 0 and Holm's p below `SIGNIFICANCE`. Underpowered: it is not, its
    interval is wider than `WIDEST_INTERVAL` and holds 0 or a p that only the correction raised, or
    no test can be made. Did not hold: all else, the opposite included.
    """
    if adjusted_p is None:
        return UNDERPOWERED
    if adjusted_p < SIGNIFICANCE:
        return HELD if test.difference > 0 else NOT_HELD
    return UNDERPOWERED if test.high - test.low > WIDEST_INTERVAL else NOT_HELD


def answers_from_scores(
    questions: Sequence[Question],
    truth: ArrayLike,
    scores: Mapping[str, NDArray[Any]],
    trained: Mapping[str, bool],
) -> list[dict[str, Any]]:
    """Every question with its test, or with the networks that were not trained.

    Holm's correction is over the questions given, those not tested left out.
    """
    tests = [
        paired_test(truth, scores[one.first], scores[one.second])
        if trained[one.first] and trained[one.second]
        else None
        for one in questions
    ]
    adjusted = iter(adjusted_by_holm([test.p_value for test in tests if test]))
    return [
        {**asdict(one), "verdict": NOT_TESTED, "test": None,
         "not_trained": [name for name in (one.first, one.second) if not trained[name]]}
        if test is None
        else {**asdict(one), **_answer(test, next(adjusted)), "not_trained": []}
        for one, test in zip(questions, tests, strict=True)
    ]  # fmt: skip


def _answer(test: AUCTest, adjusted_p: float | None) -> dict[str, Any]:
    return {
        "verdict": verdict_from_test(test, adjusted_p),
        "test": {
            "difference": test.difference,
            "low": test.low,
            "high": test.high,
            "p_value": test.p_value,
            "adjusted_p": adjusted_p,
            "detectable_difference": _DETECTABLE_ERRORS * test.standard_error,
        },
    }
