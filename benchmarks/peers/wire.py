"""Tensors <-> the bytes of a request and of an answer, for servers that carry bytes.

A request is the FP16 of HU. An answer is every output of N slices behind the other, in the order
of `OUTPUTS`; N is known from its length.
"""

from __future__ import annotations

from math import prod

import numpy as np
from numpy.typing import NDArray

ITEM = (1, 256, 256)
"""One slice of HU on the grid of the default bundle."""

OUTPUTS: dict[str, tuple[type[np.generic], tuple[int, ...]]] = {
    "SCORE": (np.float32, (1,)),
    "MEMBER_SCORES": (np.float32, (4,)),
    "MASK": (np.float16, (128, 128)),
    "LESION_MM2": (np.float32, (1,)),
    "BRAIN_MM2": (np.float32, (1,)),
}
"""Type and shape of a slice's outputs, as the fused engine of the default bundle gives them."""

SLICE_BYTES = sum(np.dtype(kind).itemsize * prod(shape) for kind, shape in OUTPUTS.values())


def hu_from_bytes(body: bytes) -> NDArray[np.float16]:
    """HU [N, S, R, C] of a request, without a copy; raises ValueError where it is cut off."""
    return np.frombuffer(body, np.float16).reshape(-1, *ITEM)


def bytes_from_outputs(outputs: dict[str, NDArray[np.generic]]) -> bytes:
    """The body of an answer."""
    return b"".join(np.ascontiguousarray(outputs[name]).tobytes() for name in OUTPUTS)


def outputs_from_bytes(body: bytes) -> dict[str, NDArray[np.generic]]:
    """Outputs by name, without a copy; raises ValueError where the body is cut off."""
    slices, rest = divmod(len(body), SLICE_BYTES)
    if rest or not slices:
        raise ValueError(f"an answer of {len(body)} bytes is not one of whole slices")
    outputs: dict[str, NDArray[np.generic]] = {}
    start = 0
    for name, (kind, shape) in OUTPUTS.items():
        count = slices * prod(shape)
        outputs[name] = np.frombuffer(body, kind, count, start).reshape(slices, *shape)
        start += count * np.dtype(kind).itemsize
    return outputs
