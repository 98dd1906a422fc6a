"""Validation split -> parts fitted on folds, and what they say of the patients left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ichcore import EnsembleSpec, SliceScores
from ichtrain.ensemble.folds import folds_from_series
from ichtrain.ensemble.optimise import Float64
from ichtrain.ensemble.options import EnsembleOptions
from ichtrain.ensemble.parts import SCHEMES, Parts, knows_slices, parts_from_series, spec_from_parts
from ichtrain.ensemble.points import NAMES, points_from_scores
from ichtrain.ensemble.rules import Judged, judged_rules, study_scores
from ichtrain.ensemble.validation import Validated, Validation
from ichtrain.ensemble.weights import log_loss
from ichtrain.statistics import auc_from_scores

AUC_MARGIN = 0.005
"""A scheme of weights whose study AUC lies this far below the best is out."""

LOG_LOSS_MARGIN = 0.01
"""Share of log loss that a less simple scheme has to gain."""

Progress = Callable[[str, int, int], None]
"""Told the name of the stage, steps done and steps in all."""


@dataclass(frozen=True)
class Fold:
    """Parts fitted without some patients, and slice results of those patients by scheme."""

    parts: Parts
    fitted_on: tuple[Validated, ...]
    held_out: tuple[Validated, ...]
    slices: Mapping[str, tuple[SliceScores, ...]]


class CrossValidation:
    """Folds over patients, and the figures that choices are made by; empty with too few patients.

    Scores of different folds are pooled: calibration puts them on one scale.
    """

    def __init__(
        self, validation: Validation, options: EnsembleOptions, progress: Progress
    ) -> None:
        self.validation, self.options = validation, options
        patients = folds_from_series(validation.series, options.folds, options.seed)
        self.folds: list[Fold] = []
        for number, held_out in enumerate(patients):
            progress("folds", number, len(patients))
            self.folds.append(self._fold(held_out))
        progress("folds", len(patients), len(patients))

    def spec(self, parts: Parts, scheme: str) -> EnsembleSpec:
        """A draft of a fold."""
        return spec_from_parts(
            self.validation, parts, scheme, self.options.rule, self.options,
            version="fold", provenance={},
        )  # fmt: skip

    def schemes(self) -> dict[str, dict[str, float]]:
        """AUC over studies (smoothed maximum) and log loss over slices of each scheme."""
        rule = replace(self.options.rule, name="smoothed_maximum")
        figures = {}
        for scheme in SCHEMES if self.folds else ():
            slices, label = self._studies(scheme)
            spec = self.spec(self.folds[0].parts, scheme)
            figures[scheme] = {
                "study_auc": auc_from_scores(label, study_scores(slices, spec, rule)).area,
                "slice_log_loss": self._slice_log_loss(scheme),
            }
        return figures

    def rules(self, scheme: str) -> tuple[Judged, ...]:
        """Every study rule on the scores of a scheme."""
        if not self.folds:
            return ()
        slices, label = self._studies(scheme)
        return judged_rules(
            slices, label, self.spec(self.folds[0].parts, scheme), self.options.rule
        )

    def points(self, scheme: str, judged: Judged) -> list[dict[str, Any]]:
        """Sensitivity and specificity of thresholds on patients whom they were not chosen on.

        A fold's thresholds come from the scores of its own patients, so these figures are honest
        where the spec's are those that the thresholds were chosen for.
        """
        positive: dict[str, list[bool]] = {name: [] for name in NAMES}
        truth: list[bool] = []
        for fold in self.folds:
            spec = self.spec(fold.parts, scheme)
            known = [one for one in fold.fitted_on if one.study >= 0]
            score = study_scores(
                [self.validation.slices(one, spec) for one in known], spec, judged.rule
            )
            label = np.array([one.study == 1 for one in known])
            points = points_from_scores(
                score, label, self.options.sensitivity, self.options.specificity
            )
            slices, held_label = _known(fold, scheme)
            held = study_scores(slices, spec, judged.rule)
            truth += held_label.tolist()
            for point in points:
                positive[point.name] += (held >= point.threshold).tolist()
        bleeds = np.array(truth, dtype=bool)
        return [
            {
                "name": name,
                "sensitivity": float(np.array(found)[bleeds].mean()),
                "specificity": float(1 - np.array(found)[~bleeds].mean()),
            }
            for name, found in positive.items()
            if found
        ]

    def _fold(self, held_out: set[str]) -> Fold:
        everybody = self.validation.series
        inside = tuple(one for one in everybody if one.patient not in held_out)
        outside = tuple(one for one in everybody if one.patient in held_out)
        parts = parts_from_series(self.validation, inside, self.options)
        specs = {scheme: self.spec(parts, scheme) for scheme in SCHEMES}
        slices = {
            scheme: tuple(self.validation.slices(one, spec) for one in outside)
            for scheme, spec in specs.items()
        }
        return Fold(parts, inside, outside, slices)

    def _studies(self, scheme: str) -> tuple[list[SliceScores], NDArray[np.bool_]]:
        known = [_known(fold, scheme) for fold in self.folds]
        return (
            [one for slices, _ in known for one in slices],
            np.concatenate([label for _, label in known]),
        )

    def _slice_log_loss(self, scheme: str) -> float:
        spread = not knows_slices(self.validation.series)
        scores: list[Float64] = []
        labels: list[NDArray[np.bool_]] = []
        for one, slices in self._held_out(scheme):
            label = one.spread if spread else one.label
            scores.append(slices.score[label >= 0].astype(np.float64))
            labels.append(label[label >= 0] == 1)
        return log_loss(np.concatenate(scores), np.concatenate(labels))

    def _held_out(self, scheme: str) -> Iterator[tuple[Validated, SliceScores]]:
        for fold in self.folds:
            yield from zip(fold.held_out, fold.slices[scheme], strict=True)


def chosen_scheme(figures: Mapping[str, Mapping[str, float]]) -> str:
    """The scheme of score weights with the least log loss among those that lose no study AUC.

    A less simple scheme has to gain `LOG_LOSS_MARGIN`; without figures the simplest is taken.
    """
    if not figures:
        return SCHEMES[0]
    top = max(one["study_auc"] for one in figures.values())
    near = [name for name in SCHEMES if figures[name]["study_auc"] >= top - AUC_MARGIN]
    best = near[0]
    for name in near[1:]:
        limit = figures[best]["slice_log_loss"] * (1 - LOG_LOSS_MARGIN)
        if figures[name]["slice_log_loss"] < limit:
            best = name
    return best


def told_rules(judged: Sequence[Judged]) -> list[dict[str, Any]]:
    """Every rule that was tried with its figures, for the record."""
    numbers = ("minimum_brain_share", "top_mean_slices", "half_volume_ml", "volume_weight")
    return [
        {
            "name": one.rule.name,
            **{name: asdict(one.rule)[name] for name in numbers},
            "study_auc": one.auc,
            "study_log_loss": one.log_loss,
        }
        for one in judged
    ]


def _known(fold: Fold, scheme: str) -> tuple[list[SliceScores], NDArray[np.bool_]]:
    pairs = zip(fold.held_out, fold.slices[scheme], strict=True)
    known = [(slices, one.study == 1) for one, slices in pairs if one.study >= 0]
    return [slices for slices, _ in known], np.array([label for _, label in known], dtype=bool)
