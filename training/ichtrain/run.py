"""Seeds -> items -> members -> fitted spec: the whole starter chain, top to bottom.

A finished run is a folder that `ichexport release` turns into a repository:
`<member>.safetensors`, `ensemble.json`, `golden_hu.npy` and the training curves.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ichcore import MemberOutputs, spec_to_json
from ichcore.wire import SPEC_FILE
from ichexport.manifest import sha256_from_file
from ichexport.members import Member
from ichexport.parity import torch_from_member
from ichexport.release import GOLDEN_HU_FILE
from ichexport.weights import member_from_file, released_from_trained, weights_to_file
from ichtrain.starter_ensemble import Validation, spec_from_validation
from ichtrain.items import Items, items_from_seeds
from ichtrain.starter import SUBSETS, FitOptions, member_from_items

TRAIN_KINDS = (
    "sdh", "normal", "sah", "small", "iph", "normal", "mixed", "sdh",
    "normal", "edh", "sah", "small", "ivh", "normal",
)  # fmt: skip
"""Kinds of successive training seeds; two in seven are normal, and subtypes have their share."""

VALIDATION_KINDS = ("normal", "sdh", "normal", "sah", "small", "normal", "iph", "edh", "ivh")

TRAIN_FIRST_SEED = 0
VALIDATION_FIRST_SEED = 1_000_000
"""No seed is in two splits: tests and examples begin at 2,000,000."""

Progress = Callable[[str, int, int], None]
"""Told the name of the stage, steps done and steps in all."""


@dataclass(frozen=True)
class RunOptions:
    """How much data and how many steps a run takes."""

    series: int = 220
    validation_series: int = 54
    slices: int = 16
    validation_slices: int = 28
    matrix: int = 256
    first: FitOptions = field(default_factory=FitOptions)
    subtype: FitOptions = field(default_factory=lambda: FitOptions(steps=180, learning_rate=1e-3))
    workers: int = 2


def starter_run(folder: Path, options: RunOptions, progress: Progress) -> None:
    """Train the four members, fit the ensemble, and leave a folder ready for release."""
    train_members(folder, options, progress)
    fit_ensemble(folder, options, progress)


def train_members(folder: Path, options: RunOptions, progress: Progress) -> None:
    """Make the training phantoms and leave `<member>.safetensors` and the curves."""
    folder.mkdir(parents=True, exist_ok=True)
    progress("phantoms", 0, 1)
    series = items_from_seeds(
        TRAIN_KINDS, options.series, TRAIN_FIRST_SEED,
        slices=options.slices, matrix=options.matrix, workers=options.workers,
    )  # fmt: skip
    progress("phantoms", 1, 1)
    for name, member in _members(series, options, folder, progress):
        weights_to_file(member, folder / f"{name}.safetensors")


def fit_ensemble(folder: Path, options: RunOptions, progress: Progress) -> None:
    """Make the validation phantoms and leave `ensemble.json` and the golden slices.

    Reads the weights of an earlier `train_members`; raises `IchExportError` without them.
    """
    weights = {name: folder / f"{name}.safetensors" for name in SUBSETS}
    members = {name: member_from_file(path) for name, path in weights.items()}
    hashes = {name: sha256_from_file(path) for name, path in weights.items()}
    progress("ensemble", 0, 2)
    held_out = items_from_seeds(
        VALIDATION_KINDS, options.validation_series, VALIDATION_FIRST_SEED,
        slices=options.validation_slices, matrix=options.matrix, workers=options.workers,
    )  # fmt: skip
    progress("ensemble", 1, 2)
    validation = [_validated(items, members) for items in held_out]
    spec = spec_from_validation(validation, hashes, version("ich-triton"), _provenance(options))
    np.save(folder / GOLDEN_HU_FILE, _golden_hu(held_out))
    (folder / SPEC_FILE).write_text(spec_to_json(spec))
    progress("ensemble", 2, 2)


def _members(
    series: list[Items], options: RunOptions, folder: Path, progress: Progress
) -> Iterator[tuple[str, Member]]:
    """Each member as soon as it is trained; all but the first begin from the first."""
    trained: Member | None = None
    curves: dict[str, list[float]] = {}
    for name, belongs in SUBSETS.items():
        fit = options.first if trained is None else options.subtype
        losses = curves.setdefault(name, [])

        def report(step: int, loss: float, name: str = name, losses: list[float] = losses,
                   steps: int = fit.steps) -> None:  # fmt: skip
            losses.append(round(loss, 5))
            progress(name, step + 1, steps)

        member = member_from_items(
            [items for items in series if belongs(items)],
            fit, with_brain=trained is None, start=trained, progress=report,
        )  # fmt: skip
        trained = trained or member
        yield name, released_from_trained(member)
        (folder / "curves.json").write_text(json.dumps(curves) + "\n")


def _validated(items: Items, members: dict[str, Member]) -> Validation:
    outputs = {}
    for name, member in members.items():
        tensors = torch_from_member(member)(items.hu)
        outputs[name] = MemberOutputs(tensors["LOGIT"], tensors["MASK"], tensors.get("BRAIN"))
    return Validation(items, outputs)


def _golden_hu(held_out: list[Items]) -> NDArray[np.float16]:
    """Six slices unlike each other: the fullest of a bleed of each kind, and two normal ones."""
    chosen: dict[str, NDArray[np.float16]] = {}
    for items in held_out:
        area = items.lesion.astype(np.float32).sum(axis=(1, 2))
        index = int(area.argmax()) if area.any() else len(items.hu) // 2
        chosen.setdefault(items.kind, items.hu[index])
    return np.stack(list(chosen.values()))


def _provenance(options: RunOptions) -> dict[str, str]:
    return {
        "data": "synthetic phantoms of this project; no patient data",
        "training_seeds": f"{TRAIN_FIRST_SEED} to {TRAIN_FIRST_SEED + options.series - 1}",
        "validation_seeds": (
            f"{VALIDATION_FIRST_SEED} to {VALIDATION_FIRST_SEED + options.validation_series - 1}"
        ),
        "fit": json.dumps(asdict(options), sort_keys=True),
        "software": f"ich-triton {version('ich-triton')}, torch {version('torch')}",
    }
