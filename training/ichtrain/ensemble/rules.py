"""Slice results of series that the parts were not fitted on -> the study rule that ranks them best.

Many rules are tried on few studies, so one that is more than the simplest has to win by a margin.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from ichcore import RULE_NAMES, EnsembleSpec, SliceScores, StudyRule, study_from_slices
from ichtrain.ensemble.optimise import Float64
from ichtrain.ensemble.weights import log_loss
from ichtrain.statistics import auc_from_scores

BRAIN_SHARES = (0.0, 0.25, 0.5)
TOP_MEAN_SLICES = (2, 3, 5)
HALF_VOLUMES_ML = (0.5, 1.0, 2.0, 4.0)
VOLUME_WEIGHTS = (0.25, 0.5, 0.75)

MARGIN = 0.005
"""AUC by which a rule has to beat a simpler one; the size of one pair of studies in 200."""


@dataclass(frozen=True)
class Judged:
    """A rule and what it came to: AUC over studies, and log loss of its scores."""

    rule: StudyRule
    auc: float
    log_loss: float


def study_scores(series: Sequence[SliceScores], spec: EnsembleSpec, rule: StudyRule) -> Float64:
    """Score of each series by a rule, [n]."""
    judging = replace(spec, study_rule=rule)
    return np.array([study_from_slices(one, judging).score for one in series], dtype=np.float64)


def judged_rules(
    series: Sequence[SliceScores],
    label: NDArray[np.bool_],
    spec: EnsembleSpec,
    base: StudyRule,
) -> tuple[Judged, ...]:
    """Every rule that is tried, on series with known labels [n], the simplest first."""
    judged = []
    for rule in _rules(base):
        score = study_scores(series, spec, rule)
        judged.append(Judged(rule, auc_from_scores(label, score).area, log_loss(score, label)))
    return tuple(judged)


def chosen_rule(judged: Sequence[Judged]) -> Judged:
    """The best rule; each step towards a less simple one has to gain `MARGIN` of AUC.

    Steps are through the kinds of rule, in the order of `RULE_NAMES`. Within a kind the greatest
    share of brain that costs less than `MARGIN` is taken: oblique bone at vertex and skull base
    raises scores in patients more than in any phantom. What is left (k, half volume, weight) goes
    by log loss, for a half volume ranks nothing anew.
    """
    best: Judged | None = None
    for name in RULE_NAMES:
        kind = [one for one in judged if one.rule.name == name]
        if not kind:
            continue
        leader = _best_of_kind(kind)
        if best is None or leader.auc > best.auc + MARGIN:
            best = leader
    if best is None:
        raise ValueError("no rule was judged")
    return best


def _best_of_kind(kind: Sequence[Judged]) -> Judged:
    top = max(one.auc for one in kind)
    near = [one for one in kind if one.auc >= top - MARGIN]
    share = max(one.rule.minimum_brain_share for one in near)
    return min(
        (one for one in near if one.rule.minimum_brain_share == share),
        key=lambda one: one.log_loss,
    )


def _rules(base: StudyRule) -> Iterator[StudyRule]:
    least = base.minimum_brain_share
    shares = sorted({least, *(share for share in BRAIN_SHARES if share > least)})
    for share in shares:
        yield replace(base, name="smoothed_maximum", minimum_brain_share=share)
    for share, count in product(shares, TOP_MEAN_SLICES):
        yield replace(base, name="top_mean", minimum_brain_share=share, top_mean_slices=count)
    for share, half_ml in product(shares, HALF_VOLUMES_ML):
        yield replace(base, name="lesion_volume", minimum_brain_share=share, half_volume_ml=half_ml)
    for share, half_ml, weight in product(shares, HALF_VOLUMES_ML, VOLUME_WEIGHTS):
        yield replace(
            base,
            name="volume_and_maximum",
            minimum_brain_share=share,
            half_volume_ml=half_ml,
            volume_weight=weight,
        )
