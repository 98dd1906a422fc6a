"""Agreement and exact tests against published numbers."""

from __future__ import annotations

import numpy as np
import pytest

from ichtrain.review.agreement import agreement_from_votes, exact_p, kappa_from_table

WORKED_EXAMPLE = np.array([
    [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
    [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7],
])  # fmt: skip
"""Ten subjects, fourteen raters, five categories: the worked example of Wikipedia's article
'Fleiss' kappa', whose answer is 0.210."""


def test_kappa_of_the_published_example() -> None:
    assert kappa_from_table(WORKED_EXAMPLE) == pytest.approx(0.210, abs=0.0005)


def test_kappa_worked_by_hand() -> None:
    # two cases, three readers: 3:0 and 1:2; observed 2/3, by chance 5/9
    votes = np.array([[True, True, True], [True, False, False]])
    assert agreement_from_votes(votes).kappa == pytest.approx((2 / 3 - 5 / 9) / (4 / 9))


def test_readers_of_one_mind_agree_wholly() -> None:
    votes = np.repeat(np.arange(10) % 2 == 0, 6).reshape(10, 6)
    found = agreement_from_votes(votes)
    assert (found.kappa, found.low, found.high) == (1.0, 1.0, 1.0)
    assert (found.cases, found.readers) == (10, 6)


def test_readers_who_toss_coins_do_not_agree() -> None:
    votes = np.random.default_rng(0).random((60, 6)) < 0.5
    found = agreement_from_votes(votes)
    assert found.kappa is not None
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.kappa < found.high
    assert abs(found.kappa) < 0.1


@pytest.mark.parametrize("shape", [(0, 6), (1, 6), (6, 1), (6, 0)])
def test_too_few_have_no_kappa(shape: tuple[int, int]) -> None:
    votes = np.random.default_rng(0).random(shape) < 0.5
    assert agreement_from_votes(votes).kappa is None


def test_answers_all_alike_have_no_kappa() -> None:
    assert agreement_from_votes(np.ones((5, 3), dtype=bool)).kappa is None


@pytest.mark.parametrize(
    ("gained", "lost", "p"), [(0, 0, 1.0), (5, 0, 2 / 32), (1, 5, 14 / 64), (3, 3, 1.0)]
)
def test_the_exact_test_is_the_binomial(gained: int, lost: int, p: float) -> None:
    assert exact_p(gained, lost) == pytest.approx(p)
