"""Members' released graphs and the spec -> the whole ensemble as one ONNX graph.

    HU -> every member -> calibration, weights, thresholds, areas -> SCORE, MEMBER_SCORES, MASK, ...

The formula is that of `ichcore.combine`, written once more as nodes, and held equal to it by tests
and at every `ichexport repository`. The numbers of the spec are constants of their own
(`REFITTABLE`), so that another spec is a swap of them and no export.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ichcore import EnsembleSpec
from ichcore.wire import fused_outputs, hu_tensor
from ichexport.combining import PREFIX, append_combination
from ichexport.errors import IchExportError
from ichexport.merging import calculate_once, loaded_graph, merged_graphs

REFITTABLE = tuple(
    f"{PREFIX}{name}"
    for name in (
        "slope",
        "intercept",
        "score_weight",
        "mask_weight",
        "mask_threshold",
        "brain_threshold",
        "mask_pixel_mm2",
    )
)
"""Constants that a new spec changes; an engine that takes new ones is refitted with these."""


def fused_from_members(graphs: Mapping[str, Path], spec: EnsembleSpec) -> bytes:
    """The ensemble's graph of its members' graphs by name; the same bytes every time.

    Raises `IchExportError` where a graph is absent, or the members give no MASK or BRAIN.
    """
    import onnx

    model = merged_graphs({name: _graph(graphs, name) for name in spec.member_names})
    given = {value.name for value in model.graph.output}
    with_mask = [name for name in spec.member_names if f"{name}.MASK" in given]
    if f"{spec.brain_member}.BRAIN" not in given:
        raise IchExportError(f"The graph of {spec.brain_member} gives no BRAIN.")
    numbers = combination_from_spec(spec, with_mask)
    del model.graph.output[:]
    append_combination(model.graph, spec, with_mask, numbers)
    _declare_outputs(model, spec)
    for key, value in (
        ("members", spec.member_names),
        ("members_with_mask", with_mask),
        ("brain_member", [spec.brain_member]),
    ):
        model.metadata_props.add(key=key, value=",".join(value))
    calculate_once(model.graph, lambda name: name in REFITTABLE)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def combination_from_spec(
    spec: EnsembleSpec, with_mask: Sequence[str]
) -> dict[str, NDArray[np.float32]]:
    """The numbers of `REFITTABLE`: [1, K] for members, [1, M, 1, 1] for the M that give a MASK.

    A member without a MASK leaves its mask weight to the others.
    """
    members = spec.members
    weights = [m.mask_weight for m in members if m.name in with_mask]
    if sum(weights) == 0:
        raise IchExportError("No member with a mask weight gives a MASK, which the spec expects.")
    numbers = (
        [[m.calibration.slope for m in members]],
        [[m.calibration.intercept for m in members]],
        [[m.score_weight for m in members]],
        np.reshape(np.array(weights) / sum(weights), (1, -1, 1, 1)),
        [[spec.mask_threshold]],
        [[spec.brain_threshold]],
        [[spec.grid.mask_pixel_mm2]],
    )
    return {
        name: np.asarray(values, dtype=np.float32)
        for name, values in zip(REFITTABLE, numbers, strict=True)
    }


def swap_spec(graph: Path, spec: EnsembleSpec) -> bytes:
    """The fused graph with the numbers of another spec of the same members.

    Raises `IchExportError` where the graph is none, or was made of other members.
    """
    from onnx import numpy_helper

    model = loaded_graph(graph, "run `ichexport repository`")
    numbers = _combination_for(model, spec, graph)
    for tensor in model.graph.initializer:
        if tensor.name in numbers:
            tensor.CopyFrom(numpy_helper.from_array(numbers[tensor.name], tensor.name))
    return bytes(model.SerializeToString(deterministic=True))


def holds_spec(graph: Path, spec: EnsembleSpec) -> bool:
    """Whether the constants of a fused graph are the numbers of the spec."""
    from onnx import numpy_helper

    model = loaded_graph(graph, "run `ichexport repository`")
    numbers = _combination_for(model, spec, graph)
    found = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer if t.name in numbers}
    return found.keys() == numbers.keys() and all(
        np.array_equal(found[name], values) for name, values in numbers.items()
    )


def _declare_outputs(model: Any, spec: EnsembleSpec) -> None:
    from onnx import TensorProto, helper

    batch, *dims = model.graph.input[0].type.tensor_type.shape.dim
    if tuple(dim.dim_value for dim in dims) != hu_tensor(spec.grid).shape:
        raise IchExportError(
            f"The members take HU of {[dim.dim_value for dim in dims]}; the spec's grid has "
            f"{list(hu_tensor(spec.grid).shape)}."
        )
    types = {"FP32": TensorProto.FLOAT, "FP16": TensorProto.FLOAT16}
    for tensor in fused_outputs(spec.grid, len(spec.members)):
        shape = (batch.dim_param, *tensor.shape)
        value = helper.make_tensor_value_info(tensor.name, types[tensor.data_type], shape)
        model.graph.output.append(value)


def _combination_for(model: Any, spec: EnsembleSpec, graph: Path) -> dict[str, NDArray[np.float32]]:
    """The spec's numbers in the shapes of this graph; refuses a graph of other members."""
    made_of = {entry.key: entry.value.split(",") for entry in model.metadata_props}
    if made_of.get("members") != list(spec.member_names) or made_of.get("brain_member") != [
        spec.brain_member
    ]:
        raise IchExportError(
            f"{graph} is no fused graph of {', '.join(spec.member_names)}; run `ichexport release`."
        )
    return combination_from_spec(spec, made_of["members_with_mask"])


def _graph(graphs: Mapping[str, Path], name: str) -> Path:
    if name not in graphs:
        raise IchExportError(f"The ensemble names {name}, which has no graph.")
    return graphs[name]
