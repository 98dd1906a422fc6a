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
    logit, mask = 0.0, 0.0
    for chunk in _chunks(hu):
        expected, found = reference(chunk), candidate(chunk)
        for name, values in expected.items():
            largest = _largest_difference(values, found[name])
            if name == "LOGIT":
                logit = max(logit, largest)
            else:
                mask = max(mask, largest)
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


def _largest_difference(a: NDArray[np.generic], b: NDArray[np.generic]) -> float:
    if a.shape != b.shape:
        raise ParityError(f"Outputs of shape {a.shape} and {b.shape} cannot be compared.")
    return float(np.abs(a.astype(np.float32) - b.astype(np.float32)).max(initial=0.0))
