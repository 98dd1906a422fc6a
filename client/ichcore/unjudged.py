"""What an engine answers for slices that it cannot judge: NaN, which the next step refuses.

An engine gives no error of its own: where two steps of an ensemble fail on one request, Triton
2.51 was seen to answer nobody any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

_DTYPES = {"TYPE_FP16": np.float16, "TYPE_FP32": np.float32}

Tensors = dict[str, NDArray[np.generic]]


def nothing_from_outputs(outputs: Iterable[Mapping[str, Any]], slices: int) -> Tensors:
    """NaN in the type and shape of every output of a model's config, for `slices` slices."""
    return {
        output["name"]: np.full(
            (slices, *map(int, output["dims"])), np.nan, dtype=_DTYPES[output["data_type"]]
        )
        for output in outputs
    }


def with_unsound_hu_marked(tensors: Mapping[str, NDArray[np.generic]], hu: Any) -> Tensors:
    """The answers to HU [N, S, R, C], the first of them NaN where a slice holds no numbers.

    The windows clip NaN and infinity to air or bone, and a plausible score comes of it.
    """
    first, *_ = tensors
    # Of FP16, since numpy takes ten times as long to ask each of its values: the exponent of what
    # is infinite or no number has every bit set.
    bits = np.asarray(hu, dtype=np.float16).view(np.uint16).reshape(len(hu), -1) & np.uint16(0x7FFF)
    finite = bits.max(axis=1, keepdims=True) < np.uint16(0x7C00)
    return {**tensors, first: np.where(finite, tensors[first], np.float32(np.nan))}
