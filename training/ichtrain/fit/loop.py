"""Member and data -> trained member, through Lightning's loop.

The loop brings mixed precision, early stopping and checkpoints. A checkpoint is written at the
end of each epoch, and a killed run goes on from the last one to the weights that it would have
reached; on a GPU, up to the order in which its kernels add.
"""

from __future__ import annotations

import logging
import math
import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping, ModelCheckpoint
from torch import Tensor

from ichexport.members import Member
from ichtrain.errors import FitError
from ichtrain.fit.batches import Batch, training_loader, validation_loader
from ichtrain.fit.checkpoint import SafetensorsCheckpointIO, checkpoint_from_file
from ichtrain.fit.clock import Clock
from ichtrain.fit.options import EpochFigures, FitOptions, Progress
from ichtrain.fit.slices import FitData
from ichtrain.fit.validation import slice_auc, study_auc
from ichtrain.losses import strong_loss, weak_loss

_CHUNK = 16
_GRADIENT_NORM = 5.0
_WARM_UP_SHARE = 0.15


@dataclass(frozen=True)
class Loop:
    """What the loop left: the best weights, every epoch, and how long its parts took."""

    best_state: dict[str, Tensor]
    best: EpochFigures
    epochs: tuple[EpochFigures, ...]
    seconds: float
    step_seconds: float
    training_seconds: float
    slices: int
    device: str
    precision: str


class _Fit(pl.LightningModule):
    """One member with its loss, its validation and its own part of a checkpoint."""

    def __init__(
        self, member: Member, data: FitData, options: FitOptions, fingerprint: str, told: Progress
    ) -> None:
        super().__init__()
        self.member, self.options, self.told = member, options, told
        self._validation = [data.series(where) for where in data.validation]
        self._labels_only()
        self._fingerprint = fingerprint
        self.history: list[EpochFigures] = []
        self.best_state: dict[str, Tensor] = {}
        self.clock = Clock()
        self._losses: list[float] = []
        self._logits: dict[int, Any] = {}

    def _labels_only(self) -> None:
        # Memory maps hold files open, and labels are all that validation needs.
        for series in self._validation:
            for name in ("hu", "lesion", "brain"):
                object.__setattr__(series, name, None)

    @property
    def best(self) -> EpochFigures:
        """The epoch with the highest score, the first of equals."""
        return max(self.history, key=lambda figures: figures.score)

    def configure_optimizers(self) -> Any:
        """AdamW, and one cycle of the learning rate over all steps."""
        options = self.options
        optimiser = torch.optim.AdamW(
            self.member.parameters(), lr=options.learning_rate, weight_decay=1e-2
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser,
            max_lr=options.learning_rate,
            total_steps=max(2, options.epochs * options.steps_per_epoch),
            pct_start=_WARM_UP_SHARE,
        )
        return {
            "optimizer": optimiser,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def on_train_epoch_start(self) -> None:
        """Begin to count the epoch."""
        self._losses = []
        self.clock.epoch_starts()

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Make what is random in a step, dropout, depend on seed and step alone."""
        self.clock.step_starts()
        torch.manual_seed(self.options.seed * 1_000_003 + self.global_step)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Loss of a batch; raises `FitError` when it is no number."""
        hu = batch["hu"].to(memory_format=torch.channels_last)
        if self.options.annotation == "weak":
            loss = weak_loss(self.member, hu, batch["label"])
        else:
            masks = batch["lesion"], batch["brain"], batch["brain_known"]
            loss = strong_loss(self.member, hu, *masks)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise FitError(
                f"The loss of {self.options.name} became {value} at step {self.global_step}; lower "
                "the learning rate, or train with --precision 32."
            )
        self._losses.append(value)
        return loss

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        """Tell how far the run is."""
        self.clock.step_ends(len(batch["hu"]))
        figures = {"loss": float(np.mean(self._losses[-20:]))}
        if self.history:
            figures["study AUC"] = self.history[-1].study_auc
        total = self.options.epochs * self.options.steps_per_epoch
        self.told(self.global_step, total, figures)

    def on_validation_epoch_start(self) -> None:
        """Forget the logits of the last validation."""
        self.clock.training_ends()
        self._logits = {}

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Slice logits of one whole study."""
        parts = [self.member.logits(hu)[0].float() for hu in batch["hu"].split(_CHUNK)]
        logits = torch.cat(parts)[:, 0].double().cpu().numpy()
        self._logits[int(batch["number"])] = np.nan_to_num(logits, nan=-1e6)

    def on_validation_epoch_end(self) -> None:
        """AUCs of the epoch; the best weights so far are kept."""
        logits = [self._logits[number] for number in range(len(self._validation))]
        figures = EpochFigures(
            epoch=int(self.current_epoch),
            train_loss=float(np.mean(self._losses)),
            slice_auc=slice_auc(self._validation, logits),
            study_auc=study_auc(self._validation, logits),
            seconds=round(self.clock.epoch_seconds(), 3),
        )
        self.history.append(figures)
        if self.best is figures:
            self.best_state = {
                name: tensor.detach().cpu().clone()
                for name, tensor in self.member.state_dict().items()
            }
        self.log("validation_score", torch.tensor(figures.score, dtype=torch.float64))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what the loop itself does not know."""
        checkpoint["fit"] = {
            "fingerprint": self._fingerprint,
            "history": [asdict(figures) for figures in self.history],
            "best_state": self.best_state,
            "clock": vars(self.clock).copy(),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take it back."""
        fit = checkpoint["fit"]
        self.history = [EpochFigures(**figures) for figures in fit["history"]]
        self.best_state = fit["best_state"]
        self.clock = Clock(**fit["clock"])


def trained_from_data(
    member: Member,
    data: FitData,
    options: FitOptions,
    checkpoint: Path,
    *,
    fingerprint: str,
    progress: Progress,
) -> Loop:
    """Train `member` in place; goes on from `checkpoint` where that file is.

    Raises `FitError` when the loss is no number, `KeyboardInterrupt` on Ctrl-C.
    """
    device = device_from_options(options)
    precision = precision_from_options(options, device)
    fit = _Fit(member.to(memory_format=torch.channels_last), data, options, fingerprint, progress)
    trainer = _trainer(options, checkpoint, device, precision)
    resumed = str(checkpoint) if checkpoint.is_file() else None
    done = len(checkpoint_from_file(checkpoint, tensors=False)["fit"]["history"]) if resumed else 0
    loaders = (
        training_loader(data, options, first_epoch=done, pin=device == "cuda"),
        validation_loader(data),
    )
    with _quiet(), _interruptible():
        trainer.fit(fit, *loaders, ckpt_path=resumed, weights_only=False)
    return Loop(
        best_state=fit.best_state,
        best=fit.best,
        epochs=tuple(fit.history),
        seconds=fit.clock.seconds,
        step_seconds=fit.clock.step_seconds,
        training_seconds=fit.clock.training_seconds,
        slices=fit.clock.slices,
        device=torch.cuda.get_device_name() if device == "cuda" else "cpu",
        precision=precision,
    )


def device_from_options(options: FitOptions) -> str:
    """`cpu` or `cuda`; raises `FitError` where a GPU was asked for and none is there."""
    available = torch.cuda.is_available()
    if options.device == "cuda" and not available:
        raise FitError("No CUDA device is there; use --device cpu or auto.")
    return "cuda" if available and options.device != "cpu" else "cpu"


def precision_from_options(options: FitOptions, device: str) -> str:
    """Lightning's name of the precision: mixed on a GPU, whole on a processor."""
    if options.precision == "auto":
        if device == "cpu":
            return "32-true"
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed"
    return {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}[options.precision]


def _trainer(options: FitOptions, checkpoint: Path, device: str, precision: Any) -> pl.Trainer:
    keeper = ModelCheckpoint(
        dirpath=checkpoint.parent,
        filename=checkpoint.stem,
        save_on_train_epoch_end=True,
        enable_version_counter=False,
    )
    keeper.FILE_EXTENSION = checkpoint.suffix
    callbacks: list[Callback] = [
        EarlyStopping("validation_score", mode="max", patience=options.patience),
        keeper,
    ]
    with _quiet():
        return pl.Trainer(
            accelerator="gpu" if device == "cuda" else "cpu",
            devices=1,
            precision=precision,
            max_epochs=options.epochs,
            gradient_clip_val=_GRADIENT_NORM,
            callbacks=callbacks,
            plugins=[SafetensorsCheckpointIO()],
            default_root_dir=checkpoint.parent,
            num_sanity_val_steps=0,
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning's advice, about workers and loggers, off the terminal."""
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Turn Lightning's exit on Ctrl-C back into the interrupt it was."""
    before: Callable[..., Any] | int | None = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as ended:
        raise KeyboardInterrupt from ended
    finally:
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN is not before:
            signal.signal(signal.SIGINT, before)
