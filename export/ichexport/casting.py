"""ONNX model in f32 -> the same model whose middle calculates in FP16 or BF16.

What comes before the first convolution (windows, local contrast) and what comes after the last
one (pooled logit, sigmoid, combination) stays in f32: HU need its range, scores its digits, and
both are cheap. The rule reads the structure of a graph and no names, so that a graph of several
members is cast like a graph of one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ichexport.errors import IchExportError

WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
"""Operators that carry weights: the low type begins and ends with them."""

LOW_TYPES = {"f16": "FLOAT16", "bf16": "BFLOAT16"}
_OPSETS = {"f16": 18, "bf16": 22}
"""The first opset whose convolution takes the type, and no older than released graphs."""

_KEEP_THEIR_TYPE = {"Resize": 1}
"""Operators that stay with float32 in all inputs but the first so many."""


def cast_model(model: Any, precision: str) -> Any:
    """The model in `f16` or `bf16`; its inputs and outputs keep their names and types.

    Raises `IchExportError` for a weight beyond the range of the type, and for an operator that
    does not take it.
    """
    import onnx

    model = model_in_opset(model, _OPSETS[precision])
    graph = model.graph
    floats, constants = float_tensors(model), float_constants(graph)
    low = _Low(precision, graph, constants)
    middle = middle_of(graph)
    made = {name for i in middle for name in graph.node[i].output if name in floats}
    wanted = {value.name for value in graph.output} | {
        name for i, node in enumerate(graph.node) if i not in middle for name in node.input
    }
    nodes = []
    for index, node in enumerate(graph.node):
        if index not in middle:
            nodes.append(node)
            continue
        changing = len(node.input[: _KEEP_THEIR_TYPE.get(node.op_type)])
        for place, name in enumerate(node.input[:changing]):
            if name in made:
                node.input[place] = low.name(name)
            elif name in floats or name in constants:
                node.input[place], entering = low.entering(name)
                nodes += entering
        nodes.append(low.retyped(node))
        for place, name in enumerate(node.output):
            if name in made:
                node.output[place] = low.name(name)
                nodes += [low.leaving(name)] if name in wanted else []
    replace_nodes(graph, nodes)
    graph.initializer.extend(low.initializers)
    drop_unused(graph)
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        why = str(error).strip().partition("\n")[0]
        raise IchExportError(f"The graph cannot calculate in {precision} ({why}).") from error
    return model


class _Low:
    """What a graph needs at the edges of its middle: casts, and constants in the low type."""

    def __init__(
        self, precision: str, graph: Any, constants: Mapping[str, NDArray[np.float32]]
    ) -> None:
        from onnx import TensorProto

        self._precision = precision
        self._type = TensorProto.DataType.Value(LOW_TYPES[precision])
        self._float = TensorProto.FLOAT
        self._constants = constants
        self._entered: set[str] = set()
        self.initializers: list[Any] = []

    def name(self, name: str) -> str:
        return f"{name}/{self._precision}"

    def entering(self, name: str) -> tuple[str, list[Any]]:
        """The name of a tensor from outside in the low type, and the node that casts it."""
        low = self.name(name)
        if low in self._entered:
            return low, []
        self._entered.add(low)
        if name not in self._constants:
            return low, [self._cast(name, low, self._type)]
        self.initializers.append(self._constant(name, low))
        return low, []

    def leaving(self, name: str) -> Any:
        return self._cast(self.name(name), name, self._float)

    def retyped(self, node: Any) -> Any:
        """A Cast to f32 inside of the middle is a cast to the low type."""
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == self._float:
                attribute.i = self._type
        return node

    def _cast(self, source: str, target: str, to: int) -> Any:
        from onnx import helper

        return helper.make_node("Cast", [source], [target], name=f"cast_{target}", to=to)

    def _constant(self, name: str, low: str) -> Any:
        from onnx import helper, numpy_helper

        values = self._constants[name]
        dtype = helper.tensor_dtype_to_np_dtype(self._type)
        with np.errstate(over="ignore"):  # refused below, with the tensor's name
            cast = values.astype(dtype)
        if not np.isfinite(cast.astype(np.float32)).all():
            largest = float(np.abs(values).max())
            raise IchExportError(
                f"{name} reaches {largest:g}, which is beyond the range of {self._precision}; "
                "build in bf16 or f32, or train with a smaller weight."
            )
        return numpy_helper.from_array(cast, low)


def model_in_opset(model: Any, least: int) -> Any:
    """The model in an opset of at least `least`."""
    from onnx import version_converter

    opset = next(each.version for each in model.opset_import if each.domain in ("", "ai.onnx"))
    return model if opset >= least else version_converter.convert_version(model, least)


def tensors_around_weights(graph: Any) -> tuple[set[str], set[str]]:
    """Tensors that some layer with weights leads to, and tensors that lead to some."""
    after: set[str] = set()
    before: set[str] = set()
    for node in graph.node:
        if node.op_type in WEIGHTED or after.intersection(node.input):
            after.update(node.output)
    for node in reversed(graph.node):
        if node.op_type in WEIGHTED or before.intersection(node.output):
            before.update(node.input)
    return after, before


def middle_of(graph: Any) -> set[int]:
    """Indices of the nodes at or after some layer with weights, and at or before some."""
    after, before = tensors_around_weights(graph)
    return {
        index
        for index, node in enumerate(graph.node)
        if after.intersection(node.output)
        and (node.op_type in WEIGHTED or before.intersection(node.output))
    }


def float_tensors(model: Any) -> set[str]:
    """Names of all float32 tensors that nodes make or callers give."""
    from onnx import TensorProto, shape_inference

    graph = shape_inference.infer_shapes(model).graph
    values = (*graph.value_info, *graph.input, *graph.output)
    return {v.name for v in values if v.type.tensor_type.elem_type == TensorProto.FLOAT}


def float_constants(graph: Any) -> dict[str, NDArray[np.float32]]:
    """Float32 initializers, and those that are stored as FP16 and cast when they are loaded."""
    from onnx import TensorProto, numpy_helper

    stored = {tensor.name: tensor for tensor in graph.initializer}
    found = {
        name: numpy_helper.to_array(tensor)
        for name, tensor in stored.items()
        if tensor.data_type == TensorProto.FLOAT
    }
    for node in graph.node:
        if _casts_to_float(node) and node.input[0] in stored:
            values = numpy_helper.to_array(stored[node.input[0]])
            found[node.output[0]] = values.astype(np.float32)
    return found


def with_plain_constants(model: Any) -> Any:
    """The model with float32 weights in the place of those that are stored as FP16 and cast."""
    from onnx import numpy_helper

    graph = model.graph
    stored = {tensor.name for tensor in graph.initializer}
    constants = float_constants(graph)
    graph.initializer.extend(
        numpy_helper.from_array(values, name)
        for name, values in constants.items()
        if name not in stored
    )
    replace_nodes(graph, [node for node in graph.node if node.output[0] not in constants])
    drop_unused(graph)
    return model


def _casts_to_float(node: Any) -> bool:
    return node.op_type == "Cast" and any(a.name == "to" and a.i == 1 for a in node.attribute)


def drop_unused(graph: Any) -> None:
    """Take out nodes and initializers that nothing reads any more, and stale value types."""
    needed = {value.name for value in graph.output}
    kept = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            kept.append(node)
    replace_nodes(graph, kept[::-1])
    initializers = [tensor for tensor in graph.initializer if tensor.name in needed]
    del graph.initializer[:]
    graph.initializer.extend(initializers)
    del graph.value_info[:]


def replace_nodes(graph: Any, nodes: list[Any]) -> None:
    """Put `nodes` in the place of all nodes of a graph."""
    nodes = list(_copies(nodes))
    del graph.node[:]
    graph.node.extend(nodes)


def _copies(nodes: list[Any]) -> Iterator[Any]:
    """Nodes that outlive the list they are taken from."""
    for node in nodes:
        copy = type(node)()
        copy.CopyFrom(node)
        yield copy
