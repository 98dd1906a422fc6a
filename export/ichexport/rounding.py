"""Graph in FP16 or BF16 -> its twin in f32 that rounds as the low type does, for any processor.

ONNX Runtime has no BF16 convolution on a processor, and it runs neighbouring FP16 layers in f32
without rounding what goes from one to the other. So a typed graph whose engine cannot run here is
compared as its twin: sums in f32, as tensor cores have them, every result rounded to the type.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np


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
    nodes = [twin for node in model.graph.node for twin in _twins(node, low)]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    del model.graph.value_info[:]
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


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
