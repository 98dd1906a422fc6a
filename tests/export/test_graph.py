"""Member -> ONNX graph: the contract's names and shapes, FP16 weights, nothing of this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from ichcore import EnsembleSpec
from ichexport.engines import onnxruntime_from_onnx

TYPES = {"HU": "FLOAT16", "LOGIT": "FLOAT", "MASK": "FLOAT16", "BRAIN": "FLOAT16"}


@pytest.fixture(scope="module")
def model(small_graph: Path) -> Any:
    """The small member's graph, read back."""
    return onnx.load(small_graph)


def dims(value: Any) -> list[int | str]:
    return [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]


def test_every_dimension_but_n_is_static(model: Any) -> None:
    named = {value.name: dims(value) for value in (*model.graph.input, *model.graph.output)}
    assert named == {
        "HU": ["N", 1, 64, 64],
        "LOGIT": ["N", 1],
        "MASK": ["N", 32, 32],
        "BRAIN": ["N", 32, 32],
    }


def test_tensor_types_are_those_of_the_contract(model: Any) -> None:
    for value in (*model.graph.input, *model.graph.output):
        found = onnx.TensorProto.DataType.Name(value.type.tensor_type.elem_type)
        assert found == TYPES[value.name], value.name


def test_weights_are_stored_as_fp16(model: Any, small_graph: Path) -> None:
    sizes: dict[int, int] = {}
    for tensor in model.graph.initializer:
        sizes[tensor.data_type] = sizes.get(tensor.data_type, 0) + int(np.prod(tensor.dims))
    assert sizes.get(onnx.TensorProto.FLOAT, 0) < 0.001 * sizes[onnx.TensorProto.FLOAT16]
    assert small_graph.stat().st_size < 2.5 * sizes[onnx.TensorProto.FLOAT16]


@pytest.mark.parametrize("which", ["small", "ich_any", "ich_sdh", "ich_sah", "ich_small"])
def test_graph_tells_nothing_of_the_machine(small_graph: Path, bundle: Path, which: str) -> None:
    path = small_graph if which == "small" else bundle / which / "1" / "model.onnx"
    content = path.read_bytes()
    for trace in (b"site-packages", b".py", b'File "', str(Path.home()).encode(), b"/ichexport"):
        assert trace not in content
    assert str(bundle.parent).encode() not in content


@pytest.mark.parametrize("slices", [1, 2, 5])
def test_any_number_of_slices_runs(
    small_graph: Path, small_hu: NDArray[np.float16], slices: int
) -> None:
    run = onnxruntime_from_onnx(small_graph)
    found, whole = run(small_hu[:slices]), run(small_hu)
    assert found["LOGIT"].shape == (slices, 1)
    assert found["MASK"].shape == found["BRAIN"].shape == (slices, 32, 32)
    np.testing.assert_allclose(found["LOGIT"], whole["LOGIT"][:slices], atol=1e-4)
    assert np.ptp(np.asarray(whole["LOGIT"], dtype=np.float32)) > 0.01


def test_committed_graphs_have_the_grid_of_the_spec(
    bundle: Path, released_spec: EnsembleSpec
) -> None:
    grid = released_spec.grid
    for name in released_spec.member_names:
        graph = onnx.load(bundle / name / "1" / "model.onnx").graph
        assert dims(graph.input[0]) == ["N", grid.slices_per_item, grid.rows, grid.columns]
        outputs = {value.name: dims(value) for value in graph.output}
        assert outputs["LOGIT"] == ["N", 1]
        assert outputs["MASK"] == ["N", *grid.mask_shape]
        assert ("BRAIN" in outputs) == (name == released_spec.brain_member)
