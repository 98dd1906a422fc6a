"""ONNX -> engines of TensorRT-RTX: real builds of every encoder on a machine without a GPU."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from onnx import TensorProto, helper

from ichexport.audit import layers_from_network, layers_from_onnx
from ichexport.cli import main
from ichexport.errors import CannotRunHere, IchExportError, PrecisionError
from ichexport.manifest import sha256_from_file
from ichexport.members import ENCODERS
from ichexport.plans import plan_from_onnx
from ichexport.repository import write_manifest
from ichexport.routes import tensorrt_rtx as route
from ichexport.routes.route import Source
from ichexport.tensorrt_library import tensorrt_rtx
from ichexport.typed import typed_graph

HU = NDArray[np.float16]


@pytest.fixture
def typed(tmp_path: Path, small_hu: HU) -> Callable[[Path], tuple[Path, str]]:
    """A graph in f16, or as it is where no such graph can be made."""

    def graph(released: Path) -> tuple[Path, str]:
        path = tmp_path / "typed.onnx"
        try:
            typed_graph(released, "f16", path, small_hu)
        except IchExportError:
            return released, "f32"
        return path, "f16"

    return graph


@pytest.mark.parametrize("annotation", ["strong", "weak"])
@pytest.mark.parametrize("encoder", ENCODERS)
def test_every_encoder_becomes_an_engine(
    encoder_graph: Callable[[str, str], Path],
    typed: Callable[[Path], tuple[Path, str]],
    small_hu: HU,
    tmp_path: Path,
    encoder: str,
    annotation: str,
) -> None:
    graph, precision = typed(encoder_graph(encoder, annotation))
    built = route.build(
        Source(encoder, graph, None, small_hu), tmp_path, route.Options(precision=precision)
    )
    assert built.engine == tmp_path / "model.rtx"
    # The weights are in it, and no layer was lost or took another type.
    assert built.engine.stat().st_size > graph.stat().st_size / 2
    assert built.layers == {precision: sum(layers_from_onnx(graph).values())}
    newer = ["8.6", "8.9", "12.0", "12.1"]
    covered = ["7.5", *newer] if precision == "f16" else newer
    assert built.device == {"compute_capabilities": covered}


@pytest.mark.parametrize(
    ("precision", "covered"),
    [("int8", ["7.5", "8.6", "8.9", "12.0", "12.1"]), ("fp8", ["8.9", "12.0", "12.1"])],
)
def test_quantised_graphs_become_engines(
    small_graph: Path, small_hu: HU, tmp_path: Path, precision: str, covered: list[str]
) -> None:
    graph = tmp_path / "quantised.onnx"
    typed_graph(small_graph, precision, graph, small_hu)
    source = Source("ich_any", graph, None, small_hu)
    built = route.build(source, tmp_path, route.Options(precision=precision))
    assert built.engine.stat().st_size > graph.stat().st_size / 2
    assert built.layers == layers_from_onnx(graph)
    assert built.layers[precision] == sum(built.layers.values()) - 2
    assert built.device == {"compute_capabilities": covered}


def test_an_engine_of_another_precision_is_refused_before_it_is_built(
    small_graph: Path, small_hu: HU, tmp_path: Path
) -> None:
    with pytest.raises(PrecisionError, match=r"asked for f16; .* only 0 are \(\d+ f32\)"):
        route.build(Source("ich_any", small_graph, None, small_hu), tmp_path, route.Options())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"precision": "f64"}, "not in f64"),
        ({"compute_capabilities": ("9.0",)}, r"covers .* 7.5, 8.6, 8.9, 12.0, 12.1 .* not 9.0"),
        ({"precision": "bf16", "compute_capabilities": ("7.5",)}, "in bf16, not 7.5"),
        ({"precision": "fp8", "compute_capabilities": ("8.6",)}, "in fp8, not 8.6"),
        ({"batch": (1, 8, 32)}, "end at 64"),
        ({"batch": (2, 8, 64)}, "begin at 1"),
        ({"batch": (1, 80, 64)}, "rise"),
        ({"builder_optimisation_level": 6}, "choose 0 to 5"),
    ],
)
def test_options_that_cannot_be_built_are_refused(options: dict[str, Any], match: str) -> None:
    with pytest.raises(IchExportError, match=match):
        route.Options(**options)


def test_an_engine_for_the_older_gpus_alone_does_not_offer_their_bf16() -> None:
    assert "7.5" in route.Options(precision="f16").covered
    assert "7.5" not in route.Options(precision="bf16").covered


def edited(small_graph: Path, folder: Path, edit: Callable[[Any], None]) -> Path:
    model = onnx.load(small_graph)
    edit(model.graph)
    path = folder / "edited.onnx"
    onnx.save(model, path)
    return path


def unknown_operator(graph: Any) -> None:
    node = next(node for node in graph.node if node.op_type == "Sigmoid")
    node.op_type, node.name = "NoSuchOperator", "the_node"


def logit_in_half(graph: Any) -> None:
    graph.node.append(helper.make_node("Cast", ["LOGIT"], ["HALF"], to=TensorProto.FLOAT16))
    for node in graph.node:
        node.input[:] = ["logit32" if name == "LOGIT" else name for name in node.input]
        node.output[:] = [
            {"LOGIT": "logit32", "HALF": "LOGIT"}.get(name, name) for name in node.output
        ]
    graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT16


def another_name(graph: Any) -> None:
    graph.node.append(helper.make_node("Identity", ["MASK"], ["LESION"]))
    graph.output[1].name = "LESION"


def rows_that_vary(graph: Any) -> None:
    graph.input[0].type.tensor_type.shape.dim[2].dim_param = "R"


@pytest.mark.parametrize(
    ("edit", "match"),
    [
        (unknown_operator, r"operator NoSuchOperator of ich_any \(node 'the_node'\)"),
        (logit_in_half, r"LOGIT of ich_any is FP16 .*wants FP32 \(-1, 1\)"),
        (another_name, "LESION of ich_any .*wants no such tensor"),
        (rows_that_vary, r"HU of ich_any is FP16 \(-1, 1, -1, 64\)"),
    ],
)
def test_graphs_that_break_the_contract_are_refused(
    small_graph: Path, small_hu: HU, tmp_path: Path, edit: Callable[[Any], None], match: str
) -> None:
    source = Source("ich_any", edited(small_graph, tmp_path, edit), None, small_hu)
    with pytest.raises(IchExportError, match=match):
        route.build(source, tmp_path / "engine", route.Options(precision="f32"))


def test_a_file_that_is_no_graph_is_refused(small_hu: HU, tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"no graph")
    source = Source("ich_any", tmp_path / "bad.onnx", None, small_hu)
    with pytest.raises(IchExportError, match="cannot read the graph of ich_any"):
        route.build(source, tmp_path, route.Options(precision="f32"))


def test_a_build_that_fails_tells_what_the_builder_said(small_graph: Path, small_hu: HU) -> None:
    def for_a_gpu_that_is_absent(module: Any, config: Any) -> None:
        config.num_compute_capabilities = 1
        config.set_compute_capability(module.ComputeCapability.CURRENT, 0)

    source = Source("ich_any", small_graph, None, small_hu)
    try:
        route.gpu_here()
    except CannotRunHere:
        with pytest.raises(IchExportError, match=r"cannot build ich_any in f32: .*CUDA driver"):
            plan_from_onnx(tensorrt_rtx(), source, "f32", (1, 8, 64), for_a_gpu_that_is_absent)
    else:
        pytest.skip("an NVIDIA GPU is here")


def test_a_convolution_counts_as_the_type_that_its_data_are_stored_in() -> None:
    library = tensorrt_rtx()
    network = library.module.Builder(library.log).create_network(1)
    parser = library.module.OnnxParser(network, library.log)
    assert parser.parse(quantised_convolution().SerializeToString())
    assert layers_from_network(network) == {"int8": 1, "f16": 1}


def quantised_convolution() -> Any:
    """HU -> an INT8 convolution -> one in FP16."""
    names = [("HU", 8), ("LOGIT", 8)]
    given, made = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT16, ["N", depth, 16, 16])
        for name, depth in names
    )
    weights = helper.make_tensor("w", TensorProto.INT8, [8, 8, 3, 3], [1] * 576)
    plain = helper.make_tensor("v", TensorProto.FLOAT16, [8, 8, 1, 1], np.ones(64, np.float16))
    scale = helper.make_tensor("s", TensorProto.FLOAT16, [], np.array([0.1], np.float16))
    nodes = [
        helper.make_node("QuantizeLinear", ["HU", "s"], ["q"], output_dtype=TensorProto.INT8),
        helper.make_node("DequantizeLinear", ["q", "s"], ["dq"]),
        helper.make_node("DequantizeLinear", ["w", "s"], ["dw"]),
        helper.make_node("Conv", ["dq", "dw"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["c", "v"], ["LOGIT"]),
    ]
    graph = helper.make_graph(nodes, "quantised", [given], [made], [weights, plain, scale])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def built(repository: Path, *options: str) -> Result:
    arguments = ["build", "--target", "tensorrt-rtx", "--no-cache", "--repository", str(repository)]
    return CliRunner().invoke(main, [*arguments, *options])


def test_the_command_places_engine_and_record_and_says_that_it_never_ran(small_copy: Path) -> None:
    answer = built(small_copy, "--precision", "f32", "--compute-capability", "8.9")
    assert answer.exit_code == 0, answer.stderr
    engine = small_copy / "ich_any" / "1" / "model.rtx"
    record = json.loads(engine.with_name("model.rtx.build.json").read_text())
    assert record["engine_sha256"] == sha256_from_file(engine)
    assert record["device"] == {"compute_capabilities": ["8.9"]}
    assert record["layers"]["read_from"] == "the parsed network"
    assert record["versions"].keys() == {"tensorrt-rtx-cu13"}
    assert (record["parity"]["engine"], record["parity"]["compared"]) == ("not_run", "graph")
    assert "GPU" in record["parity"]["why_not"]
    assert "ich_any/1/model.rtx" in (small_copy / "MANIFEST.sha256").read_text()


def test_refused_builds_leave_the_repository_as_it_was(
    small_copy: Path, contents: Callable[[Path], dict[str, bytes]]
) -> None:
    graph = small_copy / "ich_any" / "1" / "model.onnx"
    onnx.save(onnx.load(edited(graph, small_copy.parent, unknown_operator)), graph)
    record_path = graph.with_name("model.onnx.build.json")
    record = json.loads(record_path.read_text())
    record_path.write_text(json.dumps({**record, "engine_sha256": sha256_from_file(graph)}))
    fused_path = small_copy / "ich_fused_engine" / "1" / "model.onnx.build.json"
    fused = json.loads(fused_path.read_text())
    fused_path.write_text(json.dumps({**fused, "member_graphs_sha256": [sha256_from_file(graph)]}))
    write_manifest(small_copy)
    before = contents(small_copy)
    for options, said in (
        (["--precision", "f32"], "NoSuchOperator"),
        (["--precision", "f32", "--compute-capability", "9.0"], "not 9.0"),
        (["--precision", "f32", "--timing-cache", "t"], "--timing-cache means nothing"),
    ):
        answer = built(small_copy, *options)
        assert (answer.exit_code, answer.stderr.count("\n")) == (1, 1), answer.stderr
        assert said in answer.stderr
        assert contents(small_copy) == before
