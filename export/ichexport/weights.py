"""Trained module <-> safetensors; no pickle is ever loaded.

Weights leave training once: batch norms folded into their convolutions (those that follow none
become a scale and a shift) and every number rounded to FP16, so that torch, ONNX and every engine
start from the very same values.
"""

from __future__ import annotations

import copy
import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from ichcore.grid import Grid
from ichexport.errors import IchExportError
from ichexport.files import written_whole
from ichexport.folding import fold_batch_norms
from ichexport.members import Member, MemberOptions

_OPTIONS_KEY = "member_options"


def released_from_trained(member: Member) -> Member:
    """A copy in eval mode with folded batch norms and FP16-representable values.

    Raises `IchExportError` where a value is not finite, or too large for FP16.
    """
    released = copy.deepcopy(member).cpu().eval()
    fold_batch_norms(released)
    with torch.no_grad():
        for name, tensor in released.state_dict().items():
            if tensor.is_floating_point():
                tensor.copy_(tensor.half().float())
                if not torch.isfinite(tensor).all():
                    raise IchExportError(
                        f"{name} holds values that are not finite or no FP16; the training "
                        "diverged. Train again with a lower learning rate."
                    )
    return released


def weights_to_file(member: Member, path: Path) -> str:
    """Write a released member as safetensors (FP16) with its options; gives its SHA-256.

    The file appears whole or not at all; raises `IchExportError` where it cannot be written.
    """
    from safetensors.torch import save

    state = {
        name: tensor.half().contiguous() if tensor.is_floating_point() else tensor.contiguous()
        for name, tensor in member.state_dict().items()
    }
    blob = save(state, metadata={_OPTIONS_KEY: json.dumps(asdict(member.options), sort_keys=True)})
    written_whole(path, blob)
    return hashlib.sha256(blob).hexdigest()


def member_from_file(path: Path) -> Member:
    """Read a released member back; raises `IchExportError` where the file is not one."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
        member = folded_member(json.loads(metadata[_OPTIONS_KEY]))
        member.load_state_dict(state)
    except (OSError, SafetensorError, KeyError, RuntimeError, TypeError, ValueError) as error:
        why = str(error).partition("\n")[0]
        raise IchExportError(
            f"{path} holds no member weights ({why}); make them with `ichtrain fit`."
        ) from error
    return member


def folded_member(fields: dict[str, Any]) -> Member:
    """A member without batch norms from its options as plain values; its weights are not set."""
    options = MemberOptions(
        **{
            **fields,
            "decoder_channels": tuple(fields["decoder_channels"]),
            "grid": Grid(**fields["grid"]),
        }
    )
    member = Member(options).eval()
    fold_batch_norms(member)
    return member
