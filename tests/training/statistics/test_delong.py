"""Areas, their errors and their tests are those that others published for the same data."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from ichtrain.errors import OneClass, ScoresError
from ichtrain.statistics import auc_from_scores, paired_test, unpaired_test

# 43 patients with ovarian cancer: albumin, total protein, 10 - K-G score, benefit from surgery.
# Source: DeLong, DeLong & Clarke-Pearson, Biometrics 1988, as tabulated in the SAS/STAT user's
# guide, LOGISTIC procedure, example "Comparing Receiver Operating Characteristic Curves".
_OVARIAN = """
    3.0 5.8 10 0  3.2 6.3 5 1  3.9 6.8 3 1  2.8 4.8 6 0  3.2 5.8 3 1  0.9 4.0 5 0
    2.5 5.7 8 0  1.6 5.6 5 1  3.8 5.7 5 1  3.7 6.7 6 1  3.2 5.4 4 1  3.8 6.6 6 1
    4.1 6.6 5 1  3.6 5.7 5 1  4.3 7.0 4 1  3.6 6.7 4 0  2.3 4.4 6 1  4.2 7.6 4 0
    4.0 6.6 6 0  3.5 5.8 6 1  3.8 6.8 7 1  3.0 4.7 8 0  4.5 7.4 5 1  3.7 7.4 5 1
    3.1 6.6 6 1  4.1 8.2 6 1  4.3 7.0 5 1  4.3 6.5 4 1  3.2 5.1 5 1  2.6 4.7 6 1
    3.3 6.8 6 0  1.7 4.0 7 0  3.7 6.1 5 1  3.3 6.3 7 1  4.2 7.7 6 1  3.5 6.2 5 1
    2.9 5.7 9 0  2.1 4.8 7 1  2.8 6.2 8 0  4.0 7.0 7 1  3.3 5.7 6 1  3.7 6.9 5 1
    3.6 6.6 5 1
    """
OVARIAN = np.array([float(value) for value in _OVARIAN.split()]).reshape(-1, 4)
TRUTH = OVARIAN[:, 3]
MARKERS = {"albumin": OVARIAN[:, 0], "total protein": OVARIAN[:, 1], "K-G": 10 - OVARIAN[:, 2]}

# 113 patients with aneurysmal subarachnoid haemorrhage: p poor and n good outcome by rising NDKA
# and S100beta, a group for each value. Read off the ROC coordinates of the aSAH data that the tests
# of pROC expect (Robin et al., BMC Bioinformatics 2011, 12:77), as is the statistic held below.
NDKA = """
    n p n n p p p n n n n n n n n n p n n n n n n p p n n p n nn n p pn n n n n p n n p n n n n
    n n p p p n p n n p n n n n n p n pn n n p n n p p n p p n n pn p p n n n p n n n n p p p p
    n n p n n n p p p p n n p n p n p n p
    """
S100B = """
    p nnnnn nnn nn pppnnnnnn pnnnnnn ppnnnnnn ppnnnnnnn pnnnn p ppnnn pnnnn nnnn pnnn nn n nn p
    p n p p p n p pn pn n p n p n pp n n nn pn p nn p p p p pp p p p p p p
    """


def from_groups(text: str) -> tuple[list[bool], list[int]]:
    groups = list(enumerate(text.split()))
    return (
        [letter == "p" for _, group in groups for letter in group],
        [value for value, group in groups for _ in group],
    )


@pytest.mark.parametrize(
    ("marker", "area", "standard_error", "low", "high"),
    [
        ("albumin", 0.7366, 0.0927, 0.5549, 0.9182),
        ("K-G", 0.7258, 0.1028, 0.5243, 0.9273),
        ("total protein", 0.6478, 0.1000, 0.4518, 0.8439),
    ],
)
def test_areas_errors_and_plain_intervals_are_the_published_ones(
    marker: str, area: float, standard_error: float, low: float, high: float
) -> None:
    found = auc_from_scores(TRUTH, MARKERS[marker], interval="plain")
    published = (area, standard_error, low, high)
    figures = (found.area, found.standard_error, found.low, found.high)
    assert figures == pytest.approx(published, abs=5.1e-5)
    assert (found.positives, found.negatives) == (31, 12)


@pytest.mark.parametrize(
    ("marker", "difference", "standard_error", "low", "high", "chi_square", "p_value"),
    [
        ("albumin", 0.0108, 0.0953, -0.1761, 0.1976, 0.0127, 0.9102),
        ("total protein", -0.0780, 0.1046, -0.2830, 0.1271, 0.5554, 0.4561),
    ],
)
def test_the_paired_test_gives_the_published_contrasts(
    marker: str, difference: float, standard_error: float, low: float, high: float,
    chi_square: float, p_value: float,
) -> None:  # fmt: skip
    found = paired_test(TRUTH, MARKERS[marker], MARKERS["K-G"])
    assert found.statistic is not None
    figures = (found.difference, found.standard_error, found.low, found.high)
    assert figures == pytest.approx((difference, standard_error, low, high), abs=5.1e-5)
    assert found.statistic**2 == pytest.approx(chi_square, abs=5.1e-5)
    assert found.p_value == pytest.approx(p_value, abs=5.1e-5)


def test_the_unpaired_test_gives_the_published_statistic() -> None:
    assert auc_from_scores(*from_groups(NDKA)).area == pytest.approx(0.611957994579946)
    assert auc_from_scores(*from_groups(S100B)).area == pytest.approx(0.731368563685637)
    found = unpaired_test(*from_groups(NDKA), *from_groups(S100B))
    assert found.statistic == pytest.approx(-1.55995743389685)
    assert found.p_value == pytest.approx(0.120192832430845)


def random_cases(seed: int, count: int = 60) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    truth = np.arange(count) % 3 == 0
    return truth.astype(np.int64), np.round(rng.normal(truth, 1.0), 1)


def test_fast_midranks_agree_with_counting_every_pair() -> None:
    truth, scores = random_cases(1)
    pairs = itertools.product(scores[truth == 1], scores[truth == 0])
    above = np.array([(a > b) + 0.5 * (a == b) for a, b in pairs]).reshape((truth == 1).sum(), -1)
    slow = (
        above.mean(axis=1).var(ddof=1) / len(above)
        + above.mean(axis=0).var(ddof=1) / above.shape[1]
    )
    found = auc_from_scores(truth, scores)
    assert found.area == pytest.approx(roc_auc_score(truth, scores))
    assert found.standard_error == pytest.approx(np.sqrt(slow))


def test_the_logit_interval_covers_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    truth = np.arange(80) % 2
    true_area = 0.9214  # of unit normals two standard deviations apart: phi(2 / sqrt 2)
    covered = 0
    for _ in range(400):
        found = auc_from_scores(truth, rng.normal(2.0 * truth, 1.0))
        covered += found.low <= true_area <= found.high
    assert 0.92 <= covered / 400 <= 0.98


def test_cases_that_are_their_own_clusters_give_delongs_figures() -> None:
    truth, first = random_cases(5)
    _, second = random_cases(6)
    alone = np.arange(len(truth))
    assert auc_from_scores(truth, first, clusters=alone).standard_error == pytest.approx(
        auc_from_scores(truth, first).standard_error
    )
    assert paired_test(truth, first, second, clusters=alone).p_value == pytest.approx(
        paired_test(truth, first, second).p_value
    )


def test_cases_told_four_times_are_no_more_certain_than_once() -> None:
    truth, first = random_cases(7)
    _, second = random_cases(8)
    again = np.repeat(np.arange(len(truth)), 4)
    told = auc_from_scores(truth[again], first[again], clusters=again)
    assert told.standard_error == pytest.approx(auc_from_scores(truth, first).standard_error)
    assert paired_test(truth[again], first[again], second[again], clusters=again).p_value == (
        pytest.approx(paired_test(truth, first, second).p_value)
    )
    believed = auc_from_scores(truth[again], first[again])
    assert believed.standard_error < 0.55 * told.standard_error


def test_intervals_of_cases_that_hang_together_cover_only_with_their_clusters() -> None:
    rng = np.random.default_rng(1)
    homes = np.repeat(np.arange(40), 6)  # six slices each of forty series that share a brightness
    truth = (homes % 3 == 0).astype(int)
    true_area = 0.7734  # phi(1.5 / sqrt(2 (1 + 1)))
    covered = {"clustered": 0, "plain": 0}
    for _ in range(200):
        scores = rng.normal(1.5 * truth, 1.0) + rng.normal(0, 1.0, 40)[homes]
        for name, clusters in (("clustered", homes), ("plain", None)):
            found = auc_from_scores(truth, scores, clusters=clusters)
            covered[name] += found.low <= true_area <= found.high
    assert 0.9 <= covered["clustered"] / 200 <= 0.99
    assert covered["plain"] / 200 < 0.85


def test_the_order_of_the_scores_turns_only_the_sign_of_a_test() -> None:
    truth, first = random_cases(2)
    _, second = random_cases(3)
    there, back = paired_test(truth, first, second), paired_test(truth, second, first)
    assert there.p_value == pytest.approx(back.p_value)
    assert there.difference == pytest.approx(-back.difference)


def test_scores_that_rank_alike_do_not_differ() -> None:
    truth, scores = random_cases(4)
    assert paired_test(truth, scores, np.exp(scores)).p_value == 1.0


def test_perfect_scores_are_not_called_certain() -> None:
    truth = np.array([0, 0, 0, 0, 1, 1, 1])
    found = auc_from_scores(truth, np.arange(7))
    assert (found.area, found.high) == (1.0, 1.0)
    assert found.low == pytest.approx(0.025 ** (1 / 3))
    assert auc_from_scores(truth, -np.arange(7)).high == pytest.approx(1 - 0.025 ** (1 / 3))
    assert paired_test(truth, np.arange(7), np.zeros(7)).p_value is None


@pytest.mark.parametrize(
    ("truth", "scores", "error"),
    [
        ([1, 1], [0.1, 0.2], OneClass),
        ([0, 0], [0.1, 0.2], OneClass),
        ([0, 1], [0.1], ScoresError),
        ([0, 2], [0.1, 0.2], ScoresError),
        ([0, 1], [0.1, float("nan")], ScoresError),
        ([], [], OneClass),
    ],
)
def test_what_has_no_area_is_refused(
    truth: list[int], scores: list[float], error: type[Exception]
) -> None:
    with pytest.raises(error):
        auc_from_scores(truth, scores)


def test_an_unknown_interval_is_refused() -> None:
    with pytest.raises(ScoresError, match="logit, plain"):
        auc_from_scores([0, 1], [0.0, 1.0], interval="wald")
