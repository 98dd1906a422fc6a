"""Outcomes -> the record of an evaluation: every figure and every series, as plain values.

The record is what `evaluation.json` holds. Tables, pictures, model card and README are made from
it and from nothing else, so that no figure is shown that is not stored.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ichcore import EnsembleSpec, spec_to_json
from ichtrain.errors import EvaluationError
from ichtrain.evaluate.figures import areas_from_scores, calls_from_outcomes
from ichtrain.evaluate.groups import (
    BAND_GROUPS,
    SUBTYPE_GROUPS,
    group_from_outcomes,
    groups_of_bleeds,
    groups_of_sites,
)
from ichtrain.evaluate.outcome import Outcome
from ichtrain.evaluate.roc import curve_from_scores
from ichtrain.statistics import calibration_from_scores

NOTICE = "Research demonstration, not a medical device."
RECORD_FILE = "evaluation.json"
RECORD_FORMAT = 1
ENSEMBLE = "ensemble"
BASELINE = "baseline without learning"

Record = dict[str, Any]
Float64 = NDArray[np.float64]

_DIGITS = 6


def record_from_outcomes(
    outcomes: Sequence[Outcome], spec: EnsembleSpec, conditions: Mapping[str, object]
) -> Record:
    """Make every figure of an evaluation; raises `EvaluationError` where no series was judged."""
    if not outcomes:
        raise EvaluationError("There is no series to evaluate.")
    bleeds = [one for one in outcomes if one.truth is True]
    clean = [one for one in outcomes if one.truth is False]
    record = {
        "format": RECORD_FORMAT,
        "notice": NOTICE,
        "name": f"{spec.name} {spec.version}",
        "spec_sha256": spec.sha256,
        "conditions": dict(conditions),
        "counts": _counts(outcomes, spec),
        "spec": json.loads(spec_to_json(spec)),
        "whole": group_from_outcomes("all", bleeds, clean, spec),
        "study": _study_level(outcomes, spec),
        "slice": _slice_level(outcomes, spec),
        "subtypes": groups_of_bleeds(SUBTYPE_GROUPS, outcomes, spec),
        "bands": groups_of_bleeds(BAND_GROUPS, outcomes, spec),
        "sites": groups_of_sites(outcomes, spec),
        "volume": _volume(bleeds, clean),
        "series": [_plain_outcome(one) for one in outcomes],
    }
    return dict(_plain(record))


def record_from_file(path: Path) -> Record:
    """Read a record; raises `EvaluationError` where the file holds none of this format."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        known = record["format"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EvaluationError(
            f"{path} holds no evaluation ({error}); make it with `ichtrain evaluate`."
        ) from error
    if known != RECORD_FORMAT:
        raise EvaluationError(
            f"{path} is an evaluation of format {known}, this software reads {RECORD_FORMAT}; "
            "make it again with `ichtrain evaluate`."
        )
    return dict(record)


def record_to_json(record: Mapping[str, Any]) -> str:
    """The text of `evaluation.json`; one line a series keeps a difference of two readable."""
    head = json.dumps({**record, "series": []}, indent=1)
    lines = ",\n  ".join(json.dumps(one) for one in record["series"])
    return head.removesuffix('"series": []\n}') + f'"series": [\n  {lines}\n ]\n}}\n'


def _counts(outcomes: Sequence[Outcome], spec: EnsembleSpec) -> Record:
    truths = [one.truth for one in outcomes]
    return {
        "series": len(outcomes),
        "patients": len({one.patient for one in outcomes}),
        "bleeds": truths.count(True),
        "clean": truths.count(False),
        "truth_unknown": truths.count(None),
        "refused": sum(one.refusal is not None for one in outcomes),
        "indeterminate": {
            point.name: calls_from_outcomes(outcomes, point.name).indeterminate
            for point in spec.operating_points
        },
    }


def _study_level(outcomes: Sequence[Outcome], spec: EnsembleSpec) -> Record:
    judged = [one for one in outcomes if one.truth is not None and one.score is not None]
    truth = np.array([one.truth for one in judged], dtype=np.bool_)
    score = np.array([one.score for one in judged], dtype=np.float64)
    others = {
        name: np.array([one.member_scores[name] for one in judged]) for name in spec.member_names
    }
    others[BASELINE] = np.array([one.baseline_ml for one in judged])
    return _level(truth, score, others, np.array([one.patient for one in judged]))


def _slice_level(outcomes: Sequence[Outcome], spec: EnsembleSpec) -> Record:
    judged = [(one.patient, one.slices) for one in outcomes if one.slices is not None]
    if not judged:
        return _level(np.zeros(0, np.bool_), np.zeros(0), {}, np.zeros(0))
    parts = [part for _, part in judged]
    truth = np.concatenate([part.truth for part in parts])
    known = truth >= 0
    score = np.concatenate([part.score for part in parts])[known].astype(np.float64)
    members = np.concatenate([part.member_scores for part in parts])[known].astype(np.float64)
    others = dict(zip(spec.member_names, members.T, strict=True))
    others[BASELINE] = np.concatenate([part.baseline_mm2 for part in parts])[known].astype(float)
    patients = np.repeat([patient for patient, _ in judged], [len(part.truth) for part in parts])
    return _level(truth[known] == 1, score, others, patients[known])


def _level(
    truth: NDArray[np.bool_],
    score: Float64,
    others: dict[str, Float64],
    patients: NDArray[np.generic],
) -> Record:
    return {
        "cases": len(truth),
        "positives": int(truth.sum()),
        "areas": areas_from_scores(truth, score, others, patients) if len(truth) else None,
        "calibration": calibration_from_scores(truth, score) if len(truth) else None,
        "curves": {
            name: curve_from_scores(truth, scores)
            for name, scores in {ENSEMBLE: score, **others}.items()
        },
    }


def _volume(bleeds: Sequence[Outcome], clean: Sequence[Outcome]) -> Record:
    """Found against true volume of bleeds (Bland & Altman, Lancet 1986), and what clean heads got.

    The limits hold 95 % of the differences where these are normal.
    """
    pairs = [
        (one.found_ml, one.lesion_ml)
        for one in bleeds
        if one.found_ml is not None and one.lesion_ml is not None
    ]
    false_ml = [one.found_ml for one in clean if one.found_ml is not None]
    record: Record = {
        "bleeds": len(pairs),
        "median_absolute_error_ml": None,
        "mean_difference_ml": None,
        "limits_of_agreement_ml": None,
        "clean": len(false_ml),
        "median_found_in_clean_ml": float(np.median(false_ml)) if false_ml else None,
    }
    if pairs:
        difference = np.array([found - true for found, true in pairs])
        record["median_absolute_error_ml"] = float(np.median(np.abs(difference)))
        record["mean_difference_ml"] = float(difference.mean())
    if len(pairs) > 1:
        reach = 1.96 * float(difference.std(ddof=1))
        middle = float(difference.mean())
        record["limits_of_agreement_ml"] = [middle - reach, middle + reach]
    return record


def _plain_outcome(one: Outcome) -> Record:
    # Records are passed on and published; whose series it is stays with the data, and so do slices.
    withheld = ("slices", "top_slices", "patient")
    return {name: value for name, value in vars(one).items() if name not in withheld}


def _plain(value: object) -> Any:
    """Dataclasses and numpy values as JSON has them, floats to six digits."""
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, (float, np.floating)):
        return float(f"{float(value):.{_DIGITS}g}")
    return value
