"""ONNX graph -> operations and bytes of its layers, and the least time a machine needs for them.

Counted are convolutions and matrix products, which do nearly all of the work: a multiplication and
an addition are two operations; a layer reads its input and its weights and writes its output once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

BYTES = {"f32": 4, "f16": 2, "bf16": 2}
"""Bytes of a value by type of arithmetic."""


@dataclass(frozen=True)
class Layer:
    """A convolution or matrix product of one batch; `values` are those read and written."""

    name: str
    operations: int
    values: int

    def __post_init__(self) -> None:
        """Refuse a layer that does nothing, which a shape that is unknown would give."""
        if min(self.operations, self.values) < 1:
            raise ValueError(f"the shapes around {self.name} are not known")


@dataclass(frozen=True)
class Ceilings:
    """What a machine was measured to do at most."""

    operations_per_second: float
    bytes_per_second: float


def least_seconds(layers: Sequence[Layer], precision: str, ceilings: Ceilings) -> float:
    """The roofline: each layer in turn takes what its arithmetic or its memory takes, if longer.

    An engine that keeps values on the chip between layers may be faster than this.
    """
    return sum(
        max(
            layer.operations / ceilings.operations_per_second,
            layer.values * BYTES[precision] / ceilings.bytes_per_second,
        )
        for layer in layers
    )


def layers_from_onnx(path: Path, batch: int) -> list[Layer]:
    """The layers of a graph for `batch` slices; raises ValueError where a shape is not known."""
    import onnx

    model = onnx.load(path)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = batch
    del model.graph.value_info[:]  # they hold N as a name
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {
        value.name: tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
        for value in (*graph.value_info, *graph.input, *graph.output)
    }
    shapes |= {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    return [_layer(node, shapes) for node in graph.node if node.op_type in _PRODUCTS]


def weight_bytes_from_onnx(path: Path) -> int:
    """Bytes of all that a graph stores: weights in the type they are stored in, and scales."""
    import onnx
    from onnx import helper

    return sum(
        prod(tensor.dims) * helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
        for tensor in onnx.load(path).graph.initializer
    )


def _layer(node: Any, shapes: dict[str, tuple[int, ...]]) -> Layer:
    given, weights, made = (
        shapes.get(name, (0,)) for name in (node.input[0], node.input[1], node.output[0])
    )
    values = prod(given) + prod(weights) + prod(made)
    operations = 2 * prod(made) * _PRODUCTS[node.op_type](node, given, weights)
    return Layer(node.name or node.output[0], operations, values)


def _of_convolution(node: Any, given: tuple[int, ...], weights: tuple[int, ...]) -> int:
    return prod(weights[1:])  # [out, in / groups, rows, columns]


def _of_gemm(node: Any, given: tuple[int, ...], weights: tuple[int, ...]) -> int:
    turned = any(a.name == "transA" and a.i for a in node.attribute)
    return given[0] if turned else given[-1]


def _of_matmul(node: Any, given: tuple[int, ...], weights: tuple[int, ...]) -> int:
    return given[-1]


_PRODUCTS = {"Conv": _of_convolution, "Gemm": _of_gemm, "MatMul": _of_matmul}
"""Multiplications for each value of a layer's output."""
