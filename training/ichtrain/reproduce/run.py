"""Budget -> phantoms, comparators, members, ensemble, scores, record, page and pictures.

OUT/phantoms/     the prepared folder     OUT/run/      weights, their records, the ensemble
OUT/scores/       study scores            OUT/budget.json   what all of this was made with
OUT/reproduce.json, reproduce.md, roc.png, forest.png

Every stage keeps what is done, so a run that was killed goes on where it was.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from ichcore import spec_from_json
from ichcore.wire import SPEC_FILE
from ichexport.files import written_whole
from ichexport.manifest import sha256_from_file
from ichtrain.data import Prepared
from ichtrain.ensemble import fit_ensemble
from ichtrain.ensemble.run import RECORD_FILE as ENSEMBLE_RECORD_FILE
from ichtrain.errors import ReproduceError
from ichtrain.fit import FitOptions, fit_member
from ichtrain.fit.slices import study_label
from ichtrain.phantoms import prepare_phantoms
from ichtrain.reproduce.budget import Budget
from ichtrain.reproduce.judge import ensemble_scores, network_scores
from ichtrain.reproduce.page import page_from_record
from ichtrain.reproduce.plots import pictures_from_record
from ichtrain.reproduce.record import (
    PAGE_FILE,
    RECORD_FILE,
    Judged,
    record_from_judged,
    record_to_json,
)

BUDGET_FILE = "budget.json"

Progress = Callable[[str, int, int, str], None]
"""Told the stage, steps done, steps in all, and its latest figures in words."""


def reproduce(
    out: Path,
    budget: Budget,
    progress: Progress = lambda stage, done, total, figures: None,
    *,
    workers: int = 2,
) -> dict[str, Any]:
    """Run the whole comparison into `out` and give its record.

    `workers` processes make phantoms. Raises `ReproduceError` where `out` holds another budget,
    and what phantoms, training and the ensemble's fit raise.
    """
    _refuse_another_budget(out, budget)
    data, run, kept = out / "phantoms", out / "run", out / "scores"
    prepare_phantoms(
        data, budget.plans, budget.grid, workers=workers,
        progress=lambda done, total: progress("phantoms", done, total, ""),
    )  # fmt: skip
    scores: dict[str, dict[str, float]] = {}
    for fit in budget.comparators():
        _trained(data, run, fit, progress)
        scores[fit.name] = network_scores(
            run, kept / f"{fit.name}.json", fit.name, data, _part(progress, f"test {fit.name}")
        )
    _trained_members(data, run, budget, progress)
    scores |= ensemble_scores(run, kept, budget.ensemble, data, _part(progress, "test ensemble"))
    record = record_from_judged(_judged(data, run, budget, scores), budget)
    for name, png in pictures_from_record(record).items():
        written_whole(out / name, png)
    written_whole(out / PAGE_FILE, page_from_record(record).encode())
    written_whole(out / RECORD_FILE, record_to_json(record).encode())
    return record


def _refuse_another_budget(out: Path, budget: Budget) -> None:
    """Everything in `out` is of one budget and one version, or the page would mix two."""
    given = {"version": version("ich-triton"), "budget": asdict(budget)}
    text = json.dumps(given, indent=1, sort_keys=True) + "\n"
    path = out / BUDGET_FILE
    if not path.is_file():
        written_whole(path, text.encode())
    elif path.read_text(encoding="utf-8") != text:
        raise ReproduceError(
            f"{path} is of another budget or version than this run; give another OUT."
        )


def _part(progress: Progress, stage: str) -> Callable[[int, int], None]:
    return lambda done, total: progress(stage, done, total, "")


def _trained(data: Path, run: Path, fit: FitOptions, progress: Progress) -> None:
    """Train one network, or keep it where its record says that it is done."""
    if (run / f"{fit.name}.json").is_file():
        progress(fit.name, 1, 1, "kept")
        return

    def show(done: int, total: int, figures: Mapping[str, float]) -> None:
        words = ", ".join(f"{name} {value:.3f}" for name, value in figures.items())
        progress(fit.name, done, total, words)

    record = fit_member([data], run, fit, show)
    steps = fit.epochs * fit.steps_per_epoch
    progress(fit.name, steps, steps, f"validation AUC {record.best.study_auc:.3f}")


def _trained_members(data: Path, run: Path, budget: Budget, progress: Progress) -> None:
    first, *others = budget.members()
    _trained(data, run, first, progress)
    for fit in others:
        start = run / f"{first.name}.safetensors"
        _trained(data, run, replace(fit, start=start), progress)
    if not _fitted(run, budget):
        fit_ensemble(
            run, [data], budget.ensemble,
            lambda stage, done, total: progress("ensemble", done, total, stage),
        )  # fmt: skip


def _fitted(run: Path, budget: Budget) -> bool:
    """Whether the spec is there, of the members that are there."""
    path = run / SPEC_FILE
    if not path.is_file():
        return False
    held = {one.name: one.weights_sha256 for one in
            spec_from_json(path.read_text(encoding="utf-8")).members}  # fmt: skip
    return held == {
        fit.name: sha256_from_file(run / f"{fit.name}.safetensors") for fit in budget.members()
    }


def _judged(
    data: Path, run: Path, budget: Budget, scores: Mapping[str, Mapping[str, float]]
) -> Judged:
    """Truth, scores in one order, and what is known of each network."""
    truth = {one.SeriesInstanceUID: study_label(one) for one in Prepared(data).split("test")}
    fits = (*budget.comparators(), *budget.members())
    ensemble = json.loads((run / ENSEMBLE_RECORD_FILE).read_text(encoding="utf-8"))
    return Judged(
        truth=np.array(list(truth.values()), dtype=np.int8),
        scores={name: np.array([of[uid] for uid in truth]) for name, of in scores.items()},
        networks={
            fit.name: json.loads((run / f"{fit.name}.json").read_text(encoding="utf-8"))
            for fit in fits
        },
        ensemble_auc=float(ensemble["fitted_study_auc"]["ensemble"]),
        ensemble_rule=str(ensemble["study_rule"]["chosen"]["name"]),
    )
