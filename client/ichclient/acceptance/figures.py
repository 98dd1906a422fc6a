"""Outcomes and truth -> figures at each operating point, the ROC curve, and how scores lie.

A study that was refused or called indeterminate is neither found nor cleared: it counts against
sensitivity and specificity, as it does on the model card.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ichclient.acceptance.labels import Case
from ichcore import Decision
from ichcore.intervals import Area, Share, area_from_scores, share_from_counts
from ichcore.reference import REFUSED, SCORE_EDGES, Calls, score_bin


@dataclass(frozen=True)
class Outcome:
    """What became of a case: a score with its decisions, or a refusal with its reason.

    `if_below` is what the study is called below a threshold: negative where enough of the head was
    seen. Paths lie below the folder of the acceptance.
    """

    case: Case
    score: float | None
    decisions: Mapping[str, Decision]
    if_below: Decision | None
    lesion_volume_ml: float | None
    warnings: tuple[str, ...]
    refusal: str | None
    sentence: str
    report: str | None
    result_sha256: str | None
    SeriesInstanceUID: str | None

    def call(self, threshold: float) -> str:
        """What the study is called at a threshold on its score, or that it was refused."""
        if self.score is None or self.if_below is None:
            return REFUSED
        return Decision.POSITIVE.value if self.score >= threshold else self.if_below.value


@dataclass(frozen=True)
class PointFigures:
    """One operating point on some studies; a share of nothing is None."""

    name: str
    threshold: float
    bleeds: Calls
    clean: Calls
    sensitivity: Share | None
    specificity: Share | None
    ppv: Share | None
    npv: Share | None


@dataclass(frozen=True)
class RocPoint:
    """Calling positive from `threshold` on: shares of clean heads and of bleeds that are called so.

    A threshold of None calls nothing positive.
    """

    threshold: float | None
    false_positive_share: float
    true_positive_share: float


@dataclass(frozen=True)
class Roc:
    """Of the studies that have a score; `area` is None where one kind is absent."""

    area: Area | None
    points: tuple[RocPoint, ...]
    bleeds: int
    clean: int


@dataclass(frozen=True)
class ScoreCounts:
    """How many studies of each kind lie in each bin that ends at `edges`."""

    edges: tuple[float, ...]
    bleeds: tuple[int, ...]
    clean: tuple[int, ...]


def figures_at(name: str, threshold: float, outcomes: Iterable[Outcome]) -> PointFigures:
    """Figures of studies at a threshold."""
    outcomes = list(outcomes)
    calls = [_calls(o.call(threshold) for o in outcomes if o.case.haemorrhage is truth)
             for truth in (True, False)]  # fmt: skip
    return figures_from_calls(name, threshold, *calls)


def figures_from_calls(name: str, threshold: float, bleeds: Calls, clean: Calls) -> PointFigures:
    """Shares with exact intervals from what bleeds and clean heads were called."""
    return PointFigures(
        name=name,
        threshold=threshold,
        bleeds=bleeds,
        clean=clean,
        sensitivity=share_from_counts(bleeds.positive, bleeds.total),
        specificity=share_from_counts(clean.negative, clean.total),
        ppv=share_from_counts(bleeds.positive, bleeds.positive + clean.positive),
        npv=share_from_counts(clean.negative, clean.negative + bleeds.negative),
    )


def roc_from_scores(bleeds: Sequence[float], clean: Sequence[float]) -> Roc:
    """The empirical ROC curve, one point for each score that occurs, and its area."""
    positives, negatives = np.sort(bleeds), np.sort(clean)
    if not len(positives) or not len(negatives):
        return Roc(None, (), len(positives), len(negatives))
    points = [RocPoint(None, 0.0, 0.0)]
    for threshold in sorted({*bleeds, *clean}, reverse=True):
        shares = [
            float((len(scores) - np.searchsorted(scores, threshold)) / len(scores))
            for scores in (negatives, positives)
        ]
        points.append(RocPoint(threshold, *shares))
    area = area_from_scores(positives, negatives)
    return Roc(area, tuple(points), len(positives), len(negatives))


def counts_from_scores(bleeds: Iterable[float], clean: Iterable[float]) -> ScoreCounts:
    """Scores of each kind, counted in bins."""
    return ScoreCounts(SCORE_EDGES, _binned(bleeds), _binned(clean))


def threshold_for_sensitivity(sensitivity: float, outcomes: Iterable[Outcome]) -> float | None:
    """The highest threshold that finds this share of all bleeds; None where none does.

    Refused bleeds can be found by no threshold, and count all the same.
    """
    bleeds = [outcome for outcome in outcomes if outcome.case.haemorrhage]
    scores = sorted((o.score for o in bleeds if o.score is not None), reverse=True)
    for found, score in enumerate(scores, start=1):
        if found >= sensitivity * len(bleeds):
            return score
    return None


def _calls(called: Iterable[str]) -> Calls:
    words = list(called)
    return Calls(**{word: words.count(word) for word in (*map(str, Decision), REFUSED)})


def _binned(scores: Iterable[float]) -> tuple[int, ...]:
    counts = [0] * len(SCORE_EDGES)
    for score in scores:
        counts[score_bin(score)] += 1
    return tuple(counts)
