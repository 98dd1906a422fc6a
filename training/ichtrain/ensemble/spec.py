"""Members' outputs on a validation split -> EnsembleSpec, chosen by cross-validation over patients.

Nothing is chosen by how well it fits: score weights and study rule are those that did best on
patients whom the parts were not fitted on. Then the parts are fitted once more, on everybody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ichcore import EnsembleSpec, SliceScores, study_from_slices
from ichtrain.ensemble.cross import CrossValidation, Progress, chosen_scheme, told_rules
from ichtrain.ensemble.optimise import Float64
from ichtrain.ensemble.options import EnsembleOptions
from ichtrain.ensemble.parts import Parts, knows_slices, parts_from_series, spec_from_parts
from ichtrain.ensemble.points import notes_on_points, points_from_scores
from ichtrain.ensemble.rules import chosen_rule, study_scores
from ichtrain.ensemble.validation import Validation
from ichtrain.statistics import auc_from_scores


@dataclass(frozen=True)
class FittedEnsemble:
    """A spec, the record of how each part of it was chosen, and its scores on the split.

    `score` and `label` [n] are of the series whose label is known, for the picture.
    """

    spec: EnsembleSpec
    record: dict[str, Any]
    score: Float64
    label: NDArray[np.bool_]


def spec_from_validation(
    validation: Validation,
    options: EnsembleOptions,
    provenance: Mapping[str, str],
    progress: Progress = lambda stage, done, total: None,
) -> FittedEnsemble:
    """Fit everything between the members and a decision; reads and writes no file.

    Too few patients for two folds leave equal weights and the simplest rule, and a note of that.
    """
    folds = CrossValidation(validation, options, progress)
    schemes = folds.schemes()
    scheme = chosen_scheme(schemes)
    rules = folds.rules(scheme)
    best = chosen_rule(rules) if rules else None
    rule = best.rule if best else replace(options.rule, name="smoothed_maximum")
    parts = parts_from_series(validation, validation.series, options)
    draft = spec_from_parts(
        validation, parts, scheme, rule, options,
        version=version("ich-triton"), provenance=provenance,
    )  # fmt: skip
    known = [one for one in validation.series if one.study >= 0]
    label = np.array([one.study == 1 for one in known])
    slices = [validation.slices(one, draft) for one in known]
    score = study_scores(slices, draft, rule)
    points = points_from_scores(score, label, options.sensitivity, options.specificity)
    spec = replace(draft, operating_points=points)
    record = {
        "what": "How an ensemble was fitted. Research demonstration, not a medical device.",
        "spec_sha256": spec.sha256,
        "provenance": dict(provenance),
        "options": asdict(options),
        "series": {
            "positive": int(label.sum()),
            "negative": int((~label).sum()),
            "unknown": len(validation.series) - len(known),
            "patients": len({one.patient for one in validation.series}),
            "with_masks": sum(one.lesion_pixels is not None for one in validation.series),
        },
        "folds": len(folds.folds),
        "score_weights": {
            "chosen": scheme,
            "cross_validated": schemes,
            "fitted": {
                name: _by_member(validation, values) for name, values in parts.score_weights.items()
            },
        },
        "mask": {
            "weights": _by_member(validation, parts.mask_weights),
            "threshold": parts.mask_threshold,
            "dice": None if parts.dice is None else {str(t): d for t, d in parts.dice.items()},
        },
        "study_rule": {"chosen": asdict(rule), "cross_validated": told_rules(rules)},
        "operating_points": {
            "fitted": [asdict(point) for point in points],
            "cross_validated": folds.points(scheme, best) if best else [],
        },
        "fitted_study_auc": {
            "ensemble": auc_from_scores(label, score).area,
            **_members_auc(validation, slices, label, spec),
        },
        "notes": _notes(validation, parts, spec, options, crossed=bool(folds.folds)),
    }
    return FittedEnsemble(spec, record, score, label)


def _notes(
    validation: Validation,
    parts: Parts,
    spec: EnsembleSpec,
    options: EnsembleOptions,
    *,
    crossed: bool,
) -> list[str]:
    """What a reader of the spec should know and could not see in it."""
    notes = notes_on_points(spec.operating_points, options.sensitivity, options.specificity)
    if not crossed:
        notes.append(
            "Too few patients of one kind to cross-validate: weights are equal and the rule is the "
            "smoothed maximum."
        )
    if not knows_slices(validation.series):
        notes.append("No slice is known to show blood: studies' labels stood for their slices.")
    if parts.dice is None:
        notes.append("No mask was drawn: mask weights are equal and their threshold is a default.")
    return notes


def _members_auc(
    validation: Validation,
    slices: Sequence[SliceScores],
    label: NDArray[np.bool_],
    spec: EnsembleSpec,
) -> dict[str, float]:
    """AUC over studies of each member alone; calibration does not change it."""
    scores = np.array([study_from_slices(one, spec).member_scores for one in slices])
    return {
        name: auc_from_scores(label, column).area
        for name, column in zip(validation.names, scores.T, strict=True)
    }


def _by_member(validation: Validation, values: Float64) -> dict[str, float]:
    return {
        name: round(float(value), 6) for name, value in zip(validation.names, values, strict=True)
    }
