"""Engine or graph -> how many layers with weights calculate in which type.

A build that asked for one type and got another is refused here: a silent fall back to FP32 is
the commonest fault of such builds.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ichexport.casting import WEIGHTED
from ichexport.errors import PrecisionError

PRECISIONS = ("f32", "f16", "bf16", "int8", "fp8")
"""Types of arithmetic, as records and options name them."""

QUANTISED = ("int8", "fp8")
"""Those that need calibration, and leave some layers in f32 by design."""

_QUANTISED = {"INT8": "int8", "UINT8": "int8", "FLOAT8E4M3FN": "fp8"}
_TYPES = {"FLOAT": "f32", "FLOAT16": "f16", "BFLOAT16": "bf16"}
_OPTIMISED = {
    **dict.fromkeys((*WEIGHTED, "FusedConv", "FusedGemm", "FusedMatMul"), "f32"),
    **dict.fromkeys(("QLinearConv", "QGemm", "QLinearMatMul", "MatMulInteger"), "int8"),
}
"""ONNX Runtime's operators with weights on a processor."""
_RUNTIME_WEIGHTED = ("Convolution", "FullyConnected", "MatMul")
_RUNTIME_TYPES = {"i8": "int8", "u8": "int8"}
_NETWORK_WEIGHTED = ("CONVOLUTION", "DECONVOLUTION", "MATRIX_MULTIPLY")
_NETWORK_TYPES = {"FLOAT": "f32", "HALF": "f16", "BF16": "bf16", "INT8": "int8", "FP8": "fp8"}
_ENGINE_WEIGHTED = re.compile("conv|gemm|matmul|matrixmultiply|fullyconnected", re.IGNORECASE)
_ENGINE_TYPES = {
    "bf16": re.compile("bf16|bfloat16", re.IGNORECASE),
    "fp8": re.compile("fp8|float8|e4m3", re.IGNORECASE),
    "int8": re.compile("int8", re.IGNORECASE),
    "f16": re.compile("fp16|half|float16", re.IGNORECASE),
    "f32": re.compile("fp32|float", re.IGNORECASE),
}
"""In words of the engine inspector; the first that fits, since `bfloat16` holds `float16`."""


def layers_from_onnx(path: Path) -> dict[str, int]:
    """Count convolutions and matrix products of a graph by the type of what enters them.

    A layer whose data and weights come from a DequantizeLinear counts as the type they are stored
    in: that is how engines read a Q/DQ graph.
    """
    return dict(Counter(stored for _, stored in _layers_of(path)))


def layers_left_in_f32(path: Path) -> list[str]:
    """Names of the layers with weights that a graph leaves in f32, in its order."""
    return [name for name, stored in _layers_of(path) if stored == "f32"]


def _layers_of(path: Path) -> Iterator[tuple[str, str]]:
    import onnx

    model = onnx.shape_inference.infer_shapes(onnx.load(path))
    makers = {output: node for node in model.graph.node for output in node.output}
    types = {
        value.name: value.type.tensor_type.elem_type
        for value in (*model.graph.value_info, *model.graph.input, *model.graph.output)
    }
    types |= {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type in WEIGHTED:
            name = node.input[0]
            both = [makers[each] for each in node.input[:2] if each in makers]
            if [maker.op_type for maker in both] == ["DequantizeLinear"] * 2:
                name = both[0].input[0]
            stored = onnx.TensorProto.DataType.Name(types.get(name, 0))
            yield node.name, _QUANTISED.get(stored, _TYPES.get(stored, stored.lower()))


def layers_from_onnxruntime(path: Path) -> dict[str, int]:
    """Count convolutions and matrix products of a graph as ONNX Runtime calculates them.

    What it cannot calculate in INT8 it calculates in f32 between Q and DQ, and says nothing.
    """
    import onnx

    from ichexport.engines import optimised_by_onnxruntime

    with tempfile.TemporaryDirectory() as scratch:
        optimised = Path(scratch) / path.name
        optimised_by_onnxruntime(path, optimised)
        nodes = onnx.load(optimised).graph.node
    counts = Counter(_OPTIMISED[node.op_type] for node in nodes if node.op_type in _OPTIMISED)
    return dict(counts)


def layers_from_openvino(path: Path, precision: str) -> dict[str, int]:
    """Compile a graph for the processor and count its convolutions by the type they run in."""
    from ichexport.engines import compiled_by_openvino

    counts: Counter[str] = Counter()
    for node in compiled_by_openvino(path, precision).get_runtime_model().get_ops():
        facts = node.get_rt_info()
        if facts["layerType"].value in _RUNTIME_WEIGHTED:
            stored = facts["runtimePrecision"].value
            counts[_RUNTIME_TYPES.get(stored, stored)] += 1
    return dict(counts)


def layers_from_network(network: Any) -> dict[str, int]:
    """Count the layers with weights of a network that TensorRT or TensorRT-RTX has parsed.

    Networks are strongly typed, so the engine calculates as counted here. A layer whose data come
    from a DequantizeLayer counts as the type it is stored in.
    """
    layers = [network.get_layer(i) for i in range(network.num_layers)]
    makers = {layer.get_output(i).name: layer for layer in layers for i in range(layer.num_outputs)}
    counts: Counter[str] = Counter()
    for layer in layers:
        if _enum_name(layer.type) in _NETWORK_WEIGHTED:
            given = layer.get_input(0)
            maker = makers.get(given.name)
            if maker is not None and _enum_name(maker.type) == "DEQUANTIZE":
                given = maker.get_input(0)
            stored = _enum_name(given.dtype)
            counts[_NETWORK_TYPES.get(stored, stored.lower())] += 1
    return dict(counts)


def layers_from_inspector(information: str) -> dict[str, int]:
    """Count the layers with weights of an engine from its inspector's JSON.

    Only an engine that was built with detailed verbosity tells types; another one gives none, and
    so does one whose kernels hide several layers each.
    """
    counts: Counter[str] = Counter()
    for layer in json.loads(information).get("Layers", []):
        if isinstance(layer, dict) and (stored := _engine_type(layer)):
            counts[stored] += 1
    return dict(counts)


def _engine_type(layer: Mapping[str, Any]) -> str | None:
    weights = layer.get("Weights")
    if isinstance(weights, dict) and weights.get("Count", 1):
        words = str(weights.get("Type", ""))
    elif _ENGINE_WEIGHTED.search(str(layer.get("LayerType", ""))) and layer.get("Inputs"):
        words = str(layer["Inputs"][0].get("Format/Datatype", ""))
    else:
        return None
    return next((name for name, pattern in _ENGINE_TYPES.items() if pattern.search(words)), None)


def _enum_name(value: Any) -> str:
    return str(value).rpartition(".")[2]


def refuse_other_precision(layers: Mapping[str, int], precision: str, what: str) -> None:
    """Raise `PrecisionError` where not most of the layers with weights are of `precision`.

    Quantised engines keep a few layers in a higher type by design (depthwise ones gain nothing);
    FP16 and BF16 have no such reason, and there each layer must be of the type.
    """
    total, asked = sum(layers.values()), layers.get(precision, 0)
    least = total / 2 if precision in QUANTISED else total
    if total == 0 or asked < least:
        found = ", ".join(f"{count} {name}" for name, count in sorted(layers.items())) or "none"
        raise PrecisionError(
            f"{what} was asked for {precision}; of its {total} layers with weights only {asked} "
            f"are ({found}). It was not placed in the repository."
        )
