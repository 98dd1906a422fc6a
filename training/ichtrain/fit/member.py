"""Prepared folders + options -> a trained member with its record and curves.

RUN/<name>.safetensors   released weights: folded, FP16, ready for `ichexport`
RUN/<name>.json          the record: options, data, figures, rates, versions
RUN/<name>.curves.csv    one row an epoch
RUN/<name>.png           the same as curves
RUN/<name>.checkpoint.safetensors   while unfinished
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from itertools import islice
from pathlib import Path

import torch

from ichexport.files import written_whole
from ichexport.folding import unfold_batch_norms
from ichexport.members import Member
from ichexport.weights import member_from_file, released_from_trained, weights_to_file
from ichtrain.errors import FitError
from ichtrain.fit.batches import TrainingBatches, training_loader
from ichtrain.fit.checkpoint import checkpoint_from_file
from ichtrain.fit.curves import csv_from_epochs, png_from_epochs
from ichtrain.fit.loop import Loop, trained_from_data
from ichtrain.fit.memory import peak_memory_mib
from ichtrain.fit.options import FitOptions, FitRecord, Progress
from ichtrain.fit.slices import FitData, fit_data_from_folders

_START_BATCHES = 4
_RATE_SECONDS = 3.0
_LIBRARIES = (
    "ich-triton", "numpy", "pytorch-lightning", "scikit-learn", "segmentation-models-pytorch",
    "torch",
)  # fmt: skip


def fit_member(
    folders: Sequence[Path],
    run: Path,
    options: FitOptions,
    progress: Progress = lambda done, total, figures: None,
    *,
    resume: bool = True,
) -> FitRecord:
    """Train one member on prepared folders and leave its files in `run`.

    An unfinished fit of the same options and data is continued. Raises `DataError` on data that
    cannot be trained on, `FitError` on training that cannot be, `IchExportError` on weights that
    cannot be read or written.
    """
    data = fit_data_from_folders(folders, options)
    fingerprint = _fingerprint(data, options)
    checkpoint = run / f"{options.name}.checkpoint.safetensors"
    _prepare_checkpoint(checkpoint, fingerprint, resume=resume)
    member = _first_member(data, options)
    loader_rate = _loader_rate(data, options)
    loop = trained_from_data(
        member, data, options, checkpoint, fingerprint=fingerprint, progress=progress
    )
    member.load_state_dict(loop.best_state)
    released = released_from_trained(member)
    sha256 = weights_to_file(released, run / f"{options.name}.safetensors")
    record = _record(released, data, options, loop, sha256, loader_rate)
    _write_record(run, record)
    checkpoint.unlink(missing_ok=True)
    return record


def _first_member(data: FitData, options: FitOptions) -> Member:
    """A member with random weights, or with those of `options.start`."""
    torch.manual_seed(options.seed)
    member = Member(options.member_options(data.grid))
    if options.start is None:
        return member
    start = member_from_file(options.start)
    network = ("encoder", "encoder_depth", "decoder_channels", "annotation")
    theirs, ours = (
        (*(getattr(each.options, name) for name in network), each.options.grid.slices_per_item)
        for each in (start, member)
    )
    if theirs != ours:
        raise FitError(
            f"{options.start} is a network {theirs}, and {ours} is to be trained; start from the "
            "same encoder, annotation and slices per item."
        )
    batches = TrainingBatches(data, options)
    inputs = [batches[step]["hu"] for step in range(_START_BATCHES)]
    unfold_batch_norms(member, start, inputs)
    return member.train()


def _prepare_checkpoint(checkpoint: Path, fingerprint: str, *, resume: bool) -> None:
    try:
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        if not resume:
            checkpoint.unlink(missing_ok=True)
    except OSError as error:
        raise FitError(f"{checkpoint.parent} cannot be written ({error.strerror}).") from error
    if checkpoint.is_file():
        found = checkpoint_from_file(checkpoint, tensors=False).get("fit", {}).get("fingerprint")
        if found != fingerprint:
            raise FitError(
                f"{checkpoint} is an unfinished fit of other options or data; use another RUN, or "
                "--no-resume to begin again."
            )


def _fingerprint(data: FitData, options: FitOptions) -> str:
    start = None if options.start is None else _sha256(options.start)
    decisive = {"options": options.decisive, "data": data.facts, "start_sha256": start}
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise FitError(
            f"{path} cannot be read ({error.strerror}); give weights of a member."
        ) from error


def _loader_rate(data: FitData, options: FitOptions) -> float:
    """Slices a second of the loader alone, over a few seconds."""
    loader = training_loader(data, options)
    first = next(iter(batches := iter(loader)))
    slices, started = 0, time.monotonic()
    for batch in islice(batches, max(1, min(50, options.steps_per_epoch - 1))):
        slices += len(batch["hu"])
        if time.monotonic() - started > _RATE_SECONDS:
            break
    return (slices or len(first["hu"])) / max(time.monotonic() - started, 1e-9)


def _record(
    released: Member,
    data: FitData,
    options: FitOptions,
    loop: Loop,
    sha256: str,
    loader_rate: float,
) -> FitRecord:
    waiting = max(0.0, loop.training_seconds - loop.step_seconds)
    return FitRecord(
        name=options.name,
        weights_sha256=sha256,
        options={**options.decisive, "workers": options.workers},
        member_options=asdict(released.options),
        data=data.facts,
        best=loop.best,
        epochs=loop.epochs,
        seconds=round(loop.seconds, 2),
        loader_slices_per_second=round(loader_rate, 2),
        trainer_slices_per_second=round(loop.slices / loop.step_seconds, 2),
        slices_per_second=round(loop.slices / loop.training_seconds, 2),
        waiting_share=round(waiting / loop.training_seconds, 4),
        peak_memory_mib=peak_memory_mib(),
        device=loop.device,
        precision=loop.precision,
        versions={library: version(library) for library in _LIBRARIES},
    )


def _write_record(run: Path, record: FitRecord) -> None:
    text = json.dumps(asdict(record), indent=1, sort_keys=True) + "\n"
    png = png_from_epochs(record.epochs, record.name, record.best.epoch)
    written_whole(run / f"{record.name}.curves.csv", csv_from_epochs(record.epochs).encode())
    written_whole(run / f"{record.name}.png", png)
    written_whole(run / f"{record.name}.json", text.encode())
