"""ONNX graph -> parsed network -> plan, by TensorRT or TensorRT-RTX alike.

The network is strongly typed: each layer calculates in the type that the graph gives it, and the
builder chooses none. So the parsed network tells the precision of the engine before it is built.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from ichcore import Grid
from ichcore.wire import TensorSpec, ensemble_outputs, hu_tensor, member_outputs
from ichexport.audit import layers_from_network, refuse_other_precision
from ichexport.errors import IchExportError
from ichexport.files import written_whole
from ichexport.routes.route import Source
from ichexport.tensorrt_library import Library

Batch = tuple[int, int, int]
"""Smallest, most likely and largest number of slices of a request."""

_DATA_TYPES = {"FLOAT": "FP32", "HALF": "FP16"}
_FIRST_OUTPUTS = ("LOGIT", "SCORE")
"""What a member answers first, and what an engine of the whole ensemble does."""


class Plan(NamedTuple):
    """A serialised engine, and the layers with weights of its network by type."""

    content: bytes
    layers: dict[str, int]


def plan_from_onnx(
    library: Library,
    source: Source,
    precision: str,
    batch: Batch,
    configure: Callable[[Any, Any], None],
    timing_cache: Path | None = None,
) -> Plan:
    """Build the graph of `source`; `configure` gets the module and its builder config.

    Raises `PrecisionError` before the build where the network is not of `precision`, and
    `IchExportError` where the graph is not parsed, breaks the contract or is not built.
    """
    module = library.module
    builder = _builder(library)
    flags = 1 << int(module.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(flags)
    parser = module.OnnxParser(network, library.log)  # owns the weights until the plan is built
    if not parser.parse_from_file(str(source.graph)):
        raise _unparsed(library, parser, source.model)
    refuse_other_tensors(network, source)
    layers = layers_from_network(network)
    refuse_other_precision(layers, precision, f"{source.model} (the parsed network)")
    config = builder.create_builder_config()
    # TF32 would keep 10 of the 23 bits of what is asked for in f32.
    config.clear_flag(module.BuilderFlag.TF32)
    config.add_optimization_profile(_profile(builder, network, batch))
    configure(module, config)
    if timing_cache is not None:
        _use_timings(library, config, timing_cache)
    content = builder.build_serialized_network(network, config)
    if content is None:
        raise IchExportError(
            f"{library.name} cannot build {source.model} in {precision}: {library.log.told()}"
        )
    if timing_cache is not None:
        written_whole(timing_cache, bytes(config.get_timing_cache().serialize()))
    return Plan(bytes(content), layers)


def _builder(library: Library) -> Any:
    library.log.told()  # of an earlier build
    try:
        builder = library.module.Builder(library.log)
    except (RuntimeError, TypeError) as error:  # what a builder that is null comes as
        raise _no_builder(library) from error
    if builder is None:
        raise _no_builder(library)
    return builder


def _no_builder(library: Library) -> IchExportError:
    return IchExportError(
        f"{library.name} builds only where an NVIDIA driver and a GPU are: {library.log.told()}"
    )


def _unparsed(library: Library, parser: Any, model: str) -> IchExportError:
    error = parser.get_error(0)
    said = library.log.told()
    if not error.node_operator():
        return IchExportError(f"{library.name} cannot read the graph of {model}: {error.desc()}")
    return IchExportError(
        f"{library.name} cannot take the operator {error.node_operator()} of {model} (node "
        f"'{error.node_name()}'): {said}"
    )


def _profile(builder: Any, network: Any, batch: Batch) -> Any:
    profile = builder.create_optimization_profile()
    given = network.get_input(0)
    profile.set_shape(given.name, *((slices, *tuple(given.shape)[1:]) for slices in batch))
    return profile


def _use_timings(library: Library, config: Any, path: Path) -> None:
    blob = path.read_bytes() if path.is_file() else b""
    if not config.set_timing_cache(config.create_timing_cache(blob), ignore_mismatch=False):
        raise IchExportError(
            f"The timings of {path} were taken on another GPU or by another {library.name}; give "
            "another file."
        )


def refuse_other_tensors(network: Any, source: Source) -> None:
    """Raise `IchExportError` where a network's inputs or outputs are not the contract's.

    All dimensions but the first must be static, and the types those of the wire.
    """
    inputs = [network.get_input(i) for i in range(network.num_inputs)]
    outputs = [network.get_output(i) for i in range(network.num_outputs)]
    names = [tensor.name for tensor in (*inputs, *outputs)]
    if len(inputs) != 1 or names[0] != "HU" or not set(names) & set(_FIRST_OUTPUTS):
        raise IchExportError(
            f"The network of {source.model} has {', '.join(names)}; the contract wants HU and "
            "after it LOGIT or SCORE."
        )
    wanted = _tensors(source, outputs)
    for tensor in (*inputs, *outputs):
        spec, dtype = wanted.get(tensor.name), str(tensor.dtype).rpartition(".")[2]
        found = (_DATA_TYPES.get(dtype, dtype), tuple(tensor.shape))
        if spec is None or found != (spec.data_type, (-1, *spec.shape)):
            want = "no such tensor" if spec is None else f"{spec.data_type} {(-1, *spec.shape)}"
            raise IchExportError(
                f"{tensor.name} of {source.model} is {found[0]} {found[1]} in the network; the "
                f"contract wants {want}."
            )


def _tensors(source: Source, outputs: list[Any]) -> dict[str, TensorSpec]:
    """Every tensor that the contract knows an engine by, on the grid of the calibration slices."""
    slices_per_item, rows, columns = source.calibration.shape[1:]
    grid = Grid(rows, columns, slices_per_item=slices_per_item)
    members = next((max(1, t.shape[1]) for t in outputs if t.name == "MEMBER_SCORES"), 1)
    known = (
        hu_tensor(grid),
        *member_outputs(grid, with_brain=True),
        *ensemble_outputs(grid, members),
    )
    return {tensor.name: tensor for tensor in known}
