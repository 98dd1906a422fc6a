"""The GPU benchmark as far as a processor goes: what is counted, what is refused, what is told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner
from onnx import TensorProto, helper
from torch.utils.flop_counter import FlopCounterMode

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def checkout_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(CHECKOUT))


def test_operations_of_a_released_graph_are_those_that_torch_counts() -> None:
    from benchmarks.roofline import layers_from_onnx

    from ichexport.engine import member_of

    member = member_of(CHECKOUT / "model_repository", "ich_any")
    layers = layers_from_onnx(CHECKOUT / "model_repository/ich_any/1/model.onnx", 2)
    with FlopCounterMode(display=False) as counted, torch.inference_mode():
        member(torch.zeros((2, 1, 256, 256), dtype=torch.float16))
    assert sum(layer.operations for layer in layers) == counted.get_total_flops()


def gemm(folder: Path) -> Path:
    given, made = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", width])
        for name, width in (("x", 10), ("y", 4))
    )
    weights = helper.make_tensor("w", TensorProto.FLOAT, [10, 4], [0.0] * 40)
    node = helper.make_node("Gemm", ["x", "w"], ["y"], name="gemm")
    graph = helper.make_graph([node], "g", [given], [made], [weights])
    onnx.save(helper.make_model(graph), folder / "gemm.onnx")
    return folder / "gemm.onnx"


def test_the_roofline_is_the_longer_of_arithmetic_and_memory(tmp_path: Path) -> None:
    from benchmarks.roofline import Ceilings, Layer, layers_from_onnx, least_seconds

    layers = layers_from_onnx(gemm(tmp_path), 3)
    assert layers == [Layer("gemm", 2 * 3 * 4 * 10, 3 * 10 + 40 + 3 * 4)]
    assert least_seconds(layers, "f16", Ceilings(240.0, 1e9)) == 1.0
    assert least_seconds(layers, "f16", Ceilings(1e9, 164.0)) == 1.0
    assert least_seconds(layers, "f32", Ceilings(1e9, 164.0)) == 2.0


def test_shapes_that_are_not_known_are_refused(tmp_path: Path) -> None:
    from benchmarks.roofline import layers_from_onnx

    model = onnx.load(gemm(tmp_path))
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "width"
    onnx.save(model, tmp_path / "open.onnx")
    with pytest.raises(ValueError, match="shapes around gemm"):
        layers_from_onnx(tmp_path / "open.onnx", 3)


def answers(**changes: Any) -> dict[str, Any]:
    logit = np.array([[-2.0], [0.0], [2.0]], dtype=np.float32)
    return {"LOGIT": logit, "MASK": np.zeros((3, 4, 4), np.float16), **changes}


def test_wrong_answers_get_no_times() -> None:
    from benchmarks.errors import BlindProof, Disagreement
    from benchmarks.gpu import refuse_other_answers

    right = answers()
    assert refuse_other_answers(right, right, "f32") == {"LOGIT": 0.0, "MASK": 0.0}
    swapped = answers(LOGIT=right["LOGIT"][::-1])
    for wrong, what in ((swapped, "LOGIT"), (answers(MASK=right["MASK"] + np.nan), "MASK")):
        with pytest.raises(Disagreement, match=f"{what} differs"):
            refuse_other_answers(wrong, right, "bf16")
    with pytest.raises(BlindProof, match="any order"):
        refuse_other_answers(right, answers(LOGIT=np.zeros((3, 1), np.float32)), "f32")


def test_lower_precisions_of_a_network_without_training_stay_within_the_tolerances() -> None:
    from benchmarks.gpu import refuse_other_answers
    from benchmarks.gpu_engines import lively_member

    from ichcore import Grid
    from ichexport.parity import torch_from_member
    from ichexport.typed_member import typed_member

    with np.load(CHECKOUT / "model_repository" / "golden.npz") as golden:
        hu = np.ascontiguousarray(golden["HU"][:, :, ::4, ::4])
    member = lively_member("mobilenet_v2", hu, Grid(64, 64, 4.0))
    expected = torch_from_member(member)(hu)
    for precision in ("f16", "bf16"):
        found = torch_from_member(typed_member(member, precision))(hu)
        differences = refuse_other_answers(found, expected, precision)
        assert differences["LOGIT"] > 0  # it did calculate in another type


def test_the_table_names_speed_roofline_and_what_failed() -> None:
    from benchmarks.gpu import table

    fast, slow = ({"batch_8": {"median_ms": ms, "p95_ms": ms}} for ms in (2.0, 8.0))
    runtimes = {"torch eager": slow, "tensorrt": fast, "torch.compile": {"no_times": "no Triton"}}
    entry = {"roofline": {"batch_8_least_ms": 1.0}, "runtimes": runtimes}
    told = table({"networks": {"vgg19": {"f16": entry}}})
    assert "batch_8 2.00 ms, 4.00 of eager's speed, 50% of roofline" in told
    assert "no times: no Triton" in told


def test_it_can_be_started_as_a_program() -> None:
    command = [sys.executable, "-m", "benchmarks.gpu", "--help"]
    told = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert "every runtime" in told.stdout


@pytest.mark.skipif(torch.cuda.is_available(), reason="an NVIDIA GPU is here")
def test_without_a_gpu_it_says_so_and_writes_nothing(tmp_path: Path) -> None:
    from benchmarks.gpu import main

    out = tmp_path / "gpu.json"
    arguments = ["--repository", str(CHECKOUT / "model_repository"), "--out", str(out)]
    answer = CliRunner().invoke(main, arguments)
    assert answer.exit_code == 1
    assert answer.stderr.startswith("Error: There is nothing to measure here: ")
    assert not out.exists()
