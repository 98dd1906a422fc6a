"""What the ensemble says with an engine in it, against the same with torch in FP32 throughout.

A build ends here. Largest differences are not enough: what counts is whether a decision moves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ichcore import (
    Combined,
    EnsembleSpec,
    combined_from_members,
    slices_from_combined,
    study_from_slices,
)
from ichexport.audit import QUANTISED
from ichexport.engines import Runner, outputs_from_runner, tensors_from_runner
from ichexport.errors import ParityError
from ichexport.golden import (
    TOLERANCE_LESION_MM2,
    TOLERANCE_LESION_MM2_INT8,
    TOLERANCE_SCORE,
    TOLERANCE_SCORE_INT8,
)
from ichexport.studies import Studies


@dataclass(frozen=True)
class Limits:
    """What an engine may differ by: slice score, mask pixels of a slice, AUC over studies."""

    score: float
    lesion_pixels: float
    auc: float = 0.005


LIMITS = {
    "f32": Limits(score=1e-3, lesion_pixels=4),
    "lower": Limits(score=TOLERANCE_SCORE, lesion_pixels=TOLERANCE_LESION_MM2 / 4),
    "quantised": Limits(TOLERANCE_SCORE_INT8, lesion_pixels=TOLERANCE_LESION_MM2_INT8 / 4),
}
"""For engines in f32, in 16 bits (what a proven server may differ by) and in 8.

Of 384 slices of phantoms a default member's score moved by up to 0.078 in INT8, one of the
ensemble by up to 0.034, an area by 24 mm2, and no decision.
"""


def limits_of(precision: str) -> Limits:
    """What an engine in a precision may differ by."""
    if precision in QUANTISED:
        return LIMITS["quantised"]
    return LIMITS["f32" if precision == "f32" else "lower"]


@dataclass(frozen=True)
class Difference:
    """How the ensemble differs with an engine in it; `auc` is None where truth is not known."""

    slices: int
    studies: int
    largest_score_difference: float
    largest_mask_difference: float
    largest_lesion_difference_mm2: float
    decisions_changed: Mapping[str, int]
    auc: float | None
    auc_change: float | None
    mask_pixel_mm2: float
    limits: Limits

    def as_record(self) -> dict[str, Any]:
        """Plain values for a build record."""
        return asdict(self)


class Reference:
    """Every member in torch FP32 on the same studies, run once and asked many times."""

    def __init__(self, runners: Mapping[str, Runner], spec: EnsembleSpec, studies: Studies) -> None:
        self.spec, self.studies = spec, studies
        self.outputs = {name: outputs_from_runner(run, studies.hu) for name, run in runners.items()}
        self._combined = combined_from_members(self.outputs, spec)

    def difference(self, candidate: Combined, precision: str) -> Difference:
        """Compare what the ensemble says; raises `ParityError` over the limits of `precision`."""
        limits = self._resolved(limits_of(precision))
        wanted, got = self._combined, candidate
        before, after = (self._studies(combined) for combined in (wanted, got))
        aucs = [_auc(self.studies.truth, scores) for scores, _ in (before, after)]
        found = Difference(
            slices=len(wanted.score),
            studies=len(before[0]),
            largest_score_difference=largest_difference(
                np.hstack([wanted.score, wanted.member_scores]),
                np.hstack([got.score, got.member_scores]),
            ),
            largest_mask_difference=largest_difference(wanted.mask, got.mask),
            largest_lesion_difference_mm2=largest_difference(wanted.lesion_mm2, got.lesion_mm2),
            decisions_changed={
                point.name: sum(a[i] != b[i] for a, b in zip(before[1], after[1], strict=True))
                for i, point in enumerate(self.spec.operating_points)
            },
            auc=aucs[0],
            auc_change=None if aucs[0] is None or aucs[1] is None else aucs[1] - aucs[0],
            mask_pixel_mm2=self.spec.grid.mask_pixel_mm2,
            limits=limits,
        )
        _refuse(found)
        return found

    def _resolved(self, limits: Limits) -> Limits:
        """The limits, that of the AUC no finer than one pair of studies."""
        truth = self.studies.truth
        if truth is None or truth.all() or not truth.any():
            return limits
        pairs = int(truth.sum()) * int((~truth).sum())
        return replace(limits, auc=max(limits.auc, 1 / pairs))

    def with_member(self, name: str, run: Runner) -> Combined:
        """What the ensemble says with one member run by another engine."""
        outputs = {**self.outputs, name: outputs_from_runner(run, self.studies.hu)}
        return combined_from_members(outputs, self.spec)

    def _studies(self, combined: Combined) -> tuple[NDArray[np.float64], list[tuple[Any, ...]]]:
        """Score and decisions of every study."""
        scores, decisions = [], []
        for part in self.studies.parts():
            one = Combined(*(getattr(combined, name)[part] for name in Combined.__annotations__))
            slices = slices_from_combined([one], self.studies.position_mm[part], "parity")
            study = study_from_slices(slices, self.spec)
            scores.append(study.score)
            decisions.append(tuple(decision for _, decision in study.decisions))
        return np.array(scores), decisions


def combined_from_engine(run: Runner, hu: NDArray[np.float16]) -> Combined:
    """What an engine of the whole ensemble says of HU [n, S, R, C], run in chunks."""
    tensors: dict[str, Any] = tensors_from_runner(run, hu)
    return Combined(*(tensors[name.upper()] for name in Combined.__annotations__))


def largest_difference(a: NDArray[np.generic], b: NDArray[np.generic]) -> float:
    """The largest difference of two arrays, NaN where one holds a NaN.

    Raises `ParityError` where their shapes differ.
    """
    if a.shape != b.shape:
        raise ParityError(f"Outputs of shape {a.shape} and {b.shape} cannot be compared.")
    with np.errstate(invalid="ignore"):  # inf - inf is a NaN, and refused as one
        return float(np.abs(a.astype(np.float32) - b.astype(np.float32)).max(initial=0.0))


def _auc(truth: NDArray[np.bool_] | None, scores: NDArray[np.float64]) -> float | None:
    """Share of pairs in which the study with blood scores higher; a tie counts a half."""
    if truth is None or truth.all() or not truth.any():
        return None
    pairs = np.sign(scores[truth][:, None] - scores[~truth][None, :])
    return float((pairs.mean() + 1) / 2)


def _refuse(found: Difference) -> None:
    limits, over = found.limits, []
    if found.largest_score_difference > limits.score:
        over.append(f"a score by {found.largest_score_difference:.3g} (limit {limits.score:g})")
    most_mm2 = limits.lesion_pixels * found.mask_pixel_mm2
    if found.largest_lesion_difference_mm2 > most_mm2:
        over.append(
            f"a lesion's area by {found.largest_lesion_difference_mm2:.0f} mm2 (limit {most_mm2:g})"
        )
    if found.auc_change is not None and abs(found.auc_change) > limits.auc + 1e-9:
        over.append(f"the AUC by {found.auc_change:+.4f} (limit {limits.auc:g})")
    over += [
        f"{count} of {found.studies} decisions at '{point}'"
        for point, count in found.decisions_changed.items()
        if count
    ]
    if over:
        raise ParityError(
            f"With this engine the ensemble changes {', '.join(over)}. It is refused; build with a "
            "higher precision."
        )
