"""Slice scores and areas of one series -> one number, by the rule that the spec names.

Every rule is a probability-like score of 0 to 1 that no higher slice score and no larger lesion
area can lower.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ichcore.errors import SpecError

Float32 = NDArray[np.float32]

_SUM_TOLERANCE = 1e-6


@dataclass(frozen=True)
class StudyRule:
    """Slices -> study: the rule's `name` (one of `RULE_NAMES`), its numbers, and what it needs.

    `neighbour_weights` smooth slice scores over three slices; `top_mean_slices` is the k of
    `top_mean`; `half_volume_ml` the volume at which `lesion_volume` is 0.5; `volume_weight` the
    volume's share in `volume_and_maximum`; `nominal_extent_mm` what a slice stands for where
    positions give no spacing. Slices with less than `minimum_brain_share` of the largest brain
    area of the series (vertex, skull base, neck) do not enter the score.
    """

    name: str = "smoothed_maximum"
    neighbour_weights: tuple[float, float, float] = (0.25, 0.5, 0.25)
    top_mean_slices: int = 3
    half_volume_ml: float = 2.0
    volume_weight: float = 0.5
    nominal_extent_mm: float = 5.0
    minimum_brain_share: float = 0.0
    minimum_coverage_mm: float = 80.0
    minimum_slices: int = 10
    minimum_brain_mm2: float = 1000.0
    maximum_gap_mm: float = 10.5
    top_slices: int = 5

    def __post_init__(self) -> None:
        """Refuse a rule that is not there, weights that are no mean, numbers that mean nothing."""
        if self.name not in RULE_NAMES:
            raise SpecError(f"Study rule '{self.name}' is none of {', '.join(RULE_NAMES)}.")
        weights = self.neighbour_weights
        total = math.isclose(sum(weights), 1.0, abs_tol=_SUM_TOLERANCE)
        if len(weights) != 3 or min(weights) < 0 or not total:
            raise SpecError(f"neighbour_weights {weights} must be three numbers with sum 1.")
        for what in ("minimum_slices", "top_slices", "top_mean_slices"):
            value = getattr(self, what)
            if not (isinstance(value, int) and value >= 1):
                raise SpecError(f"{what} of the study rule is {value}; it must be 1 or more.")
        for what in ("volume_weight", "minimum_brain_share"):
            value = getattr(self, what)
            if not 0 <= value <= 1:
                raise SpecError(f"{what} of the study rule is {value}, outside 0 to 1.")
        for what in (
            "minimum_coverage_mm",
            "minimum_brain_mm2",
            "maximum_gap_mm",
            "half_volume_ml",
            "nominal_extent_mm",
        ):
            value = getattr(self, what)
            if not (math.isfinite(value) and value > 0):
                raise SpecError(f"{what} of the study rule is {value}; it must be above 0.")


@dataclass(frozen=True)
class CountedSlices:
    """The slices of a series that enter its score: `score`, `lesion_mm2`, `extent_mm`, [m]."""

    score: Float32
    lesion_mm2: Float32
    extent_mm: Float32


def counted_from_brain(brain_mm2: Float32, rule: StudyRule) -> NDArray[np.bool_]:
    """Which slices [n] enter the score; the one with the largest brain area always does."""
    return np.asarray(brain_mm2 >= np.float32(rule.minimum_brain_share) * brain_mm2.max())


def score_from_counted(slices: CountedSlices, rule: StudyRule) -> float:
    """The study score by the rule that the spec names."""
    return _RULES[rule.name](slices, rule)


def member_score_from_counted(score: Float32, rule: StudyRule) -> float:
    """A member's study score from its scores [m] of the slices that count.

    Members have no area of their own, so the rules that look at volume give the smoothed maximum.
    """
    if rule.name == "top_mean":
        return _top_mean(score, rule)
    return _smoothed_maximum(score, rule)


def slice_extent_mm(position_mm: Sequence[float] | Float32) -> Float32 | None:
    """Millimetres that each slice stands for: half the way to either neighbour, shape [n].

    None for a single slice or for repeated positions, which have no spacing.
    """
    positions = np.asarray(position_mm, dtype=np.float32)
    gaps = np.diff(positions)
    if len(gaps) == 0 or np.any(gaps <= 0):
        return None
    return np.asarray(
        (np.concatenate([gaps[:1], gaps]) + np.concatenate([gaps, gaps[-1:]])) / 2,
        dtype=np.float32,
    )


def scored_extent_mm(position_mm: Float32, rule: StudyRule) -> Float32:
    """Extents [n] that the score's volume is made of; unlike a reported volume always there.

    A slice beside a hole stands for `maximum_gap_mm` at most, a slice without spacing for
    `nominal_extent_mm`: blood that was seen counts, whatever the positions say.
    """
    extent_mm = slice_extent_mm(position_mm)
    if extent_mm is None:
        return np.full(len(position_mm), rule.nominal_extent_mm, dtype=np.float32)
    return np.minimum(extent_mm, np.float32(rule.maximum_gap_mm))


def _smoothed(score: Float32, rule: StudyRule) -> Float32:
    # Edge slices have one neighbour only; the edge is repeated so that a mean stays a mean.
    padded = np.pad(score.astype(np.float32), 1, mode="edge")
    below, here, above = (np.float32(weight) for weight in rule.neighbour_weights)
    mean = below * padded[:-2] + here * padded[1:-1] + above * padded[2:]
    return np.asarray(np.minimum(mean, np.float32(1)), dtype=np.float32)


def _smoothed_maximum(score: Float32, rule: StudyRule) -> float:
    return float(_smoothed(score, rule).max())


def _top_mean(score: Float32, rule: StudyRule) -> float:
    """Mean of the k highest smoothed scores, of all where there are fewer."""
    return float(np.sort(_smoothed(score, rule))[-rule.top_mean_slices :].mean())


def _volume_score(slices: CountedSlices, rule: StudyRule) -> float:
    volume_ml = float((slices.lesion_mm2 * slices.extent_mm).sum(dtype=np.float64) / 1000.0)
    return volume_ml / (volume_ml + rule.half_volume_ml)


def _volume_and_maximum(slices: CountedSlices, rule: StudyRule) -> float:
    # An arithmetic mean: a geometric one would call a head negative for want of a single pixel.
    volume, maximum = _volume_score(slices, rule), _smoothed_maximum(slices.score, rule)
    return rule.volume_weight * volume + (1 - rule.volume_weight) * maximum


_RULES: dict[str, Callable[[CountedSlices, StudyRule], float]] = {
    "smoothed_maximum": lambda slices, rule: _smoothed_maximum(slices.score, rule),
    "top_mean": lambda slices, rule: _top_mean(slices.score, rule),
    "lesion_volume": _volume_score,
    "volume_and_maximum": _volume_and_maximum,
}

RULE_NAMES = tuple(_RULES)
"""Names that `StudyRule.name` may have, the simplest first."""
