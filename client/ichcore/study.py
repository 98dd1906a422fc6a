"""Slice scores of one series -> study score, volume and decisions.

The rule sees scores, areas and positions, never pixels, so it runs on the server and anywhere
else that has the slice results.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from ichcore.combine import Combined
from ichcore.errors import ContractError, NonFiniteError, NoSlicesError, ProvenanceError
from ichcore.spec import EnsembleSpec
from ichcore.study_rules import (
    CountedSlices,
    StudyRule,
    counted_from_brain,
    member_score_from_counted,
    score_from_counted,
    scored_extent_mm,
    slice_extent_mm,
)

__all__ = [
    "Decision",
    "SliceScores",
    "StudyScore",
    "slice_extent_mm",
    "slices_from_combined",
    "study_from_slices",
]

Float32 = NDArray[np.float32]


class Decision(StrEnum):
    """What a study is called at one operating point."""

    POSITIVE = "positive"
    NEGATIVE = "negative"
    INDETERMINATE = "indeterminate"


@dataclass(frozen=True)
class SliceScores:
    """n slices of one series, inferior to superior.

    `score`, `lesion_mm2`, `brain_mm2` and `position_mm` (along the slice normal) have shape [n],
    `member_scores` [n, K]; `provenance` has one string per slice.
    """

    score: Float32
    member_scores: Float32
    lesion_mm2: Float32
    brain_mm2: Float32
    position_mm: Float32
    provenance: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse no slices, shapes that differ, values that are not finite, mixed provenance."""
        count = len(self.score)
        if count == 0:
            raise NoSlicesError("The study has no slices, so it has no score.")
        for name in ("score", "lesion_mm2", "brain_mm2", "position_mm"):
            values: Float32 = getattr(self, name)
            if values.shape != (count,):
                raise ContractError(f"{name} has shape {values.shape}; expected ({count},).")
            _refuse_non_finite(name, values)
        if self.member_scores.ndim != 2 or len(self.member_scores) != count:
            raise ContractError(f"member_scores has shape {self.member_scores.shape}.")
        _refuse_non_finite("member_scores", self.member_scores)
        for values in (self.score, self.member_scores):
            if values.min(initial=0.0) < 0 or values.max(initial=0.0) > 1:
                raise ContractError("Scores are probabilities; a value outside 0 to 1 came.")
        if min(self.lesion_mm2.min(), self.brain_mm2.min()) < 0:
            raise ContractError("An area below 0 mm2 came.")
        if len(self.provenance) != count:
            raise ContractError(f"{len(self.provenance)} provenances came for {count} slices.")
        if len(set(self.provenance)) != 1:
            raise ProvenanceError(
                f"The slices were judged by {len(set(self.provenance))} different bundles; "
                "send the whole study to replicas of one version."
            )
        if np.any(np.diff(self.position_mm) < 0):
            raise ContractError("position_mm must rise from inferior to superior.")


@dataclass(frozen=True)
class StudyScore:
    """The study result; `lesion_volume_ml` is None where slice positions do not allow it."""

    score: float
    member_scores: tuple[float, ...]
    lesion_volume_ml: float | None
    coverage_mm: float
    decisions: tuple[tuple[str, Decision], ...]
    top_slices: tuple[int, ...]
    provenance: str


def slices_from_combined(
    parts: Sequence[Combined], position_mm: Float32, provenance: str
) -> SliceScores:
    """Join the chunks of one series, combined in-process, into what the study rule takes."""

    def joined(name: str) -> Float32:
        return np.concatenate([getattr(part, name) for part in parts])

    return SliceScores(
        score=joined("score")[:, 0],
        member_scores=joined("member_scores"),
        lesion_mm2=joined("lesion_mm2")[:, 0],
        brain_mm2=joined("brain_mm2")[:, 0],
        position_mm=position_mm,
        provenance=(provenance,) * len(position_mm),
    )


def study_from_slices(slices: SliceScores, spec: EnsembleSpec) -> StudyScore:
    """Apply the spec's study rule to the slices of one series."""
    rule = spec.study_rule
    if slices.member_scores.shape[1] != len(spec.members):
        raise ContractError(
            f"Scores of {slices.member_scores.shape[1]} members came; "
            f"the spec has {len(spec.members)}."
        )
    counted = counted_from_brain(slices.brain_mm2, rule)
    score = score_from_counted(
        CountedSlices(
            slices.score[counted],
            slices.lesion_mm2[counted],
            scored_extent_mm(slices.position_mm, rule)[counted],
        ),
        rule,
    )
    coverage_mm = _coverage_mm(slices, rule, among=np.ones_like(counted))
    # A head is about an ellipsoid: sections of at least the share s of its largest one make up
    # sqrt(1 - s) of its height. A negative needs that much scored, not only seen.
    least_scored_mm = rule.minimum_coverage_mm * math.sqrt(1 - rule.minimum_brain_share)
    covered = (
        coverage_mm >= rule.minimum_coverage_mm
        and _coverage_mm(slices, rule, among=counted) >= least_scored_mm
        and len(slices.score) >= rule.minimum_slices
    )
    # Slices that count come first; of equals the lower one.
    order = np.lexsort((-slices.score, ~counted))[: rule.top_slices]
    return StudyScore(
        score=score,
        member_scores=tuple(
            member_score_from_counted(column[counted], rule) for column in slices.member_scores.T
        ),
        lesion_volume_ml=_volume_ml(slices, rule),
        coverage_mm=coverage_mm,
        decisions=tuple(
            (point.name, _decision(score, point.threshold, covered))
            for point in spec.operating_points
        ),
        top_slices=tuple(int(index) for index in order),
        provenance=slices.provenance[0],
    )


def _coverage_mm(slices: SliceScores, rule: StudyRule, among: NDArray[np.bool_]) -> float:
    """Extent of the slices `among` [n] that show brain; a hole is not covered."""
    extent_mm = slice_extent_mm(slices.position_mm)
    if extent_mm is None:
        return 0.0
    seen_mm = np.minimum(extent_mm, np.float32(rule.maximum_gap_mm))
    return float(seen_mm[among & (slices.brain_mm2 >= rule.minimum_brain_mm2)].sum())


def _volume_ml(slices: SliceScores, rule: StudyRule) -> float | None:
    extent_mm = slice_extent_mm(slices.position_mm)
    if extent_mm is None or np.diff(slices.position_mm).max() > rule.maximum_gap_mm:
        return None  # nobody knows what lies in a hole
    return float((slices.lesion_mm2 * extent_mm).sum() / 1000.0)


def _decision(score: float, threshold: float, covered: bool) -> Decision:
    if score >= threshold:
        return Decision.POSITIVE
    # Too little of the head was seen to call the study negative.
    return Decision.NEGATIVE if covered else Decision.INDETERMINATE


def _refuse_non_finite(name: str, values: Float32) -> None:
    if not np.isfinite(values).all():
        raise NonFiniteError(f"{name} has values that are not finite; the study is refused.")
