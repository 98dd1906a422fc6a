"""ONNX model in f32 -> the same model with Q/DQ around its convolutions: INT8 or FP8 (E4M3).

A weight has a scale for each output channel, an activation one for the tensor; both are
symmetric, the only form that TensorRT takes. A range reaches to the largest value that calibration
saw: fresh blood is the rare bright pixel, and ranges that clip for the least squared error were
measured to move the default members' logits twice as far. The first and the last convolution on
each path stay in f32, with everything before and after them: that halved the distance again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ichexport.calibrating import Range
from ichexport.casting import (
    drop_unused,
    float_constants,
    model_in_opset,
    replace_nodes,
    tensors_around_weights,
)
from ichexport.errors import IchExportError


class QuantisedType(NamedTuple):
    """An ONNX type, the largest value that a scale maps to, and the first opset that has it."""

    onnx: str
    largest: float
    opset: int


QUANTISED_TYPES = {
    "int8": QuantisedType("INT8", 127.0, 18),
    "fp8": QuantisedType("FLOAT8E4M3FN", 448.0, 19),
}


def convolutions_to_quantise(graph: Any) -> list[Any]:
    """Convolutions that have a layer with weights before and one after them, in graph order."""
    after, before = tensors_around_weights(graph)
    constants = float_constants(graph)
    return [
        node
        for node in graph.node
        if node.op_type == "Conv"
        and node.input[0] in after
        and node.output[0] in before
        and node.input[1] in constants
    ]


def refuse_without_convolutions(graph: Any, precision: str) -> None:
    """Raise `IchExportError` where a graph has no convolution that could be quantised."""
    if not convolutions_to_quantise(graph):
        raise IchExportError(
            f"The graph has no convolution to calculate in {precision}: the first and the last "
            "stay in f32, and there is none between them. Build in f32 or bf16."
        )


def quantised_model(
    model: Any, precision: str, ranges: Mapping[str, Range], *, padding_apart: bool = False
) -> Any:
    """The model in `int8` or `fp8`; `ranges` are those of the convolutions' inputs by name.

    `padding_apart` pads an input that can be negative before it is quantised: OpenVINO 2026.4
    answers wrongly where it pads such an INT8 convolution itself (on AVX-512 VNNI).
    """
    import onnx

    kind = QUANTISED_TYPES[precision]
    model = model_in_opset(model, kind.opset)
    graph = model.graph
    chosen = {node.output[0] for node in convolutions_to_quantise(graph)}
    quantiser = _Quantiser(kind, graph, ranges, padding_apart)
    nodes: list[Any] = []
    for node in graph.node:
        if node.output[0] in chosen:
            nodes += quantiser.before(node)
        nodes.append(node)
    replace_nodes(graph, nodes)
    graph.initializer.extend(quantiser.initializers)
    drop_unused(graph)
    onnx.checker.check_model(model, full_check=True)
    return model


class _Quantiser:
    """Makes the nodes that bring a convolution's inputs through the type, each tensor once."""

    def __init__(
        self, kind: QuantisedType, graph: Any, ranges: Mapping[str, Range], padding_apart: bool
    ) -> None:
        from onnx import TensorProto, helper

        self._largest = kind.largest
        self._dtype = helper.tensor_dtype_to_np_dtype(TensorProto.DataType.Value(kind.onnx))
        self._constants = float_constants(graph)
        self._ranges = ranges
        self._padding_apart = padding_apart
        self._made: set[str] = set()
        self.initializers: list[Any] = []

    def before(self, node: Any) -> list[Any]:
        """Point a convolution to quantised inputs; gives the nodes that make them."""
        name, weights = node.input[:2]
        padded, nodes = self._padded(node, name)
        node.input[0] = f"{padded}/dequantised"
        node.input[1] = f"{weights}/dequantised"
        return [*nodes, *self._activation(padded, self._ranges[name]), *self._weights(weights)]

    def _activation(self, name: str, seen: Range) -> list[Any]:
        if name in self._made:
            return []
        self._made.add(name)
        scale = np.float32(max(-seen.low, seen.high) / self._largest)
        names = self._scale(name, scale)
        return [
            _node("QuantizeLinear", [name, *names], f"{name}/quantised"),
            _node("DequantizeLinear", [f"{name}/quantised", *names], f"{name}/dequantised"),
        ]

    def _weights(self, name: str) -> list[Any]:
        if name in self._made:
            return []
        self._made.add(name)
        values = self._constants[name]
        largest = np.abs(values.reshape(len(values), -1)).max(axis=1)
        scale = np.where(largest > 0, largest, 1).astype(np.float32) / np.float32(self._largest)
        scaled = values / scale.reshape(-1, *[1] * (values.ndim - 1))
        stored = np.rint(scaled) if self._dtype == np.int8 else scaled
        self._keep(stored.astype(self._dtype), f"{name}/quantised")
        names = [f"{name}/quantised", *self._scale(name, scale)]
        return [_node("DequantizeLinear", names, f"{name}/dequantised", axis=0)]

    def _padded(self, node: Any, name: str) -> tuple[str, list[Any]]:
        """The name of a convolution's input with its padding, where that is done apart."""
        pads = next((a for a in node.attribute if a.name == "pads" and any(a.ints)), None)
        if not self._padding_apart or pads is None or self._ranges[name].low >= 0:
            return name, []
        begin, end = list(pads.ints[:2]), list(pads.ints[2:])
        pads.ints[:] = [0, 0, 0, 0]
        self._keep(np.array([0, 0, *begin, 0, 0, *end], np.int64), f"{node.output[0]}/pads")
        padded = f"{name}/padded_for/{node.output[0]}"
        return padded, [_node("Pad", [name, f"{node.output[0]}/pads"], padded)]

    def _scale(self, name: str, scale: NDArray[np.float32] | np.float32) -> list[str]:
        self._keep(np.asarray(scale, np.float32), f"{name}/scale")
        self._keep(np.zeros(np.shape(scale), self._dtype), f"{name}/zero")
        return [f"{name}/scale", f"{name}/zero"]

    def _keep(self, values: NDArray[Any], name: str) -> None:
        from onnx import numpy_helper

        self.initializers.append(numpy_helper.from_array(values, name))


def _node(operator: str, inputs: list[str], output: str, **attributes: Any) -> Any:
    from onnx import helper

    return helper.make_node(operator, inputs, [output], name=output, **attributes)
