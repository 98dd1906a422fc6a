"""Checkpoint of the trainer <-> one safetensors file; no pickle is written or loaded.

Tensors go into the file's body. Everything else becomes JSON in its header: a nested structure
of dicts, lists, tuples, numbers, strings and None, in which a tensor is named by its key.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins.io.checkpoint_io import CheckpointIO
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ichexport.files import written_whole
from ichtrain.errors import FitError

_KEY = "checkpoint"


class SafetensorsCheckpointIO(CheckpointIO):
    """Lightning's way to a checkpoint file, as safetensors, whole or not there."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write a nested checkpoint; raises `FitError` on what is neither tensor nor JSON."""
        tensors: dict[str, Tensor] = {}
        text = json.dumps(_packed(checkpoint, tensors))
        written_whole(Path(path), save(tensors, metadata={_KEY: text}))

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint back, onto the CPU; raises `FitError` where the file is none."""
        return checkpoint_from_file(Path(path))

    def remove_checkpoint(self, path: Any) -> None:
        """Remove a checkpoint file that may be there."""
        Path(path).unlink(missing_ok=True)


def checkpoint_from_file(path: Path, *, tensors: bool = True) -> dict[str, Any]:
    """The nested checkpoint of a file; without `tensors`, empty ones stand in their places."""
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})[_KEY])
            names = list(file.keys())
            read = {name: file.get_tensor(name) if tensors else torch.empty(0) for name in names}
        return dict(_unpacked(header, read))
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        why = str(error).partition("\n")[0]
        raise FitError(
            f"{path} is no checkpoint of this program ({why}); remove it, or use --no-resume."
        ) from error


def _packed(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, Tensor):
        name = f"t{len(tensors)}"
        # A copy: two names may share one memory, which the format refuses.
        tensors[name] = value.detach().cpu().contiguous().clone()
        return {"tensor": name}
    if isinstance(value, Mapping):
        pairs = [[_packed(k, tensors), _packed(v, tensors)] for k, v in value.items()]
        return {"mapping": pairs}
    if isinstance(value, tuple):
        return {"tuple": [_packed(each, tensors) for each in value]}
    if isinstance(value, list):
        return [_packed(each, tensors) for each in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise FitError(f"A {type(value).__name__} cannot be stored in a checkpoint.")


def _unpacked(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_unpacked(each, tensors) for each in value]
    if not isinstance(value, dict):
        return value
    [(kind, content)] = value.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "tuple":
        return tuple(_unpacked(each, tensors) for each in content)
    if kind == "mapping":
        return {_unpacked(k, tensors): _unpacked(v, tensors) for k, v in content}
    raise ValueError(f"unknown kind '{kind}'")
