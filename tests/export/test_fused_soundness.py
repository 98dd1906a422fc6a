"""The fused graph over members that say what a test wants: the formula's answer, or NaN."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from ichcore import Calibration, EnsembleSpec, Grid
from ichexport.engines import Runner, onnxruntime_from_onnx
from ichexport.fused import fused_from_members, swap_spec
from ichexport.gate import combined_from_engine, largest_difference
from ichexport.golden import combined_from_runners

GRID = Grid(rows=32, columns=32, pixel_spacing_mm=2.0)
HU = NDArray[np.float16]
CUTS = {
    # What of HU [32, 32] a member answers: from row and column, to row and column, shape, scale.
    "LOGIT": ((0, 0), (1, 1), (1,), 1.0, TensorProto.FLOAT),
    "MASK": ((0, 16), (16, 32), (16, 16), 0.01, TensorProto.FLOAT16),
    "BRAIN": ((16, 16), (32, 32), (16, 16), 0.01, TensorProto.FLOAT16),
}


def small_member(path: Path, outputs: tuple[str, ...], like: onnx.ModelProto) -> Path:
    """A graph that hands parts of HU on: a LOGIT, and MASK and BRAIN in hundredths."""
    nodes = [helper.make_node("Cast", ["HU"], ["hu"], to=TensorProto.FLOAT)]
    constants = {"axes": np.array([2, 3], np.int64)}
    for name in outputs:
        start, end, shape, scale, dtype = CUTS[name]
        constants |= {
            f"{name}_start": np.array(start, np.int64),
            f"{name}_end": np.array(end, np.int64),
            f"{name}_shape": np.array((-1, *shape), np.int64),
            f"{name}_scale": np.array(scale, np.float32),
        }
        corners = ["hu", f"{name}_start", f"{name}_end", "axes"]
        nodes += [
            helper.make_node("Slice", corners, [f"{name}_cut"]),
            helper.make_node("Reshape", [f"{name}_cut", f"{name}_shape"], [f"{name}_shaped"]),
            helper.make_node("Mul", [f"{name}_shaped", f"{name}_scale"], [f"{name}_scaled"]),
            helper.make_node("Cast", [f"{name}_scaled"], [name], to=dtype),
        ]
    graph = helper.make_graph(
        nodes,
        "member",
        [helper.make_tensor_value_info("HU", TensorProto.FLOAT16, ["N", 1, 32, 32])],
        [
            helper.make_tensor_value_info(name, CUTS[name][4], ["N", *CUTS[name][2]])
            for name in outputs
        ],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=like.opset_import, ir_version=like.ir_version)
    onnx.save(made, path)
    return path


@pytest.fixture(scope="module")
def spec(released_spec: EnsembleSpec) -> EnsembleSpec:
    """Two members whose numbers equal one another, so that a shared constant would show."""
    first, second, *_ = released_spec.members
    equal = {"score_weight": 0.5, "mask_weight": 0.5, "calibration": Calibration(0.5, 0.5)}
    members = (replace(first, **equal), replace(second, **equal))
    return replace(
        released_spec,
        grid=GRID,
        members=members,
        brain_member=first.name,
        mask_threshold=0.5,
        brain_threshold=0.5,
    )


@pytest.fixture(scope="module")
def graphs(
    bundle: Path, spec: EnsembleSpec, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    like = onnx.load(bundle / "ich_any" / "1" / "model.onnx")
    folder = tmp_path_factory.mktemp("members")
    first, second = spec.member_names
    return {
        first: small_member(folder / "first.onnx", ("LOGIT", "MASK", "BRAIN"), like),
        second: small_member(folder / "second.onnx", ("LOGIT", "MASK"), like),
    }


@pytest.fixture(scope="module")
def fused(
    graphs: dict[str, Path], spec: EnsembleSpec, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    path = tmp_path_factory.mktemp("fused") / "model.onnx"
    path.write_bytes(fused_from_members(graphs, spec))
    return path


@pytest.fixture
def hu() -> HU:
    """Four slices with a LOGIT of -1 to 2, a mask of .4 with two rows of .6, and brain of .6."""
    values = np.full((4, 1, 32, 32), 60, np.float16)
    values[:, 0, 0, 0] = [-1, 0, 1, 2]
    values[:, 0, 2:16, 16:] = 40
    return values


def runners(graphs: dict[str, Path]) -> dict[str, Runner]:
    return {name: onnxruntime_from_onnx(path) for name, path in graphs.items()}


def test_sound_slices_get_the_formula(
    fused: Path, graphs: dict[str, Path], spec: EnsembleSpec, hu: HU
) -> None:
    found = combined_from_engine(onnxruntime_from_onnx(fused), hu)
    wanted = combined_from_runners(runners(graphs), hu, spec)
    assert wanted.lesion_mm2.tolist() == [[2 * 16 * 16.0]] * 4  # two rows, 4 mm x 4 mm a pixel
    for name in ("score", "member_scores", "mask", "lesion_mm2", "brain_mm2"):
        assert largest_difference(getattr(found, name), getattr(wanted, name)) <= 1e-6, name


def change_slope(spec: EnsembleSpec) -> EnsembleSpec:
    first, second = spec.members
    return replace(spec, members=(replace(first, calibration=Calibration(3.0, 0.5)), second))


def change_score_weight(spec: EnsembleSpec) -> EnsembleSpec:
    first, second = spec.members
    weights = (replace(first, score_weight=0.9), replace(second, score_weight=0.1))
    return replace(spec, members=weights)


def change_mask_threshold(spec: EnsembleSpec) -> EnsembleSpec:
    return replace(spec, mask_threshold=0.3)


def change_brain_threshold(spec: EnsembleSpec) -> EnsembleSpec:
    return replace(spec, brain_threshold=0.7)


@pytest.mark.parametrize(
    "change", [change_slope, change_score_weight, change_mask_threshold, change_brain_threshold]
)
def test_a_number_that_equals_another_is_swapped_alone(
    fused: Path,
    graphs: dict[str, Path],
    spec: EnsembleSpec,
    hu: HU,
    tmp_path: Path,
    change: Callable[[EnsembleSpec], EnsembleSpec],
) -> None:
    other = change(spec)
    swapped = tmp_path / "model.onnx"
    swapped.write_bytes(swap_spec(fused, other))
    assert swapped.read_bytes() == fused_from_members(graphs, other)
    found = combined_from_engine(onnxruntime_from_onnx(swapped), hu)
    wanted = combined_from_runners(runners(graphs), hu, other)
    for name in ("score", "member_scores", "mask", "lesion_mm2", "brain_mm2"):
        assert largest_difference(getattr(found, name), getattr(wanted, name)) <= 1e-6, name


@pytest.mark.parametrize(
    ("pixel", "value"),
    [
        ((0, 0), np.nan),
        ((0, 0), np.inf),
        ((0, 20), np.nan),
        ((0, 20), 104.0),
        ((0, 20), -4.0),
        ((20, 20), np.nan),
        ((20, 20), 104.0),
        ((20, 0), np.nan),  # HU that no member looks at
    ],
)
def test_a_slice_without_a_sound_answer_is_nan_everywhere_and_alone(
    fused: Path, hu: HU, pixel: tuple[int, int], value: float
) -> None:
    before = onnxruntime_from_onnx(fused)(hu)
    hu[2, 0, *pixel] = value
    after = onnxruntime_from_onnx(fused)(hu)
    for name, values in after.items():
        assert np.isnan(values[2].astype(np.float32)).all(), name
        others = [0, 1, 3]
        np.testing.assert_array_equal(values[others], before[name][others], err_msg=name)


def test_what_rounding_puts_past_1_is_a_probability(fused: Path, hu: HU) -> None:
    hu[2, 0, 20, 20] = 100.4
    found = onnxruntime_from_onnx(fused)(hu)
    assert all(np.isfinite(values.astype(np.float32)).all() for values in found.values())
