"""ONNX file in f32 -> one whose middle is INT8 as ONNX Runtime's kernels on a processor want it.

ONNX Runtime calculates a convolution in INT8 only where its input is unsigned and its output is
quantised too; the symmetric graph of `quantising` it was seen to run in f32 throughout. So its own
quantiser makes the graph that it serves: unsigned activations with a zero point, all operators of
the middle quantised. TensorRT takes no such graph.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ichexport.casting import middle_of, with_plain_constants
from ichexport.engines import CHUNK_SLICES
from ichexport.quantising import convolutions_to_quantise

_OPERATORS = ("Conv", "Add", "Concat", "Resize", "Relu", "Clip")


def unsigned_model(model: Any, hu: NDArray[np.float16]) -> Any:
    """The model in INT8, ranges from HU [n, S, R, C]."""
    import onnx
    from onnxruntime.quantization import (
        CalibrationDataReader,
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    class Chunks(CalibrationDataReader):  # type: ignore[misc]
        """What the quantiser reads its slices from."""

        def __init__(self) -> None:
            starts = range(0, len(hu), CHUNK_SLICES)
            self._chunks = iter([{"HU": hu[start : start + CHUNK_SLICES]} for start in starts])

        def get_next(self) -> dict[str, NDArray[np.float16]] | None:
            """The next chunk, None after the last."""
            return next(self._chunks, None)

    model = with_plain_constants(model)
    with tempfile.TemporaryDirectory() as scratch, _without_advice():
        plain, quantised = Path(scratch) / "plain.onnx", Path(scratch) / "quantised.onnx"
        plain.write_bytes(model.SerializeToString())
        quantize_static(
            plain,
            quantised,
            Chunks(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(_OPERATORS),
            nodes_to_exclude=_kept(model.graph),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            extra_options={"WeightSymmetric": True},
        )
        return onnx.load(quantised)


def _kept(graph: Any) -> list[str]:
    """Names of nodes that stay in f32: those outside of the middle, first and last convolutions."""
    middle = middle_of(graph)
    chosen = {node.output[0] for node in convolutions_to_quantise(graph)}
    return [
        node.name
        for index, node in enumerate(graph.node)
        if index not in middle or (node.op_type == "Conv" and node.output[0] not in chosen)
    ]


@contextmanager
def _without_advice() -> Iterator[None]:
    """The quantiser logs advice to the root logger; a failure it raises."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
