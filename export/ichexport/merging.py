"""Members' ONNX graphs -> one list of nodes from HU, in which nothing is calculated twice.

Every member begins with the same windows and local contrast. Two nodes that do the same to the
same tensors become one, so the common beginning stands once and ends by itself where the members'
weights begin to differ.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ichexport.errors import IchExportError

INPUT = "HU"


def merged_graphs(graphs: Mapping[str, Path]) -> Any:
    """One graph with every member's outputs as `<member>.<output>`, and `HU` as its only input.

    Raises `IchExportError` where a file is no graph, or the members do not fit together.
    """
    import onnx
    from onnx import compose

    merged = onnx.ModelProto(producer_name="ich-triton")
    for name, path in graphs.items():
        model = loaded_graph(path, "run `ichexport release`")
        (given,) = model.graph.input
        _refuse_other_input(merged, model, given, name)
        model = compose.add_prefix(model, f"{name}.")
        for node in model.graph.node:
            for index, source in enumerate(node.input):
                if source == f"{name}.{INPUT}":
                    node.input[index] = INPUT
        merged.graph.node.extend(model.graph.node)
        merged.graph.initializer.extend(model.graph.initializer)
        merged.graph.output.extend(model.graph.output)
    merged.graph.name = "ensemble"
    return merged


def loaded_graph(path: Path, mend: str) -> Any:
    """An ONNX model; raises `IchExportError` with what would mend a file that is none."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        return onnx.load(path)
    except (OSError, DecodeError) as error:
        raise IchExportError(f"{path} is no ONNX graph; {mend}.") from error


def calculate_once(graph: Any, is_own: Callable[[str], bool]) -> None:
    """Leave out every node and constant that repeats another one.

    Constants for which `is_own` is true may change later, so nothing else may stand on them,
    whatever they hold now.
    """
    known: dict[Any, list[str]] = {}
    instead: dict[str, str] = {}
    tensors, nodes = list(graph.initializer), list(graph.node)
    del graph.initializer[:], graph.node[:]
    for tensor in tensors:
        key = (tensor.data_type, tuple(tensor.dims), tensor.raw_data)
        # Numbers that are not stored as raw bytes are few, and stay as they are.
        if tensor.raw_data and not is_own(tensor.name):
            if key in known:
                instead[tensor.name] = known[key][0]
                continue
            known[key] = [tensor.name]
        graph.initializer.append(tensor)
    for node in nodes:
        for index, source in enumerate(node.input):
            node.input[index] = instead.get(source, source)
        key = _what_it_does(node)
        if key in known:
            instead |= dict(zip(node.output, known[key], strict=True))
        else:
            known[key] = list(node.output)
            graph.node.append(node)


def _what_it_does(node: Any) -> tuple[Any, ...]:
    attributes = sorted(
        attribute.SerializeToString(deterministic=True) for attribute in node.attribute
    )
    return node.domain, node.op_type, tuple(attributes), tuple(node.input), len(node.output)


def _refuse_other_input(merged: Any, model: Any, given: Any, name: str) -> None:
    if not merged.graph.input:
        merged.ir_version = model.ir_version
        merged.opset_import.extend(model.opset_import)
        merged.graph.input.append(given)
    same_opset = [(o.domain, o.version) for o in merged.opset_import] == [
        (o.domain, o.version) for o in model.opset_import
    ]
    if given != merged.graph.input[0] or not same_opset or merged.ir_version != model.ir_version:
        raise IchExportError(
            f"The graph of {name} takes another HU or is of another ONNX version than the other "
            "members'; release them together."
        )
