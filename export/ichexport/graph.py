"""Released torch member -> ONNX graph with named tensors, dynamic N and FP16-stored weights."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ichcore.wire import MAX_BATCH_SIZE, hu_tensor, member_outputs
from ichexport.errors import IchExportError
from ichexport.members import Member, output_names
from ichexport.weights import folded_member

OPSET = 18
_SMALL = 16
_HALF = "_fp16"


def onnx_from_member(member: Member, path: Path) -> None:
    """Export a released member, check the graph against the wire contract, and write it.

    Every dimension but N is static on inputs and outputs (Triton's ONNX Runtime backend refuses
    unknown ones). Weights are stored as FP16 and cast to FP32 at load; they were rounded to FP16
    before, so the cast loses nothing.
    """
    import onnx

    grid = member.options.grid
    example = torch.zeros((2, *hu_tensor(grid).shape), dtype=torch.float16)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its own internals
        program = torch.onnx.export(
            member.eval(),
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=["HU"],
            output_names=list(output_names(member.options)),
            dynamic_shapes=({0: torch.export.Dim("N", min=1, max=MAX_BATCH_SIZE)},),
            optimize=True,
            verbose=False,
        )
    if program is None:
        raise IchExportError("The exporter gave no graph; check the torch version.")
    model = program.model_proto
    _store_as_fp16(model)
    _strip_paths(model)
    _check_contract(model, member)
    onnx.checker.check_model(model, full_check=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


def member_from_graph(path: Path, fields: dict[str, Any]) -> Member:
    """Read a released graph back as the torch module it was exported from.

    `fields` are the member's options as its build record has them. Raises `IchExportError` where
    the graph does not hold just that network's weights.
    """
    import onnx
    from google.protobuf.message import DecodeError
    from onnx import numpy_helper

    try:
        model = onnx.load(path)
        found = {
            initializer.name.removesuffix(_HALF): torch.from_numpy(
                numpy_helper.to_array(initializer).astype(np.float32)
            )
            for initializer in model.graph.initializer
        }
        member = folded_member(fields)
        member.load_state_dict({name: found[name] for name in member.state_dict()})
    except (OSError, DecodeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        why = str(error).partition("\n")[0]
        raise IchExportError(
            f"{path} is not the graph that its record describes ({why}); release the run again."
        ) from error
    return member


def _store_as_fp16(model: Any) -> None:
    """Replace each large FP32 initializer by an FP16 one and a Cast."""
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for initializer in model.graph.initializer:
        if initializer.data_type != TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(initializer)
        half = values.astype(np.float16)
        if values.size < _SMALL or not np.array_equal(half.astype(np.float32), values):
            continue
        name = initializer.name
        initializer.CopyFrom(numpy_helper.from_array(half, f"{name}{_HALF}"))
        casts.append(
            helper.make_node(
                "Cast", [f"{name}{_HALF}"], [name], name=f"cast_{name}", to=TensorProto.FLOAT
            )
        )
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*casts, *nodes])


def _strip_paths(model: Any) -> None:
    # The exporter notes source files of the machine it ran on; a committed graph must not.
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output):
        del value.metadata_props[:]
    del model.graph.metadata_props[:]
    model.doc_string = ""


def _check_contract(model: Any, member: Member) -> None:
    grid, names = member.options.grid, output_names(member.options)
    expected = {
        tensor.name: list(tensor.shape)
        for tensor in (hu_tensor(grid), *member_outputs(grid, with_brain=True))
        if tensor.name in ("HU", *names)
    }
    found = tuple(value.name for value in model.graph.output)
    if found != names:
        raise IchExportError(
            f"The exporter gives {', '.join(found)}; the contract wants {', '.join(names)}."
        )
    for value in (*model.graph.input, *model.graph.output):
        dims = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        if dims[1:] != expected.get(value.name):
            raise IchExportError(
                f"{value.name} leaves the exporter as {dims}; the contract wants "
                f"[N, {expected.get(value.name)}]."
            )
