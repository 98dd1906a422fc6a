"""Graph in a low type -> its twin in f32 that rounds as the type does, for any processor.

ONNX Runtime has no BF16 convolution on a processor, and it runs neighbouring FP16 layers in f32
without rounding what goes from one to the other. So a typed graph whose engine cannot run here is
compared as its twin: sums in f32, as tensor cores have them, every result rounded to the type.
INT8 runs as it is; at Q/DQ of FP8 ONNX Runtime's optimiser stops, so they become divisions, casts
and products.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ichexport.casting import drop_unused


def rounding_graph(graph: Path, path: Path) -> None:
    """Write the twin of the typed `graph` to `path`; one that has no low type stays as it is."""
    import onnx
    from onnx import TensorProto, numpy_helper

    low_types = (TensorProto.FLOAT16, TensorProto.BFLOAT16)
    model = onnx.shape_inference.infer_shapes(onnx.load(graph))
    low = {
        value.name: value.type.tensor_type.elem_type
        for value in model.graph.value_info
        if value.type.tensor_type.elem_type in low_types
    }
    for tensor in model.graph.initializer:
        if tensor.data_type in low_types:
            values = numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    eight = {t.name for t in model.graph.initializer if t.data_type == TensorProto.FLOAT8E4M3FN}
    nodes = [
        twin
        for node in model.graph.node
        for twin in (_scaled(node, model) if eight.intersection(node.input) else _twins(node, low))
    ]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    drop_unused(model.graph)
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


def _scaled(node: Any, model: Any) -> Iterator[Any]:
    """Q or DQ of FP8 as a cast and an operation in f32."""
    from onnx import TensorProto, helper, numpy_helper

    given, scale, (made,) = node.input[0], node.input[1], node.output
    if node.op_type == "QuantizeLinear":
        yield helper.make_node("Div", [given, scale], [f"{made}/scaled"])
        yield helper.make_node("Cast", [f"{made}/scaled"], [made], to=TensorProto.FLOAT8E4M3FN)
        return
    tensor = next(each for each in model.graph.initializer if each.name == scale)
    factors = numpy_helper.to_array(tensor)
    if factors.ndim:  # those of weights, by output channel
        weights = next(each for each in model.graph.initializer if each.name == given)
        shape = (-1, *[1] * (len(weights.dims) - 1))
        tensor.CopyFrom(numpy_helper.from_array(factors.reshape(shape), scale))
    yield helper.make_node("Cast", [given], [f"{made}/scaled"], to=TensorProto.FLOAT)
    yield helper.make_node("Mul", [f"{made}/scaled", scale], [made])


def _twins(node: Any, low: dict[str, int]) -> Iterator[Any]:
    """The node in f32, and two casts that round each of its results."""
    from onnx import NodeProto, TensorProto, helper

    twin = NodeProto()
    twin.CopyFrom(node)
    if node.op_type == "Cast" and node.output[0] in low:
        twin.output[0] = f"{node.output[0]}/low"
        yield twin
        yield helper.make_node("Cast", [twin.output[0]], [node.output[0]], to=TensorProto.FLOAT)
        return
    rounding = []
    for place, name in enumerate(node.output):
        if name in low:
            twin.output[place] = f"{name}/sum"
            rounding += [
                helper.make_node("Cast", [f"{name}/sum"], [f"{name}/low"], to=low[name]),
                helper.make_node("Cast", [f"{name}/low"], [name], to=TensorProto.FLOAT),
            ]
    yield from (twin, *rounding)
