"""Runner and reference -> parity figures, and a refusal where they differ too much.

A build ends here: an engine that does not say what its weights say never enters a repository.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ichexport.engines import Runner
from ichexport.errors import ParityError
from ichexport.gate import largest_difference
from ichexport.members import Member, output_names

TOLERANCE_F32 = 1e-3
"""Largest difference of any logit or probability between two f32 runtimes."""

_CHUNK = 8


@dataclass(frozen=True)
class Parity:
    """How two runtimes differ on the same slices, over all outputs."""

    slices: int
    largest_logit_difference: float
    largest_mask_difference: float
    tolerance: float


def torch_from_member(member: Member) -> Runner:
    """Run the released torch module itself; the reference of every parity figure."""
    import torch

    names = output_names(member.options)

    def run(hu: NDArray[np.float16]) -> dict[str, NDArray[np.generic]]:
        with torch.inference_mode():
            outputs = member.eval()(torch.from_numpy(hu))
        return {name: tensor.numpy() for name, tensor in zip(names, outputs, strict=True)}

    return run


def parity_from_runners(
    reference: Runner, candidate: Runner, hu: NDArray[np.float16], tolerance: float = TOLERANCE_F32
) -> Parity:
    """Compare two runners on slices HU [n, S, R, C]; raises `ParityError` over the tolerance."""
    if len(hu) == 0:
        raise ParityError("No slices were given to compare on; give golden slices.")
    logits, masks = [0.0], [0.0]
    for chunk in _chunks(hu):
        expected, found = reference(chunk), candidate(chunk)
        if expected.keys() != found.keys():
            raise ParityError(
                f"The engine gives {', '.join(found)}; its weights give {', '.join(expected)}."
            )
        for name, values in expected.items():
            differences = logits if name == "LOGIT" else masks
            differences.append(largest_difference(values, found[name]))
    # numpy's maximum keeps a NaN, which Python's drops.
    logit, mask = float(np.max(logits)), float(np.max(masks))
    # Written so that a NaN, which compares as false, is refused too.
    if not (logit <= tolerance and mask <= tolerance):
        raise ParityError(
            f"The engine differs from its weights by {logit:.3g} in LOGIT and {mask:.3g} in masks; "
            f"at most {tolerance:g} is allowed. It was not placed in the repository."
        )
    return Parity(len(hu), logit, mask, tolerance)


def _chunks(hu: NDArray[np.float16]) -> Iterator[NDArray[np.float16]]:
    for start in range(0, len(hu), _CHUNK):
        yield hu[start : start + _CHUNK]
