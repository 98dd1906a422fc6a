"""Seeds -> phantoms -> four members -> fitted ensemble: how the default weights are made.

A finished run is a folder that `ichexport release` turns into a repository. Every stage keeps
what is done, so a run that was killed goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ichcore import Grid, StudyRule
from ichtrain.ensemble import EnsembleOptions, fit_ensemble
from ichtrain.fit import FitOptions, fit_member
from ichtrain.phantoms import PhantomPlan, prepare_phantoms

TRAIN_KINDS = (
    "normal", "sdh", "sah", "small", "normal", "iph", "normal", "mixed", "sdh",
    "small", "edh", "normal", "sah", "ivh", "small", "normal", "sdh", "edh",
)  # fmt: skip
"""Kinds of successive training phantoms: bleeds that are missed most have the largest share."""

VALIDATION_KINDS = (
    "normal", "sdh", "normal", "sah", "small", "normal",
    "iph", "small", "edh", "normal", "ivh", "mixed",
)  # fmt: skip

SUBTYPE_MEMBERS = ("sdh", "sah", "small")

DATA_FOLDER = "phantoms"

Progress = Callable[[str, int, int, str], None]
"""Told the stage, steps done, steps in all, and its latest figures in words."""


FIRST = FitOptions(name="ich_any", epochs=4, steps_per_epoch=700, crop_rows=192, crop_columns=160)
"""A head fits into the crop, whichever way it lies on the grid."""

SUBTYPE = replace(FIRST, name="ich_subtype", epochs=1, steps_per_epoch=400, learning_rate=1e-3)

ENSEMBLE = EnsembleOptions(rule=StudyRule(minimum_brain_share=0.5))
"""Phantoms cannot choose the share of brain: the oblique bone at vertex and skull base of patients,
which raises false alarms there, is simpler in them."""


@dataclass(frozen=True)
class StarterOptions:
    """How much data and how many steps the default weights take."""

    series: int = 640
    validation_series: int = 96
    slices: int = 24
    workers: int = 2
    first: FitOptions = FIRST
    subtype: FitOptions = SUBTYPE

    @property
    def plans(self) -> tuple[PhantomPlan, PhantomPlan]:
        """The phantoms of the two splits."""
        return (
            PhantomPlan("validation", self.validation_series, VALIDATION_KINDS, self.slices),
            PhantomPlan("train", self.series, TRAIN_KINDS, self.slices),
        )


def starter_run(run: Path, options: StarterOptions, progress: Progress) -> None:
    """Make phantoms, train the four members, fit the ensemble; ready for `ichexport release`.

    The member for all haemorrhage comes first and the others begin from its weights; each sees
    its own subtype and normals only (Kang et al. 2023, follow-up).
    """
    data = run / DATA_FOLDER
    prepare_phantoms(
        data,
        options.plans,
        Grid(),
        workers=options.workers,
        progress=lambda done, total: progress("phantoms", done, total, ""),
    )
    _member(data, run, options.first, progress)
    start = run / f"{options.first.name}.safetensors"
    for subset in SUBTYPE_MEMBERS:
        fit = replace(options.subtype, name=f"ich_{subset}", subset=subset, start=start)
        _member(data, run, fit, progress)
    progress("ensemble", 0, 1, "")
    fit_ensemble(
        run,
        [data],
        ENSEMBLE,
        lambda stage, done, total: progress("ensemble", done, total, stage),
    )
    progress("ensemble", 1, 1, "")


def _member(data: Path, run: Path, fit: FitOptions, progress: Progress) -> None:
    """Train one member, or keep it where its record says that it is done."""
    if (run / f"{fit.name}.json").is_file():
        progress(fit.name, 1, 1, "kept")
        return

    def show(done: int, total: int, figures: Mapping[str, float]) -> None:
        words = ", ".join(f"{name} {value:.3f}" for name, value in figures.items())
        progress(fit.name, done, total, words)

    fit_member([data], run, fit, show)
