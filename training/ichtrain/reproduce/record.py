"""Scores of every network on the test split -> the record of a comparison, as plain values.

The record is what `reproduce.json` holds. The page and the pictures are made from it and from
nothing else, so that no figure is shown that is not stored.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ichtrain.evaluate.roc import curve_from_scores
from ichtrain.reproduce.budget import Budget
from ichtrain.reproduce.paper import PAPER
from ichtrain.reproduce.verdict import RULE, TRAINED_FROM_AUC, Question, answers_from_scores
from ichtrain.statistics import auc_from_scores

RECORD_FILE = "reproduce.json"
PAGE_FILE = "reproduce.md"
RECORD_FORMAT = 1
NOTICE = "Research demonstration, not a medical device."
ENSEMBLE = "ensemble"

_DIGITS = 6
_FIT_FACTS = ("encoder", "annotation", "subset", "seed", "learning_rate")


@dataclass(frozen=True)
class Judged:
    """Truth [n] and study scores [n] of the test split, and what each network was.

    `networks` are the records that training left, by name; `ensemble_auc` is that of the fit on the
    validation split and `ensemble_rule` the study rule chosen there.
    """

    truth: NDArray[np.int8]
    scores: Mapping[str, NDArray[np.float64]]
    networks: Mapping[str, Mapping[str, Any]]
    ensemble_auc: float
    ensemble_rule: str


def record_from_judged(judged: Judged, budget: Budget) -> dict[str, Any]:
    """Areas, intervals, curves, tests and conditions of one run."""
    networks = [_network(name, one, judged) for name, one in judged.networks.items()]
    ensemble = {
        "validation_auc": judged.ensemble_auc,
        "rule": judged.ensemble_rule,
        **_tested(ENSEMBLE, judged.ensemble_auc, judged),
    }
    trained = {one["name"]: one["trained"] for one in networks} | {ENSEMBLE: ensemble["trained"]}
    strong, best = _questions(budget)
    record = {
        "format": RECORD_FORMAT,
        "notice": NOTICE,
        "paper": PAPER,
        "rule": RULE,
        "budget": _budget(budget),
        "conditions": _conditions(judged),
        "cases": {
            "test": len(judged.truth),
            "positives": int((judged.truth == 1).sum()),
            "negatives": int((judged.truth == 0).sum()),
        },
        "networks": networks,
        ENSEMBLE: ensemble,
        "strong_beats_weak": answers_from_scores(strong, judged.truth, judged.scores, trained),
        "ensemble_beats": answers_from_scores(best, judged.truth, judged.scores, trained),
    }
    rounded: dict[str, Any] = _rounded(record)
    return rounded


def record_to_json(record: Mapping[str, Any]) -> str:
    """The text of `reproduce.json`."""
    return json.dumps(record, indent=1, allow_nan=False) + "\n"


def _questions(budget: Budget) -> tuple[list[Question], list[Question]]:
    """Strong against weak for each encoder; the ensemble against each comparator."""
    claimed = PAPER["strong_better"]
    strong = [
        Question(f"strong_{encoder}", f"weak_{encoder}", encoder in claimed)
        for encoder in budget.steps
    ]
    best = [Question(ENSEMBLE, fit.name, claimed=True) for fit in budget.comparators()]
    return strong, best


def _network(name: str, fit: Mapping[str, Any], judged: Judged) -> dict[str, Any]:
    options = fit["options"]
    steps = int(options["epochs"] * options["steps_per_epoch"])
    return {
        "name": name,
        **{fact: options[fact] for fact in _FIT_FACTS},
        "begins_from": options["start"],
        "steps": steps,
        "training_seconds": fit["seconds"],
        "validation_auc": fit["best"]["study_auc"],
        "weights_sha256": fit["weights_sha256"],
        **_tested(name, fit["best"]["study_auc"], judged),
    }


def _tested(name: str, validation_auc: float, judged: Judged) -> dict[str, Any]:
    """The area on the test split with its curve, of what was trained."""
    if validation_auc < TRAINED_FROM_AUC:
        return {"trained": False, "test": None, "curve": None}
    area = auc_from_scores(judged.truth, judged.scores[name])
    curve = curve_from_scores(judged.truth, judged.scores[name])
    return {
        "trained": True,
        "test": {"area": area.area, "low": area.low, "high": area.high},
        "curve": None if curve is None else asdict(curve),
    }


def _budget(budget: Budget) -> dict[str, Any]:
    return {
        "name": budget.name,
        "pace": budget.pace,
        "pixels": budget.grid.rows,
        "pixel_spacing_mm": budget.grid.pixel_spacing_mm,
        "matrix": budget.matrix,
        "slices": budget.slices,
        "series": dict(budget.series),
        "epochs": budget.epochs,
        "batch_size": budget.batch_size,
        "seed": budget.seed,
        "kinds": {kind: budget.kinds.count(kind) for kind in dict.fromkeys(budget.kinds)},
    }


def _conditions(judged: Judged) -> dict[str, Any]:
    fits = list(judged.networks.values())
    return {
        "python": platform.python_version(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "devices": sorted({str(fit["device"]) for fit in fits}),
        "precisions": sorted({str(fit["precision"]) for fit in fits}),
        "versions": dict(fits[0]["versions"]),
        "training_seconds": sum(float(fit["seconds"]) for fit in fits),
    }


def _processor() -> str:
    """The processor by the name that Linux gives it, else by its family."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, _DIGITS)
    if isinstance(value, Mapping):
        return {str(key): _rounded(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(each) for each in value]
    return value
