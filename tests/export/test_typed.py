"""f32 graph -> FP16 and BF16: which nodes change their type, and that nothing else changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import nn

from ichcore import Grid
from ichexport.audit import layers_from_onnx
from ichexport.engines import Runner, onnxruntime_from_onnx
from ichexport.errors import IchExportError
from ichexport.graph import onnx_from_member
from ichexport.members import Member, options_from_encoder
from ichexport.rounding import rounding_graph
from ichexport.typed import typed_graph
from ichexport.weights import released_from_trained

GRID = Grid(rows=64, columns=64, pixel_spacing_mm=4.0)
TOLERANCES = {"f16": 0.05, "bf16": 0.4}
"""Of logits that differ by about 1 from slice to slice."""

HU = NDArray[np.float16]


@pytest.fixture(
    scope="module",
    params=[
        ("mobilenet_v2", "weak", 53),
        ("vgg19", "strong", 25),
        ("densenet121", "strong", 129),
        ("inceptionresnetv2", "weak", 245),
    ],
    ids=lambda param: f"{param[0]}-{param[1]}",
)
def encoded(
    request: pytest.FixtureRequest, small_hu: HU, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, int]:
    """The graph of a member whose batch norms have seen heads, and its layers with weights."""
    encoder, annotation, layers = request.param
    torch.manual_seed(5)
    member = Member(options_from_encoder(encoder, annotation=annotation, grid=GRID)).train()
    for module in member.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        member(torch.from_numpy(small_hu))
    path = tmp_path_factory.mktemp(encoder) / "model.onnx"
    onnx_from_member(released_from_trained(member.eval()), path)
    return path, layers


@pytest.fixture
def cast(tmp_path: Path, small_hu: HU) -> Callable[[Path, str], Path]:
    """Casts a graph."""

    def typed(graph: Path, precision: str) -> Path:
        path = tmp_path / f"{precision}.onnx"
        typed_graph(graph, precision, path, small_hu)
        return path

    return typed


def rounded(graph: Path) -> Runner:
    """A typed graph, run with the rounding of its type."""
    twin = graph.with_suffix(".twin.onnx")
    rounding_graph(graph, twin)
    return onnxruntime_from_onnx(twin)


def ends(graph: Path) -> dict[str, int]:
    model = onnx.load(graph)
    values = (*model.graph.input, *model.graph.output)
    return {value.name: value.type.tensor_type.elem_type for value in values}


def largest(a: Any, b: Any) -> float:
    return float(np.abs(a.astype(np.float32) - b.astype(np.float32)).max())


def test_every_encoder_calculates_in_the_type_and_says_the_same(
    encoded: tuple[Path, int], cast: Callable[..., Path], small_hu: HU
) -> None:
    graph, layers = encoded
    assert layers_from_onnx(graph) == {"f32": layers}
    wanted = onnxruntime_from_onnx(graph)(small_hu)["LOGIT"]
    for precision, tolerance in TOLERANCES.items():
        typed = cast(graph, precision)
        assert layers_from_onnx(typed) == {precision: layers}
        assert ends(typed) == ends(graph)
        # Not the same graph once more: rounding shows.
        assert 0 < largest(rounded(typed)(small_hu)["LOGIT"], wanted) < tolerance
    f16 = onnxruntime_from_onnx(cast(graph, "f16"))(small_hu)["LOGIT"]
    assert largest(f16, wanted) < TOLERANCES["f16"]


@pytest.mark.parametrize("precision", ["f16", "bf16"])
def test_windows_and_scores_stay_in_f32(
    small_graph: Path, cast: Callable[..., Path], precision: str
) -> None:
    typed = onnx.shape_inference.infer_shapes(onnx.load(cast(small_graph, precision)))
    types = {value.name: value.type.tensor_type.elem_type for value in typed.graph.value_info}
    seen = {
        node.op_type: onnx.TensorProto.DataType.Name(types[node.output[0]])
        for node in typed.graph.node
        if node.op_type in ("AveragePool", "Div", "Log", "Sigmoid", "Relu")
    }
    low = {"f16": "FLOAT16", "bf16": "BFLOAT16"}[precision]
    assert seen == {
        "AveragePool": "FLOAT", "Div": "FLOAT", "Log": "FLOAT", "Sigmoid": "FLOAT", "Relu": low,
    }  # fmt: skip


def test_a_graph_of_two_members_is_cast_in_both(
    small_graph: Path, cast: Callable[..., Path], tmp_path: Path, small_hu: HU
) -> None:
    path = tmp_path / "two.onnx"
    both = [
        onnx.compose.add_prefix(onnx.load(small_graph), f"{name}/", rename_inputs=False)
        for name in ("a", "b")
    ]
    for field in ("node", "initializer", "output"):
        getattr(both[0].graph, field).extend(getattr(both[1].graph, field))
    del both[0].graph.value_info[:]
    onnx.save(both[0], path)
    typed = cast(path, "f16")
    assert layers_from_onnx(typed) == {
        "f16": 2 * layers_from_onnx(small_graph)["f32"],
    }
    wanted, found = onnxruntime_from_onnx(small_graph)(small_hu), rounded(typed)(small_hu)
    for name in ("a/LOGIT", "b/LOGIT"):
        assert largest(found[name], wanted["LOGIT"]) < TOLERANCES["f16"]


def changed(graph: Path, path: Path, values: Callable[[NDArray[Any]], NDArray[Any]]) -> str:
    """Write the graph with its largest weight changed; gives the weight's name."""
    model = onnx.load(graph)
    tensor = max(model.graph.initializer, key=lambda each: int(np.prod(each.dims)))
    name = tensor.name
    tensor.CopyFrom(numpy_helper.from_array(values(numpy_helper.to_array(tensor)), name))
    path.write_bytes(model.SerializeToString())
    return str(name)


def test_a_typed_graph_with_another_weight_is_told_apart(
    small_graph: Path, cast: Callable[..., Path], tmp_path: Path, small_hu: HU
) -> None:
    typed = cast(small_graph, "f16")
    wanted = onnxruntime_from_onnx(small_graph)(small_hu)["LOGIT"]
    assert largest(rounded(typed)(small_hu)["LOGIT"], wanted) < TOLERANCES["f16"]
    changed(typed, tmp_path / "other.onnx", lambda values: values[::-1].copy())
    other = rounded(tmp_path / "other.onnx")(small_hu)["LOGIT"]
    assert largest(other, wanted) > TOLERANCES["f16"]


def test_a_weight_beyond_fp16_is_refused_by_name_and_fits_into_bf16(
    small_graph: Path, cast: Callable[..., Path], tmp_path: Path
) -> None:
    model = onnx.load(small_graph)
    bias = next(each for each in model.graph.initializer if each.name == "head.bias")
    bias.CopyFrom(numpy_helper.from_array(np.array([1e5, 0], np.float32), "head.bias"))
    onnx.save(model, tmp_path / "large.onnx")
    with pytest.raises(
        IchExportError, match=r"head\.bias reaches 100000, .* beyond the range of f"
    ):
        cast(tmp_path / "large.onnx", "f16")
    assert not (tmp_path / "f16.onnx").exists()
    assert layers_from_onnx(cast(tmp_path / "large.onnx", "bf16")).keys() == {"bf16"}


def test_an_operator_without_the_type_is_refused(
    small_graph: Path, cast: Callable[..., Path], tmp_path: Path
) -> None:
    model = onnx.load(small_graph)
    relu = next(node for node in model.graph.node if node.op_type == "Relu")
    relu.op_type = "Det"  # takes float32 and float64, and no low type
    path = tmp_path / "det.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(IchExportError, match="cannot calculate in bf16"):
        cast(path, "bf16")
