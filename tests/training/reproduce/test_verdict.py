"""The rule that turns tests of areas into words, set before any run."""

from __future__ import annotations

import numpy as np
import pytest

from ichtrain.reproduce.verdict import (
    HELD,
    NOT_HELD,
    NOT_TESTED,
    UNDERPOWERED,
    Question,
    answers_from_scores,
)

RNG = np.random.default_rng(7)
TRUTH = np.repeat([0, 1], 150)
NOISE = RNG.normal(size=300)


def scores(shift: float) -> np.ndarray:
    """Scores whose positives lie `shift` standard deviations higher; the noise is shared."""
    return NOISE + 0.3 * RNG.normal(size=300) + shift * TRUTH


GOOD, SAME, POOR = scores(2.5), scores(2.5), scores(0.5)


def verdict(first: np.ndarray, second: np.ndarray, cases: slice = slice(None)) -> str:
    both = {"a": first[cases], "b": second[cases]}
    [answer] = answers_from_scores(
        [Question("a", "b", claimed=True)], TRUTH[cases], both, {"a": True, "b": True}
    )
    return str(answer["verdict"])


def test_a_clear_difference_held() -> None:
    assert verdict(GOOD, POOR) == HELD


def test_the_opposite_did_not_hold() -> None:
    assert verdict(POOR, GOOD) == NOT_HELD


def test_no_difference_on_many_cases_did_not_hold() -> None:
    assert verdict(GOOD, SAME) == NOT_HELD


def test_few_cases_are_called_underpowered() -> None:
    assert verdict(scores(1.0), scores(0.8), slice(140, 160)) == UNDERPOWERED


def test_a_network_that_did_not_train_enters_no_test() -> None:
    questions = [Question("a", "b", True), Question("a", "c", True), Question("a", "d", True)]
    by_name = {"a": GOOD, "b": POOR, "c": SAME, "d": POOR}
    trained = {"a": True, "b": True, "c": True, "d": False}
    answers = answers_from_scores(questions, TRUTH, by_name, trained)
    assert [one["verdict"] for one in answers] == [HELD, NOT_HELD, NOT_TESTED]
    assert answers[2]["test"] is None
    assert answers[2]["not_trained"] == ["d"]
    # Holm's correction is over the two that were tested: the smaller p counts twice.
    assert answers[0]["test"]["adjusted_p"] == pytest.approx(
        min(1.0, 2 * answers[0]["test"]["p_value"]), rel=1e-6
    )
