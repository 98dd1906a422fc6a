"""The ensemble as one graph: it says what the formula says of its members, or NaN."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from ichcore import Calibration, Combined, EnsembleSpec
from ichcore.wire import fused_outputs
from ichexport.engines import Runner, onnxruntime_from_onnx
from ichexport.errors import DriftError, IchExportError
from ichexport.fused import REFITTABLE, fused_from_members, holds_spec, swap_spec
from ichexport.gate import combined_from_engine, largest_difference
from ichexport.golden import combined_from_runners
from ichexport.repository import check_repository, write_repository

if TYPE_CHECKING:
    from ichclient.golden import Golden

HU = NDArray[np.float16]
FUSED = Path("ich_fused_engine") / "1" / "model.onnx"


@pytest.fixture(scope="module")
def graphs(bundle: Path, released_spec: EnsembleSpec) -> dict[str, Path]:
    return {name: bundle / name / "1" / "model.onnx" for name in released_spec.member_names}


@pytest.fixture(scope="module")
def runners(graphs: dict[str, Path]) -> dict[str, Runner]:
    return {name: onnxruntime_from_onnx(path) for name, path in graphs.items()}


@pytest.fixture(scope="module")
def hu(golden: Golden) -> HU:
    """Three golden slices, with and without blood."""
    return golden.hu[[0, len(golden.hu) // 2, -1]]


@pytest.fixture(scope="module")
def unequal(released_spec: EnsembleSpec) -> EnsembleSpec:
    """Another spec of the same members: no number of the combination is what it was."""
    weights = ((0.1, 0.4), (0.2, 0.3), (0.3, 0.2), (0.4, 0.1))
    members = tuple(
        replace(
            member,
            score_weight=score,
            mask_weight=mask,
            calibration=Calibration(0.5 + score, 0.1 - mask),
        )
        for member, (score, mask) in zip(released_spec.members, weights, strict=True)
    )
    return replace(released_spec, members=members, mask_threshold=0.21, brain_threshold=0.63)


def assert_same(found: Combined, wanted: Combined) -> None:
    for name in ("score", "member_scores", "mask"):
        assert largest_difference(getattr(found, name), getattr(wanted, name)) <= 1e-3, name
    # Two runs of a convolution may round a pixel at the threshold to either side.
    for name in ("lesion_mm2", "brain_mm2"):
        assert largest_difference(getattr(found, name), getattr(wanted, name)) <= 16, name


def test_the_committed_graph_says_what_its_members_and_the_formula_say(
    bundle: Path, runners: dict[str, Runner], released_spec: EnsembleSpec, hu: HU
) -> None:
    found = combined_from_engine(onnxruntime_from_onnx(bundle / FUSED), hu)
    wanted = combined_from_runners(runners, hu, released_spec)
    assert_same(found, wanted)
    assert np.ptp(wanted.score) > 0.01
    assert wanted.brain_mm2.min() > 0


def test_another_spec_is_a_swap_of_numbers(
    bundle: Path,
    tmp_path: Path,
    runners: dict[str, Runner],
    released_spec: EnsembleSpec,
    unequal: EnsembleSpec,
    hu: HU,
) -> None:
    swapped = tmp_path / "model.onnx"
    swapped.write_bytes(swap_spec(bundle / FUSED, unequal))
    found = combined_from_engine(onnxruntime_from_onnx(swapped), hu)
    assert_same(found, combined_from_runners(runners, hu, unequal))
    assert largest_difference(found.score, combined_from_runners(runners, hu, released_spec).score)
    assert holds_spec(swapped, unequal)
    assert not holds_spec(swapped, released_spec)
    changed = {
        a.name
        for a, b in zip(
            onnx.load(swapped).graph.initializer,
            onnx.load(bundle / FUSED).graph.initializer,
            strict=True,
        )
        if a != b
    }
    assert changed == set(REFITTABLE) - {"ensemble.mask_pixel_mm2"}
    assert swap_spec(swapped, released_spec) == (bundle / FUSED).read_bytes()


def test_the_graph_is_made_alike_each_time_with_its_beginning_once(
    bundle: Path, graphs: dict[str, Path], released_spec: EnsembleSpec
) -> None:
    assert fused_from_members(graphs, released_spec) == (bundle / FUSED).read_bytes()
    fused = onnx.load(bundle / FUSED)
    member = onnx.load(graphs["ich_any"])

    def pools(model: onnx.ModelProto) -> int:
        return sum(node.op_type == "AveragePool" for node in model.graph.node)

    assert pools(fused) == pools(member) == 4
    specs = fused_outputs(released_spec.grid, len(released_spec.members))
    assert [value.name for value in fused.graph.output] == [spec.name for spec in specs]
    for value, spec in zip(fused.graph.output, specs, strict=True):
        batch, *rest = value.type.tensor_type.shape.dim
        assert batch.dim_param
        assert tuple(dim.dim_value for dim in rest) == spec.shape


def test_a_member_without_a_mask_leaves_its_weight_to_the_others(
    graphs: dict[str, Path],
    tmp_path: Path,
    runners: dict[str, Runner],
    unequal: EnsembleSpec,
    hu: HU,
) -> None:
    weak = onnx.load(graphs["ich_sah"])
    kept = [output for output in weak.graph.output if output.name != "MASK"]
    del weak.graph.output[:]
    weak.graph.output.extend(kept)
    onnx.save(weak, tmp_path / "weak.onnx")
    fused = tmp_path / "model.onnx"
    fused.write_bytes(fused_from_members({**graphs, "ich_sah": tmp_path / "weak.onnx"}, unequal))

    def without_mask(values: HU) -> dict[str, NDArray[np.generic]]:
        return {"LOGIT": runners["ich_sah"](values)["LOGIT"]}

    wanted = combined_from_runners({**runners, "ich_sah": without_mask}, hu, unequal)
    assert_same(combined_from_engine(onnxruntime_from_onnx(fused), hu), wanted)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_hu_that_is_no_number_is_nan_in_its_slice_alone(bundle: Path, hu: HU, value: float) -> None:
    spoilt = hu.copy()
    spoilt[1, 0, 100, 100] = value
    found = onnxruntime_from_onnx(bundle / FUSED)(spoilt)
    for name, values in found.items():
        per_slice = np.isnan(values.astype(np.float32)).reshape(len(hu), -1)
        assert per_slice.all(axis=1).tolist() == [False, True, False], name
        assert per_slice.any(axis=1).tolist() == [False, True, False], name


def test_the_repository_takes_a_new_spec_without_a_build(copy: Path, unequal: EnsembleSpec) -> None:
    graph = (copy / "ich_any" / "1" / "model.onnx").read_bytes()
    write_repository(copy, unequal)
    assert check_repository(copy) == unequal
    assert holds_spec(copy / FUSED, unequal)
    assert (copy / "ich_any" / "1" / "model.onnx").read_bytes() == graph


def test_numbers_of_another_spec_are_drift(copy: Path, unequal: EnsembleSpec) -> None:
    content = swap_spec(copy / FUSED, unequal)
    (copy / FUSED).write_bytes(content)
    with pytest.raises(DriftError, match="ich_fused_engine"):
        check_repository(copy)


def test_a_record_of_other_weights_is_drift(copy: Path) -> None:
    path = (copy / FUSED).with_name("model.onnx.build.json")
    record = json.loads(path.read_text())
    record["weights_sha256"] = record["weights_sha256"][::-1]
    path.write_text(json.dumps(record))
    with pytest.raises(DriftError, match="made of weights"):
        check_repository(copy)


def test_members_that_do_not_belong_together_are_refused(
    graphs: dict[str, Path], bundle: Path, released_spec: EnsembleSpec, tmp_path: Path
) -> None:
    (tmp_path / "none.onnx").write_bytes(b"no graph")
    with pytest.raises(IchExportError, match="no ONNX graph"):
        fused_from_members({**graphs, "ich_sah": tmp_path / "none.onnx"}, released_spec)
    only = replace(
        released_spec,
        members=(replace(released_spec.members[0], score_weight=1.0, mask_weight=1.0),),
    )
    with pytest.raises(IchExportError, match="no fused graph of ich_any"):
        swap_spec(bundle / FUSED, only)
