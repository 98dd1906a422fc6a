"""Evaluations -> the cases of a reading study: the difficult ones and some easy controls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median_high

import numpy as np

from ichtrain.errors import ReviewError
from ichtrain.review.evaluation import Evaluation

DIFFICULT = "difficult"
CONTROL = "control"


@dataclass(frozen=True)
class PickOptions:
    """How many cases, which shares of them, and how near to the threshold is nearly wrong.

    `margin` is in logits of the study score; `normals_share` and `controls_share` are shares of
    the cases.
    """

    cases: int = 40
    controls_share: float = 0.25
    normals_share: float = 0.5
    margin: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse shares outside 0 to 1 and a study without cases."""
        shares = (self.controls_share, self.normals_share)
        if self.cases < 1 or not all(0 <= share <= 1 for share in shares) or self.margin < 0:
            raise ReviewError(
                f"A study of {self.cases} cases with the shares {shares} and the margin "
                f"{self.margin} cannot be made; shares are 0 to 1, the others 0 or more."
            )


@dataclass(frozen=True)
class Picked:
    """A series of the study and why it is in it."""

    SeriesInstanceUID: str
    kind: str
    reason: str


def picked_from_evaluations(
    evaluations: Sequence[Evaluation], patients: Mapping[str, str], options: PickOptions
) -> tuple[Picked, ...]:
    """Pick the cases, one series a patient; fewer than asked for where no more are difficult.

    The first evaluation is the ensemble's, the others are comparators. A case is difficult when
    the ensemble or more than half of the comparators are wrong or less than the margin on the
    right side. `patients` names the patient of every series that there are images of. Raises
    `ReviewError` where evaluations and images are not of the same series.
    """
    refuse_strangers(evaluations, patients)
    ensemble = evaluations[0]
    ease = {uid: _ease(uid, evaluations) for uid in sorted(ensemble.judged)}
    ranked = _one_each(sorted(ease, key=lambda uid: (ease[uid], uid)), patients)
    hard = [uid for uid in ranked if ease[uid] < options.margin]
    easy = [uid for uid in reversed(ranked) if ease[uid] >= options.margin]
    controls = round(options.cases * options.controls_share)
    rng = np.random.default_rng(options.seed)

    def truth(uid: str) -> bool:
        return ensemble.judged[uid].positive

    difficult = _shared(hard, truth, options.cases - controls, options.normals_share)
    drawn = [easy[index] for index in rng.permutation(_easier_half(len(easy), controls))]
    plain = _shared(drawn, truth, controls, options.normals_share)
    return (
        *(Picked(uid, DIFFICULT, _reason(uid, evaluations, options.margin)) for uid in difficult),
        *(Picked(uid, CONTROL, f"easy: right by {ease[uid]:.2f} logits") for uid in plain),
    )


def refuse_strangers(evaluations: Sequence[Evaluation], patients: Mapping[str, str]) -> None:
    """Raise `ReviewError` where a series has no images or a comparator did not judge it."""
    series = set(evaluations[0].judged)
    if absent := sorted(series - set(patients)):
        raise ReviewError(
            f"{len(absent)} of the {len(series)} series of {evaluations[0].name} are in none of "
            f"the prepared folders, {absent[0]} for one; name all the folders it was evaluated on."
        )
    for other in evaluations[1:]:
        if absent := sorted(series - set(other.judged)):
            raise ReviewError(
                f"{other.name} did not judge {len(absent)} of the {len(series)} series of "
                f"{evaluations[0].name}, {absent[0]} for one; evaluate both on the same data."
            )
        for uid in series:
            if other.judged[uid].positive != evaluations[0].judged[uid].positive:
                raise ReviewError(
                    f"{other.name} and {evaluations[0].name} differ on the truth of {uid}; "
                    "evaluate both on the same data."
                )


def _ease(uid: str, evaluations: Sequence[Evaluation]) -> float:
    """The margin of the ensemble or, if lower, the one that most comparators stay below."""
    ensemble, *comparators = (one.margin(uid) for one in evaluations)
    return min(ensemble, median_high(comparators)) if comparators else ensemble


def _one_each(ranked: Sequence[str], patients: Mapping[str, str]) -> list[str]:
    """The first series of every patient: who saw a head once knows it again."""
    seen: set[str] = set()
    kept = []
    for uid in ranked:
        if patients[uid] not in seen:
            seen.add(patients[uid])
            kept.append(uid)
    return kept


def _easier_half(count: int, wanted: int) -> int:
    return min(count, max(wanted * 2, (count + 1) // 2))


def _shared(
    ranked: Sequence[str], truth: Callable[[str], bool], count: int, normals_share: float
) -> list[str]:
    """The first `count`, with a share of normals as near to the wanted one as there are cases."""
    normals = [uid for uid in ranked if not truth(uid)]
    bleeds = [uid for uid in ranked if truth(uid)]
    few_normals = min(round(count * normals_share), len(normals))
    few_bleeds = min(count - few_normals, len(bleeds))
    return normals[: count - few_bleeds] + bleeds[:few_bleeds]


def _reason(uid: str, evaluations: Sequence[Evaluation], margin: float) -> str:
    ensemble, *comparators = (one.margin(uid) for one in evaluations)
    side = "wrong by" if ensemble < 0 else "right by only" if ensemble < margin else "right by"
    said = f"the ensemble is {side} {abs(ensemble):.2f} logits"
    if not comparators:
        return said
    below = sum(one < margin for one in comparators)
    return f"{said}; {below} of {len(comparators)} comparators are wrong or nearly wrong"
