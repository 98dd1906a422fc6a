"""A series is valid from birth, and goes on the grid slice by slice."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ichcore import (
    ContractError,
    Grid,
    NonFiniteError,
    NoSlicesError,
    ScannedSeries,
    byte_mask_from_grid,
    byte_mask_from_mask,
    hu_on_grid,
    mask_from_grid,
    placement_from_hu,
)
from ichcore.items import CHUNK_SLICES, chunks_from_items, hu_from_chunk, items_from_slices
from ichcore.scanned import MAX_SERIES_PIXELS, MAX_SERIES_SLICES


def series(slices: int = 3, **changes: Any) -> ScannedSeries:
    rng = np.random.default_rng(slices)
    fields: dict[str, Any] = {
        "hu": rng.integers(-3024, 3071, (slices, 40, 60)).astype(np.int16),
        "position_mm": np.arange(slices, dtype=np.float32) * np.float32(5),
        "pixel_spacing_mm": np.array([4.0, 3.0]),
        **changes,
    }
    return ScannedSeries(**fields)


def test_no_slices_are_an_error_and_not_a_negative() -> None:
    with pytest.raises(NoSlicesError):
        series(0)


@pytest.mark.parametrize(
    ("changes", "kind", "told"),
    [
        ({"hu": np.zeros((3, 40), dtype=np.int16)}, ContractError, "HU has shape"),
        ({"hu": np.zeros((3, 0, 60), dtype=np.int16)}, ContractError, "0 x 60 pixels"),
        ({"hu": np.full((3, 4, 4), np.nan)}, NonFiniteError, "HU has values"),
        ({"position_mm": np.zeros(2, dtype=np.float32)}, ContractError, r"expected \(3,\)"),
        ({"position_mm": np.array([0, 5, 5], dtype=np.float32)}, ContractError, "slice 3 is 5"),
        ({"position_mm": np.array([0, 9, 5], dtype=np.float32)}, ContractError, "after 9"),
        ({"position_mm": np.array([0, np.nan, 5], dtype=np.float32)}, NonFiniteError, "position"),
        ({"pixel_spacing_mm": np.array([1.0])}, ContractError, r"expected \(2,\)"),
        ({"pixel_spacing_mm": np.array([1.0, np.inf])}, NonFiniteError, "pixel_spacing_mm"),
        ({"pixel_spacing_mm": np.array([0.0, 1.0])}, ContractError, "Pixel spacing of 0.0"),
        ({"pixel_spacing_mm": np.array([1.0, -1.0])}, ContractError, "Pixel spacing"),
    ],
)
def test_what_is_no_series_is_refused(changes: Any, kind: type[Exception], told: str) -> None:
    with pytest.raises(kind, match=told):
        series(**changes)


def test_one_call_is_bounded_in_slices_and_in_pixels() -> None:
    assert len(series(MAX_SERIES_SLICES).hu) == 400
    with pytest.raises(ContractError, match="401 slices"):
        series(MAX_SERIES_SLICES + 1)
    side = 8192
    # Never touched, so it costs no memory.
    hu = np.empty((MAX_SERIES_PIXELS // side**2 + 1, side, side), dtype=np.int16)
    with pytest.raises(ContractError, match="8192 x 8192"):
        series(len(hu), hu=hu)


def test_slices_reach_the_grid_as_their_neighbours_and_placement_say() -> None:
    grid, scanned = Grid(64, 96, 3.0, slices_per_item=3), series(CHUNK_SLICES + 2)
    chunks = list(chunks_from_items(items_from_slices(scanned, grid)))
    assert [len(chunk) for chunk in chunks] == [CHUNK_SLICES, 2]
    (first, *_), last = hu_from_chunk(chunks[0]), hu_from_chunk(chunks[1])[-1]
    for item, indices in ((first, (0, 0, 1)), (last, (-2, -1, -1))):
        placement = placement_from_hu(scanned.hu[indices[1]], 4.0, 3.0)
        expected = [hu_on_grid(scanned.hu[index], placement, grid) for index in indices]
        np.testing.assert_array_equal(item, expected)


def test_a_byte_mask_returns_to_the_scanned_slice() -> None:
    grid, scanned = Grid(64, 96, 3.0), series()
    mask = np.random.default_rng(4).uniform(-0.01, 1.01, grid.mask_shape).astype(np.float16)
    as_bytes = byte_mask_from_mask(mask)
    probability = np.clip(mask.astype(np.float32), 0, 1)
    np.testing.assert_allclose(as_bytes / 255, probability, atol=0.501 / 255)
    placement = placement_from_hu(scanned.hu[0], 4.0, 3.0)
    returned = byte_mask_from_grid(as_bytes, placement, grid)
    assert (returned.shape, returned.dtype) == ((40, 60), np.uint8)
    wanted = mask_from_grid(as_bytes / np.float32(255), placement, grid)
    np.testing.assert_allclose(returned / 255, wanted, atol=0.51 / 255)
