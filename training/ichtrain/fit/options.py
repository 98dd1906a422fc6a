"""How a member is trained, and what is left to say of it afterwards."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ichcore.grid import Grid
from ichexport.members import ANNOTATIONS, ENCODERS, MemberOptions, options_from_encoder
from ichtrain.data import SUBSETS
from ichtrain.errors import FitError

PRECISIONS = ("auto", "32", "bf16", "16")
DEVICES = ("auto", "cpu", "cuda")

Progress = Callable[[int, int, Mapping[str, float]], None]
"""Told the steps done, the steps in all, and the latest figures by name."""


@dataclass(frozen=True)
class FitOptions:
    """One member's training: network, data, length and pace.

    A crop of None is the whole grid. `with_brain` None gives BRAIN to a strong member of all
    haemorrhages. `slices_per_item` None is the grid's own. Raises `FitError` where it cannot be.
    """

    name: str
    encoder: str = "mobilenet_v2"
    subset: str = "all"
    annotation: str = "strong"
    start: Path | None = None
    with_brain: bool | None = None
    slices_per_item: int | None = None
    epochs: int = 10
    steps_per_epoch: int = 100
    batch_size: int = 12
    learning_rate: float = 2e-3
    crop_rows: int | None = None
    crop_columns: int | None = None
    seed: int = 0
    patience: int = 5
    precision: str = "auto"
    device: str = "auto"
    workers: int = 1

    def __post_init__(self) -> None:
        """Refuse what cannot train."""
        self._refuse_words()
        counts = {
            "epochs": (self.epochs, 1),
            "steps per epoch": (self.steps_per_epoch, 1),
            "slices per batch": (self.batch_size, 2),
            "epochs of patience": (self.patience, 1),
            "workers": (self.workers, 0),
            "seed": (self.seed, 0),
        }
        for what, (count, least) in counts.items():
            if count < least:
                raise FitError(f"{count} {what} cannot train; give at least {least}.")
        if not 0 < self.learning_rate < 1:
            raise FitError(f"The learning rate {self.learning_rate} must lie between 0 and 1.")
        for size in (self.crop_rows, self.crop_columns):
            if size is not None and (size < 32 or size % 32):
                raise FitError(f"A crop of {size} pixels cannot be; give a multiple of 32.")
        if self.annotation == "weak" and (self.crop_rows or self.crop_columns):
            raise FitError(
                "A label of a slice says nothing about a part of it: leave the crop out of weak "
                "training."
            )

    def _refuse_words(self) -> None:
        words = {
            "encoder": (self.encoder, ENCODERS),
            "subset": (self.subset, tuple(SUBSETS)),
            "annotation": (self.annotation, ANNOTATIONS),
            "precision": (self.precision, PRECISIONS),
            "device": (self.device, DEVICES),
        }
        for what, (word, known) in words.items():
            if word not in known:
                raise FitError(f"Unknown {what} '{word}'; choose one of {', '.join(known)}.")
        if not re.fullmatch(r"[A-Za-z0-9_]+", self.name):
            raise FitError(f"'{self.name}' is no name of a model; use letters, digits and _.")

    def member_options(self, grid: Grid) -> MemberOptions:
        """The network for data on `grid`."""
        strong = self.annotation == "strong"
        with_brain = self.subset == "all" if self.with_brain is None else self.with_brain
        return options_from_encoder(
            self.encoder, annotation=self.annotation, with_brain=with_brain and strong, grid=grid
        )

    @property
    def decisive(self) -> dict[str, Any]:
        """Everything on which the weights depend, as JSON values: a resumed run must agree."""
        fields = asdict(self)
        for name in ("workers", "device", "precision"):
            del fields[name]
        return {**fields, "start": None if self.start is None else self.start.name}


@dataclass(frozen=True)
class EpochFigures:
    """What one epoch came to; an AUC is None where validation has no such labels."""

    epoch: int
    train_loss: float
    slice_auc: float | None
    study_auc: float
    seconds: float

    @property
    def score(self) -> float:
        """What early stopping and the choice of the best epoch look at."""
        return self.study_auc + (self.study_auc if self.slice_auc is None else self.slice_auc)


@dataclass(frozen=True)
class FitRecord:
    """Everything worth knowing about a finished member; written as `<name>.json`.

    Rates are in slices a second: the loader alone, the trainer in its steps alone, and both
    together. `waiting_share` is the share of training time spent waiting for the loader.
    """

    name: str
    weights_sha256: str
    options: dict[str, Any]
    member_options: dict[str, Any]
    data: dict[str, Any]
    best: EpochFigures
    epochs: tuple[EpochFigures, ...]
    seconds: float
    loader_slices_per_second: float
    trainer_slices_per_second: float
    slices_per_second: float
    waiting_share: float
    peak_memory_mib: float
    device: str
    precision: str
    versions: dict[str, str]
