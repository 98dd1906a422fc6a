"""ONNX model and slices -> the range of each tensor that is to be quantised."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ichexport.engines import CHUNK_SLICES, onnxruntime_from_onnx
from ichexport.errors import IchExportError
from ichexport.targets import ONNX_FILE


class Range(NamedTuple):
    """Smallest and largest value of a tensor."""

    low: float
    high: float


def ranges_from_slices(
    model: Any, names: Sequence[str], hu: NDArray[np.float16]
) -> dict[str, Range]:
    """Ranges of float32 tensors over HU [n, S, R, C], by ONNX Runtime.

    Raises `IchExportError` for no slices, and for a tensor that is zero throughout or not finite:
    such a range says nothing of other slices.
    """
    if len(hu) == 0:
        raise IchExportError("There is no slice to calibrate on; give some with --calibration.")
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / ONNX_FILE
        path.write_bytes(_observed(model, names).SerializeToString())
        run = onnxruntime_from_onnx(path)
        # Chunk after chunk, as nothing but the ranges is kept of tensors that would fill memory.
        chunks = [hu[start : start + CHUNK_SLICES] for start in range(0, len(hu), CHUNK_SLICES)]
        seen = [run(chunk) for chunk in chunks]
    ranges = {}
    for index, name in enumerate(names):
        low, high = np.array([one[f"range_{index}"] for one in seen], np.float64).T
        ranges[name] = Range(float(low.min()), float(high.max()))
        if not 0 < max(-ranges[name].low, ranges[name].high) < np.inf:
            raise IchExportError(
                f"The calibration slices leave '{name}' at {low.min():g} to {high.max():g}, which "
                "is no range; give other slices with --calibration."
            )
    return ranges


def _observed(model: Any, names: Sequence[str]) -> Any:
    """A copy whose outputs are [smallest, largest] of each tensor."""
    from onnx import ModelProto, TensorProto, helper

    copy = ModelProto()
    copy.CopyFrom(model)
    del copy.graph.output[:]
    for index, name in enumerate(names):
        ends = [f"low_{index}", f"high_{index}"]
        for operator, end in zip(("ReduceMin", "ReduceMax"), ends, strict=True):
            copy.graph.node.append(helper.make_node(operator, [name], [f"{end}_all"], keepdims=0))
            copy.graph.node.append(helper.make_node("Reshape", [f"{end}_all", "one"], [end]))
        copy.graph.node.append(helper.make_node("Concat", ends, [f"range_{index}"], axis=0))
        copy.graph.output.append(
            helper.make_tensor_value_info(f"range_{index}", TensorProto.FLOAT, [2])
        )
    copy.graph.initializer.append(helper.make_tensor("one", TensorProto.INT64, [1], [1]))
    return copy
