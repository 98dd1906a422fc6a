"""The tensors of the wire fit together, and shapes that Triton would not take are refused."""

from __future__ import annotations

import numpy as np
import pytest

from ichcore import ContractError, Grid, wire

GRID = Grid(slices_per_item=3)
MEMBERS = ("ich_any", "ich_sdh", "ich_sah", "ich_small")


def test_hu_has_the_raster_of_the_grid() -> None:
    assert wire.hu_tensor(GRID) == wire.TensorSpec("HU", "FP16", (3, 256, 256))


def test_brain_comes_from_the_one_member_that_has_it() -> None:
    with_brain = wire.member_outputs(GRID, with_brain=True)
    without = wire.member_outputs(GRID, with_brain=False)
    assert [tensor.name for tensor in with_brain] == ["LOGIT", "MASK", "BRAIN"]
    assert with_brain[:-1] == without


def test_only_masks_may_be_missing_at_the_combination() -> None:
    inputs = wire.combine_inputs(GRID, MEMBERS, "ich_any")
    assert len(inputs) == 2 * len(MEMBERS) + 1
    assert {tensor.name for tensor in inputs if tensor.optional} == {
        f"MASK_{name}" for name in MEMBERS
    }
    assert all(tensor.shape == GRID.mask_shape for tensor in inputs if tensor.data_type == "FP16")


def test_a_brain_member_that_is_no_member_is_refused() -> None:
    with pytest.raises(ContractError, match="ich_none"):
        wire.combine_inputs(GRID, MEMBERS, "ich_none")


def test_the_study_takes_what_the_ensemble_gives_and_the_positions() -> None:
    given = {tensor.name: tensor.data_type for tensor in wire.ensemble_outputs(GRID, 4)}
    taken = {tensor.name: tensor.data_type for tensor in wire.study_inputs(4)}
    assert taken.pop("POSITION_MM") == "FP32"
    del given["MASK"], given["START"]
    assert taken == given


@pytest.mark.parametrize("shape", [(0,), (-2, 3)])
def test_a_shape_that_triton_would_not_take_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ContractError):
        wire.TensorSpec("SCORE", "FP32", shape)


def test_provenance_differs_with_the_spec_and_with_the_engines() -> None:
    hashes = ["a" * 64, "b" * 64]
    found = {wire.provenance_from_hashes(spec, engines) for spec in hashes for engines in hashes}
    assert len(found) == 4
    assert all(np.array([text.encode()], dtype=object)[0].isascii() for text in found)


def test_the_build_record_lies_beside_its_engine() -> None:
    assert wire.build_record_file("model.onnx") == "model.onnx.build.json"
