"""f32 graph -> INT8 and FP8 by Q/DQ: what is quantised, how runtimes take it, what is refused."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from onnx import numpy_helper

from ichexport.audit import (
    layers_from_onnx,
    layers_from_onnxruntime,
    layers_from_openvino,
    layers_left_in_f32,
    refuse_other_precision,
)
from ichexport.cli import main
from ichexport.engines import onnxruntime_from_onnx, openvino_from_onnx
from ichexport.errors import IchExportError, PrecisionError
from ichexport.repository import check_repository
from ichexport.rounding import rounding_graph
from ichexport.typed import typed_graph

HU = NDArray[np.float16]
TOLERANCE = 0.5
"""Of logits that differ by about 1 from slice to slice, in a network nobody trained."""


@pytest.fixture
def quantised(tmp_path: Path, small_hu: HU) -> Callable[..., Path]:
    """Quantises a graph."""

    def typed(graph: Path, precision: str = "int8", target: str = "openvino") -> Path:
        path = tmp_path / f"{target}-{precision}.onnx"
        typed_graph(graph, precision, path, small_hu, target)
        return path

    return typed


def largest(a: Any, b: Any) -> float:
    return float(np.abs(a.astype(np.float32) - b.astype(np.float32)).max())


def convolutions(graph: Path) -> list[Any]:
    return [node for node in onnx.load(graph).graph.node if node.op_type == "Conv"]


@pytest.mark.parametrize(
    ("encoder", "annotation", "left"),
    [("mobilenet_v2", "weak", 2), ("densenet121", "strong", 2)],
)
def test_the_middle_of_every_encoder_calculates_in_int8(
    encoder_graph: Callable[[str, str], Path],
    quantised: Callable[..., Path],
    encoder: str,
    annotation: str,
    left: int,
) -> None:
    graph = encoder_graph(encoder, annotation)
    total = sum(layers_from_onnx(graph).values())
    path = quantised(graph)
    assert layers_from_onnx(path) == {"f32": left, "int8": total - left}
    assert path.stat().st_size < 0.7 * graph.stat().st_size  # a byte a weight, not two
    found = layers_from_openvino(path, "int8")
    assert found["int8"] >= 0.9 * (total - left)


def test_the_first_and_the_last_layer_stay_in_f32(
    small_graph: Path, quantised: Callable[..., Path]
) -> None:
    nodes = convolutions(small_graph)
    for target in ("openvino", "onnxruntime", "tensorrt"):
        path = quantised(small_graph, target=target)
        assert layers_left_in_f32(path) == [nodes[0].name, nodes[-1].name]
        ends = [
            (v.name, v.type) for v in (*onnx.load(path).graph.input, *onnx.load(path).graph.output)
        ]
        released = onnx.load(small_graph).graph
        assert ends == [(v.name, v.type) for v in (*released.input, *released.output)]


def test_weights_have_a_scale_for_each_channel_and_activations_one(
    small_graph: Path, quantised: Callable[..., Path]
) -> None:
    graph = onnx.load(quantised(small_graph, target="tensorrt")).graph
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    scales = {n.input[0]: stored[n.input[1]] for n in graph.node if n.op_type == "DequantizeLinear"}
    weights = {name: stored[name] for name in scales if name in stored}
    assert len(weights) == layers_from_onnx(quantised(small_graph, target="tensorrt"))["int8"]
    for name, values in weights.items():
        assert values.dtype == np.int8
        assert scales[name].shape == (len(values),)
        # Each channel uses the whole range, on both sides of a zero at 0.
        assert (np.abs(values.reshape(len(values), -1).astype(int)).max(axis=1) == 127).all()
    assert {scales[name].shape for name in scales.keys() - weights.keys()} == {()}
    zeros = [stored[n.input[2]] for n in graph.node if n.op_type.endswith("eLinear")]
    assert not any(zero.any() for zero in zeros)


def test_openvino_and_onnxruntime_agree_on_one_graph(
    small_graph: Path, quantised: Callable[..., Path], small_hu: HU
) -> None:
    # Where OpenVINO pads a signed input itself, its INT8 convolutions are wrong by far more.
    path = quantised(small_graph)
    wanted = onnxruntime_from_onnx(small_graph)(small_hu)
    by_both = onnxruntime_from_onnx(path)(small_hu), openvino_from_onnx(path, "int8")(small_hu)
    for name in ("LOGIT", "MASK", "BRAIN"):
        assert 0 < largest(by_both[0][name], wanted[name]) < TOLERANCE
        assert largest(by_both[0][name], by_both[1][name]) < 0.15


def test_onnxruntime_calculates_its_own_graph_in_int8_and_the_symmetric_one_not(
    small_graph: Path, quantised: Callable[..., Path], small_hu: HU
) -> None:
    own = quantised(small_graph, target="onnxruntime")
    layers = layers_from_onnxruntime(own)
    assert layers["int8"] >= sum(layers.values()) - 2
    wanted = onnxruntime_from_onnx(small_graph)(small_hu)["LOGIT"]
    assert 0 < largest(onnxruntime_from_onnx(own)(small_hu)["LOGIT"], wanted) < TOLERANCE
    symmetric = layers_from_onnxruntime(quantised(small_graph, target="tensorrt"))
    with pytest.raises(PrecisionError, match=r"asked for int8; of its .* only 0 are"):
        refuse_other_precision(symmetric, "int8", "ich_any")


def test_fp8_is_compared_as_a_twin_that_rounds(
    small_graph: Path, quantised: Callable[..., Path], tmp_path: Path, small_hu: HU
) -> None:
    path = quantised(small_graph, "fp8", "tensorrt")
    layers = layers_from_onnx(path)
    assert layers == {"f32": 2, "fp8": sum(layers.values()) - 2}
    rounding_graph(path, tmp_path / "twin.onnx")
    found = onnxruntime_from_onnx(tmp_path / "twin.onnx")(small_hu)["LOGIT"]
    wanted = onnxruntime_from_onnx(small_graph)(small_hu)["LOGIT"]
    assert 0 < largest(found, wanted) < 2 * TOLERANCE


def test_a_graph_without_inner_convolutions_is_refused(
    small_graph: Path, quantised: Callable[..., Path], tmp_path: Path
) -> None:
    model = onnx.load(small_graph)
    first = next(node for node in model.graph.node if node.op_type == "Conv")
    kept = [n for n in model.graph.node if n.op_type != "Conv" or n.name == first.name]
    del model.graph.node[:]
    model.graph.node.extend(kept)
    path = tmp_path / "one.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(IchExportError, match="no convolution to calculate in int8"):
        quantised(path)
    assert not (tmp_path / "openvino-int8.onnx").exists()


def test_slices_that_leave_a_layer_without_a_range_are_refused(
    small_graph: Path, tmp_path: Path, small_hu: HU
) -> None:
    model = onnx.load(small_graph)
    node = next(node for node in model.graph.node if node.op_type == "Conv")
    for name in node.input[1:]:
        for tensor in model.graph.initializer:
            if tensor.name.removesuffix("_fp16") == name:
                values = np.zeros_like(numpy_helper.to_array(tensor))
                tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    onnx.save(model, tmp_path / "dead.onnx")
    with pytest.raises(IchExportError, match=r"leave '.*' at 0 to 0, which is no range"):
        typed_graph(tmp_path / "dead.onnx", "int8", tmp_path / "int8.onnx", small_hu)
    with pytest.raises(IchExportError, match="no slice to calibrate on"):
        typed_graph(small_graph, "int8", tmp_path / "int8.onnx", small_hu[:0])
    assert not (tmp_path / "int8.onnx").exists()


def built(repository: Path, target: str, *options: object) -> Result:
    command = ["build", "--target", target, "--precision", "int8", "--no-cache"]
    arguments = [*command, "--repository", repository, *options]
    return CliRunner().invoke(main, [str(each) for each in arguments])


def test_the_command_places_a_graph_for_onnxruntime_with_its_record(copy: Path) -> None:
    answer = built(copy, "onnxruntime", "--model", "ich_any")
    assert answer.exit_code == 0, answer.stderr
    check_repository(copy)
    engine = copy / "ich_any" / "1" / "model.int8.onnxruntime.onnx"
    record = json.loads(engine.with_name(f"{engine.name}.build.json").read_text())
    assert record["layers"]["count"] == {"f32": 2, "int8": 44}
    assert len(record["left_in_f32"]) == 2
    assert record["calibration"]["slices"] == 8
    assert record["parity"]["engine"] == "passed"
    difference = record["parity"]["difference"]
    assert 1e-4 < difference["largest_score_difference"] <= difference["limits"]["score"]
    assert set(difference["decisions_changed"].values()) == {0}


@pytest.mark.parametrize("target", ["openvino", "onnxruntime"])
def test_a_member_that_int8_would_change_is_refused(
    small_copy: Path, contents: Callable[[Path], dict[str, bytes]], target: str
) -> None:
    before = contents(small_copy)  # its member was never trained, and its scores were spread
    answer = built(small_copy, target)
    assert (answer.exit_code, answer.stderr.count("\n")) == (8, 1), answer.stderr
    assert "changes a score by 0." in answer.stderr
    assert "build with a higher precision" in answer.stderr
    assert contents(small_copy) == before


def spoilt(hu: HU, how: str) -> HU:
    return {
        "empty": hu[:0],
        "windowed": np.clip(hu / 80, 0, 1).astype(np.float16),
        "out of range": np.where(hu > 600, np.float16(3000), hu),
        "cropped": hu[..., :32],
        "air": np.full_like(hu, -1000),
    }[how]


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("empty", "holds no slice"),
        ("windowed", "whole Hounsfield units"),
        ("out of range", "spans -1"),
        ("cropped", "grid wants float16"),
        ("air", "no head"),
    ],
)
def test_calibration_data_that_are_none_leave_the_repository_as_it_was(
    small_copy: Path,
    contents: Callable[[Path], dict[str, bytes]],
    small_hu: HU,
    tmp_path: Path,
    how: str,
    said: str,
) -> None:
    content = io.BytesIO()
    np.savez(content, HU=spoilt(small_hu, how))
    (tmp_path / "calibration.npz").write_bytes(content.getvalue())
    before = contents(small_copy)
    answer = built(small_copy, "openvino", "--calibration", tmp_path / "calibration.npz")
    assert (answer.exit_code, answer.stderr.count("\n")) == (1, 1), answer.stderr
    assert said in answer.stderr
    assert contents(small_copy) == before
    assert [path.name for path in small_copy.parent.iterdir()] == ["repository"]
