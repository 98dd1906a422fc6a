"""Engine -> what it is: operations, precision, size, memory, inputs and outputs, and its proofs.

An ONNX graph is read itself. A plan is read where a GPU and its library can, and elsewhere told
by the record of its build; its inputs and outputs are those of the graph that it was built of,
for a build refuses others.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ichexport.audit import layers_from_onnx
from ichexport.errors import CannotRunHere, DriftError, IchExportError
from ichexport.merging import loaded_graph
from ichexport.proofs import (
    Proof,
    engines_of,
    proofs_from_record,
    record_of,
    refuse_other_engine,
)
from ichexport.targets import ONNX_FILE

_WIRE_TYPES = {"FLOAT": "FP32", "FLOAT16": "FP16"}


@dataclass(frozen=True)
class Tensor:
    """An input or output; `shape` holds N where the batch stands."""

    name: str
    data_type: str
    shape: tuple[int | str, ...]


@dataclass(frozen=True)
class Graph:
    """What a graph itself tells.

    `activation_bytes` is the most that is alive at once for one slice, in the order of the graph;
    a runtime that keeps, copies or fuses tensors needs more or less.
    """

    operations: Mapping[str, int]
    weight_bytes: int
    activation_bytes: int
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


@dataclass(frozen=True)
class Inspection:
    """An engine; `layers` counts those with weights by type, `read_from` says where."""

    engine: Path
    engine_bytes: int
    layers: Mapping[str, int]
    read_from: str
    graph: Graph
    device: Mapping[str, Any]
    versions: Mapping[str, str]
    weights_sha256: tuple[str, ...]
    proofs: tuple[Proof, ...]

    @property
    def graph_is_engine(self) -> bool:
        """Whether the engine is a graph, and its operations are what runs."""
        return self.engine.suffix == ".onnx"


def engines_named(repository: Path, name: str) -> list[Path]:
    """The engine at the path `name`, or all of the model `name`; refuses what is neither."""
    path = Path(name)
    engines = list(engines_of(repository))
    if path.is_file():
        return [path]
    found = [engine for engine in engines if engine.parents[1].name == name]
    if not found:
        models = ", ".join(sorted({engine.parents[1].name for engine in engines})) or "none"
        raise IchExportError(
            f"'{name}' is neither a file nor a model of {repository} with engines; it has {models}."
        )
    return found


def inspection_of(engine: Path) -> Inspection:
    """Read one engine in its version folder; raises `DriftError` where it cannot be."""
    record = record_of(engine)
    refuse_other_engine(engine)
    layers, read_from = _layers(engine, record)
    weights = record.get("weights_sha256", ())
    return Inspection(
        engine=engine,
        engine_bytes=engine.stat().st_size,
        layers=layers,
        read_from=read_from,
        graph=_graph(engine if engine.suffix == ".onnx" else engine.with_name(ONNX_FILE)),
        device=record.get("device", {}),
        versions=record.get("versions", {}),
        weights_sha256=(weights,) if isinstance(weights, str) else tuple(weights),
        proofs=tuple(proofs_from_record(engine)),
    )


def _layers(engine: Path, record: Mapping[str, Any]) -> tuple[dict[str, int], str]:
    if engine.suffix == ".onnx":
        return layers_from_onnx(engine), "the graph itself"
    if engine.suffix == ".plan":
        try:
            if layers := _layers_on_gpu(engine, record):
                return layers, "the engine itself"
        except (CannotRunHere, IchExportError):
            pass  # no GPU or no TensorRT: the record knows what the build saw
    try:
        layers = {str(name): int(count) for name, count in record["layers"]["count"].items()}
        return layers, f"{record['layers']['read_from']}, at the build"
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DriftError(f"The record of {engine} counts no layers; build it again.") from error


def _layers_on_gpu(engine: Path, record: Mapping[str, Any]) -> dict[str, int]:
    """Read a plan back on a GPU; never executed by its authors past the refusal without one."""
    from ichexport.plan_runner import layers_from_plan
    from ichexport.tensorrt_library import tensorrt

    host_code = bool(record.get("options", {}).get("version_compatible", False))
    return layers_from_plan(tensorrt(), engine, host_code=host_code)


def _graph(path: Path) -> Graph:
    import onnx

    model = loaded_graph(path, "it is cut or altered, so restore or build it again")
    tensors = (*model.graph.input, *model.graph.output)
    inputs, outputs = model.graph.input, model.graph.output
    told = [tuple(map(_tensor, values)) for values in (inputs, outputs)]
    for value in tensors:
        value.type.tensor_type.shape.dim[0].dim_value = 1  # one slice
    model.graph.ClearField("value_info")
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    return Graph(
        operations=dict(Counter(node.op_type for node in model.graph.node).most_common()),
        weight_bytes=sum(_tensor_bytes(t.data_type, t.dims) for t in model.graph.initializer),
        activation_bytes=_most_alive(inferred.graph),
        inputs=told[0],
        outputs=told[1],
    )


def _tensor(value: Any) -> Tensor:
    import onnx

    kind = value.type.tensor_type
    stored = onnx.TensorProto.DataType.Name(kind.elem_type)
    shape = tuple(d.dim_param or int(d.dim_value) for d in kind.shape.dim)
    return Tensor(value.name, _WIRE_TYPES.get(stored, stored), shape)


def _most_alive(graph: Any) -> int:
    """Bytes of the tensors that are alive at once at most, each from its maker to its last user."""
    values = (*graph.input, *graph.value_info, *graph.output)
    size = {value.name: _value_bytes(value) for value in values}
    last = {name: place for place, node in enumerate(graph.node) for name in node.input}
    last |= {value.name: len(graph.node) for value in graph.output}
    alive = {value.name for value in graph.input}
    most = 0
    for place, node in enumerate(graph.node):
        alive |= {name for name in node.output if name}
        most = max(most, sum(size.get(name, 0) for name in alive))
        alive = {name for name in alive if last.get(name, -1) > place}
    return most


def _value_bytes(value: Any) -> int:
    kind = value.type.tensor_type
    return _tensor_bytes(kind.elem_type, [d.dim_value for d in kind.shape.dim])


def _tensor_bytes(elem_type: int, shape: Iterable[int]) -> int:
    import onnx

    return int(math.prod(shape) * onnx.helper.tensor_dtype_to_np_dtype(elem_type).itemsize)
