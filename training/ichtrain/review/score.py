"""Key + answers -> the figures of a reading study.

Answers to one case are alike, because it is the same head: pooled intervals and tests therefore
take cases, not answers, as what was sampled.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ichtrain.review.agreement import RESAMPLES, Agreement, agreement_from_votes, exact_p
from ichtrain.review.answers import CAUSES, Answer
from ichtrain.review.key import ROUNDS, WITH_AI, WITHOUT_AI, Case, Key
from ichtrain.statistics import Proportion, adjusted_by_holm, proportion_from_counts

Votes = NDArray[np.float64]
"""[cases, readers] in the key's order: 1 positive, 0 negative, NaN not answered."""


Interval = tuple[float, float]


@dataclass(frozen=True)
class Reading:
    """How somebody read the cases of a round; `who` is a reader, 'pooled' or a model.

    A proportion is None where nothing was answered. The intervals over cases (bootstrap, 95 %)
    are there for pooled readings.
    """

    who: str
    round: str
    answered: int
    sensitivity: Proportion | None
    specificity: Proportion | None
    sensitivity_over_cases: Interval | None = None
    specificity_over_cases: Interval | None = None


@dataclass(frozen=True)
class Change:
    """What AI changed, over cases answered in both rounds.

    For a reader `gained` and `lost` count cases that became right and wrong; pooled they count
    cases on which more readers became right than wrong, and the other way round. `misled` counts
    the lost ones on which the AI was wrong itself. `p` is the exact McNemar (sign) test,
    `p_holm` the same for as many tests as there are readers.
    """

    who: str
    cases: int
    gained: int
    lost: int
    misled: int
    p: float
    p_holm: float | None = None


@dataclass(frozen=True)
class CaseOutcome:
    """One case after all: how many were right in each round, and what they ticked."""

    case: Case
    right: dict[str, int]
    answered: dict[str, int]
    causes: dict[str, int]
    comments: tuple[str, ...]

    def missed(self, name: str) -> bool:
        """Whether most of those who read it in a round were wrong."""
        return self.answered[name] > 2 * self.right[name]


@dataclass(frozen=True)
class Gap:
    """Cases that a reader has not answered in a round."""

    reader: int
    round: str
    cases: tuple[int, ...]


@dataclass(frozen=True)
class Score:
    """All that `ichtrain review score` reports; `causes` counts ticks by cause and round."""

    point: str
    readers: int
    gaps: tuple[Gap, ...]
    readings: tuple[Reading, ...]
    models: tuple[Reading, ...]
    changes: tuple[Change, ...]
    agreement: dict[str, Agreement]
    causes: dict[str, dict[str, int]]
    outcomes: tuple[CaseOutcome, ...]


def score_from_answers(key: Key, answers: Sequence[Answer], seed: int = 0) -> Score:
    """Score whatever was answered; what was not is told in `gaps`."""
    truth = np.array([case.positive for case in key.cases])
    votes = {name: _votes(key, answers, name) for name in ROUNDS}
    readings = []
    for name in ROUNDS:
        for reader in key.readers:
            one = votes[name][:, [reader - 1]]
            readings.append(_reading(f"reader {reader}", name, one, truth))
        readings.append(_pooled(name, votes[name], truth, seed))
    models = {
        model: np.array([case.called[model] == case.truth for case in key.cases])
        for model in key.thresholds
    }
    right = {name: np.where(np.isnan(v), np.nan, v == truth[:, None]) for name, v in votes.items()}
    ai_wrong = ~models[key.ensemble]
    return Score(
        point=key.point,
        readers=len(key.readers),
        gaps=_gaps(key, votes),
        readings=tuple(readings),
        models=tuple(_model(model, one, truth) for model, one in models.items()),
        changes=_changes(right[WITH_AI] - right[WITHOUT_AI], truth, ai_wrong),
        agreement={name: _agreement(votes[name], seed) for name in ROUNDS},
        causes={
            name: {
                cause: sum(cause in one.causes for one in answers if one.round == name)
                for cause in CAUSES
            }
            for name in ROUNDS
        },
        outcomes=tuple(
            _outcome(case, {name: right[name][row] for name in ROUNDS}, answers)
            for row, case in enumerate(key.cases)
        ),
    )


def _votes(key: Key, answers: Sequence[Answer], name: str) -> Votes:
    votes = np.full((len(key.cases), len(key.readers)), np.nan)
    row = {number: index for index, number in enumerate(key.numbers)}
    for one in answers:
        if one.round == name:
            votes[row[one.case], one.reader - 1] = one.positive
    return votes


def _reading(who: str, name: str, votes: Votes, truth: NDArray[np.bool_]) -> Reading:
    return Reading(
        who=who,
        round=name,
        answered=int(np.isfinite(votes).sum()),
        sensitivity=_proportion(votes[truth] == 1, votes[truth]),
        specificity=_proportion(votes[~truth] == 0, votes[~truth]),
    )


def _model(name: str, right: NDArray[np.bool_], truth: NDArray[np.bool_]) -> Reading:
    """A model that calls a case indeterminate has neither found nor cleared it."""
    return _reading(name, "", (right == truth)[:, None].astype(np.float64), truth)


def _pooled(name: str, votes: Votes, truth: NDArray[np.bool_], seed: int) -> Reading:
    return replace(
        _reading("pooled", name, votes, truth),
        sensitivity_over_cases=_over_cases(votes[truth] == 1, votes[truth], seed),
        specificity_over_cases=_over_cases(votes[~truth] == 0, votes[~truth], seed),
    )


def _proportion(right: NDArray[np.bool_], votes: Votes) -> Proportion | None:
    return proportion_from_counts(int(right.sum()), int(np.isfinite(votes).sum()))


def _over_cases(right: NDArray[np.bool_], votes: Votes, seed: int) -> Interval | None:
    """The share of right votes [cases, readers], with whole cases drawn again and again."""
    hits, asked = right.sum(axis=1), np.isfinite(votes).sum(axis=1)
    if not asked.any():
        return None
    rows = np.random.default_rng(seed).integers(0, len(votes), (RESAMPLES, len(votes)))
    drawn, wanted = hits[rows].sum(axis=1), asked[rows].sum(axis=1)
    low, high = np.percentile(drawn[wanted > 0] / wanted[wanted > 0], (2.5, 97.5))
    return float(low), float(high)


def _changes(
    moved: Votes, truth: NDArray[np.bool_], ai_wrong: NDArray[np.bool_]
) -> tuple[Change, ...]:
    """`moved` [cases, readers]: 1 became right, -1 became wrong, NaN not read twice."""
    changes = [
        _change(f"reader {reader}", column, ai_wrong) for reader, column in enumerate(moved.T, 1)
    ]
    adjusted = adjusted_by_holm([one.p for one in changes])
    changes = [replace(one, p_holm=p) for one, p in zip(changes, adjusted, strict=True)]
    read = np.isfinite(moved).any(axis=1)
    sums = np.where(read, np.nansum(moved, axis=1), np.nan)
    return (
        *changes,
        _change("pooled over cases", sums, ai_wrong),
        _change("pooled, bleeds", sums[truth], ai_wrong[truth]),
        _change("pooled, normals", sums[~truth], ai_wrong[~truth]),
    )


def _change(who: str, moved: Votes, ai_wrong: NDArray[np.bool_]) -> Change:
    gained, lost = int((moved > 0).sum()), int((moved < 0).sum())
    misled = int(((moved < 0) & ai_wrong).sum())
    return Change(who, int(np.isfinite(moved).sum()), gained, lost, misled, exact_p(gained, lost))


def _agreement(votes: Votes, seed: int) -> Agreement:
    """Over the readers who answered anything, and the cases that all of these answered."""
    reading = votes[:, np.isfinite(votes).any(axis=0)]
    whole = reading[np.isfinite(reading).all(axis=1)]
    return agreement_from_votes(whole == 1, seed)


def _gaps(key: Key, votes: dict[str, Votes]) -> tuple[Gap, ...]:
    gaps = []
    for reader in key.readers:
        for name in ROUNDS:
            blank = np.isnan(votes[name][:, reader - 1])
            if blank.any():
                numbers = (n for n, absent in zip(key.numbers, blank, strict=True) if absent)
                gaps.append(Gap(reader, name, tuple(numbers)))
    return tuple(gaps)


def _outcome(case: Case, right: dict[str, Votes], answers: Sequence[Answer]) -> CaseOutcome:
    mine = [one for one in answers if one.case == case.number]
    return CaseOutcome(
        case=case,
        right={name: int(np.nansum(row)) for name, row in right.items()},
        answered={name: int(np.isfinite(row).sum()) for name, row in right.items()},
        causes=dict(Counter(cause for one in mine for cause in one.causes).most_common()),
        comments=tuple(one.comment for one in mine if one.comment),
    )
