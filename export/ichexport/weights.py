"""Trained module <-> safetensors; no pickle is ever loaded.

Weights leave training once: batch norms folded into their convolutions and every number rounded
to FP16, so that torch, ONNX and every engine start from the very same values.
"""

from __future__ import annotations

import copy
import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ichcore.grid import Grid
from ichexport.errors import IchExportError
from ichexport.members import Member, MemberOptions

_OPTIONS_KEY = "member_options"


def released_from_trained(member: Member) -> Member:
    """A copy in eval mode with folded batch norms and FP16-representable values."""
    released = copy.deepcopy(member).eval()
    for sequence in [m for m in released.modules() if isinstance(m, nn.Sequential)]:
        _fold_batch_norms(sequence)
    with torch.no_grad():
        for tensor in released.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(tensor.half().float())
    return released


def weights_to_file(member: Member, path: Path) -> str:
    """Write a released member as safetensors (FP16) with its options; gives its SHA-256."""
    from safetensors.torch import save

    state = {
        name: tensor.half().contiguous() if tensor.is_floating_point() else tensor.contiguous()
        for name, tensor in member.state_dict().items()
    }
    blob = save(state, metadata={_OPTIONS_KEY: json.dumps(asdict(member.options), sort_keys=True)})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(blob)
    return hashlib.sha256(blob).hexdigest()


def member_from_file(path: Path) -> Member:
    """Read a released member back; raises `IchExportError` where the file is not one."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
        member = _folded_member(json.loads(metadata[_OPTIONS_KEY]))
        member.load_state_dict(state)
    except (OSError, SafetensorError, KeyError, RuntimeError, TypeError, ValueError) as error:
        why = str(error).partition("\n")[0]
        raise IchExportError(
            f"{path} holds no member weights ({why}); make them with `ichtrain starter`."
        ) from error
    return member


def _folded_member(fields: dict[str, Any]) -> Member:
    options = MemberOptions(
        **{
            **fields,
            "decoder_channels": tuple(fields["decoder_channels"]),
            "grid": Grid(**fields["grid"]),
        }
    )
    member = Member(options).eval()
    for sequence in [m for m in member.modules() if isinstance(m, nn.Sequential)]:
        _fold_batch_norms(sequence)
    return member


def _fold_batch_norms(sequence: nn.Sequential) -> None:
    for index in range(len(sequence) - 1):
        convolution, norm = sequence[index], sequence[index + 1]
        if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            sequence[index] = fuse_conv_bn_eval(convolution, norm)
            sequence[index + 1] = nn.Identity()
