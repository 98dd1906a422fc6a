"""The way to the grid and back keeps Hounsfield units, millimetres and the head's middle."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ichcore import (
    HU_AIR,
    HU_MAX,
    ContractError,
    Grid,
    NonFiniteError,
    Placement,
    hu_on_grid,
    mask_from_grid,
    mask_on_grid,
    placement_from_hu,
)

GRID = Grid()
SPACINGS = [
    # rows, columns, row spacing, column spacing
    (512, 512, 0.45, 0.45),
    (512, 512, 0.5, 0.4),
    (320, 400, 0.7, 0.55),
    (768, 640, 0.3, 0.36),
    (256, 256, 1.0, 1.0),
    (128, 160, 1.7, 1.4),
]


def ellipse_mm(
    rows: int, columns: int, row_mm: float, column_mm: float, *box: float
) -> NDArray[np.bool_]:
    """An upright ellipse: middle row and column, then half height and half width, all in mm."""
    middle_row, middle_column, half_height, half_width = box
    row, column = np.mgrid[:rows, :columns]
    y = ((row + 0.5) * row_mm - middle_row) / half_height
    x = ((column + 0.5) * column_mm - middle_column) / half_width
    return np.asarray(y**2 + x**2 <= 1)


def head_hu(
    rows: int,
    columns: int,
    row_mm: float,
    column_mm: float,
    middle_row: float,
    middle_column: float,
) -> NDArray[np.int16]:
    """Air, a ring of bone 160 mm high and 130 mm wide, brain within."""
    raster = (rows, columns, row_mm, column_mm)
    hu = np.full((rows, columns), -1000, dtype=np.int16)
    hu[ellipse_mm(*raster, middle_row, middle_column, 80, 65)] = 900
    hu[ellipse_mm(*raster, middle_row, middle_column, 73, 58)] = 35
    return hu


def centred(rows: int, columns: int, row_mm: float, column_mm: float) -> Placement:
    return Placement(rows, columns, row_mm, column_mm, rows / 2, columns / 2)


def test_every_whole_hu_of_the_range_survives_fp16() -> None:
    whole = np.arange(HU_AIR, HU_MAX + 1)
    assert np.array_equal(whole.astype(np.float16).astype(np.int64), whole)


def test_a_slice_that_has_the_grids_raster_is_unchanged() -> None:
    hu = np.random.default_rng(0).integers(HU_AIR, HU_MAX + 1, (256, 256)).astype(np.int16)
    on_grid = hu_on_grid(hu, centred(256, 256, 1.0, 1.0), GRID)
    assert on_grid.dtype == np.float16
    assert np.array_equal(on_grid.astype(np.int16), hu)


def test_values_beyond_the_range_are_clipped_before_they_can_bleed_into_neighbours() -> None:
    hu = np.zeros((256, 256), dtype=np.float32)
    hu[0, 0], hu[0, 1], hu[0, 2] = -3024, 30000, 12.4
    row = hu_on_grid(hu, centred(256, 256, 1.0, 1.0), GRID)[0]
    assert row[:4].tolist() == [HU_AIR, HU_MAX, 12, 0]


@given(spacing=st.floats(0.2, 2.0), rows=st.integers(40, 300), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_what_reaches_the_wire_is_always_whole_and_in_range(
    spacing: float, rows: int, seed: int
) -> None:
    hu = np.random.default_rng(seed).uniform(-4000, 9000, (rows, 90)).astype(np.float32)
    on_grid = hu_on_grid(hu, placement_from_hu(hu, spacing, spacing), GRID).astype(np.float32)
    assert on_grid.shape == (256, 256)
    assert np.array_equal(on_grid, np.rint(on_grid))
    assert on_grid.min() >= HU_AIR
    assert on_grid.max() <= HU_MAX


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_pixel_that_is_not_finite_is_refused(value: float) -> None:
    hu = np.zeros((256, 256), dtype=np.float32)
    hu[3, 4] = value
    with pytest.raises(NonFiniteError):
        hu_on_grid(hu, centred(256, 256, 1.0, 1.0), GRID)
    with pytest.raises(NonFiniteError):
        mask_on_grid(hu, centred(256, 256, 1.0, 1.0), GRID)
    with pytest.raises(NonFiniteError):
        mask_from_grid(hu[:128, :128], centred(256, 256, 1.0, 1.0), GRID)


def test_a_raster_of_another_size_is_refused_and_not_stretched() -> None:
    placement = centred(512, 512, 0.5, 0.5)
    with pytest.raises(ContractError, match="256"):
        hu_on_grid(np.zeros((256, 256)), placement, GRID)
    with pytest.raises(ContractError, match="256"):
        mask_on_grid(np.zeros((256, 256)), placement, GRID)
    with pytest.raises(ContractError, match="128"):
        mask_from_grid(np.zeros((256, 256)), placement, GRID)


@pytest.mark.parametrize("raster", SPACINGS)
def test_millimetres_and_the_middle_are_kept(raster: tuple[int, int, float, float]) -> None:
    rows, columns, row_mm, column_mm = raster
    hu = head_hu(*raster, rows * row_mm / 2 - 9, columns * column_mm / 2 + 7)
    on_grid = hu_on_grid(hu, placement_from_hu(hu, row_mm, column_mm), GRID)
    inside = np.argwhere(on_grid > -500)
    first, last = inside.min(axis=0), inside.max(axis=0)
    assert last - first + 1 == pytest.approx([160, 130], abs=2.5)
    assert (first + last + 1) / 2 == pytest.approx([128, 128], abs=1.5)


def test_what_lies_outside_the_scanned_field_is_air() -> None:
    hu = np.full((100, 100), 40, dtype=np.int16)
    on_grid = hu_on_grid(hu, centred(100, 100, 1.0, 1.0), GRID)
    inside = slice(78, 178)
    assert np.all(on_grid[inside, inside] == 40)
    on_grid[inside, inside] = HU_AIR
    assert np.all(on_grid == HU_AIR)


def test_a_headrest_and_a_small_dense_thing_do_not_move_the_grid() -> None:
    hu = head_hu(512, 512, 0.5, 0.5, 120.0, 128.0)
    bare = placement_from_hu(hu, 0.5, 0.5)
    hu[430:470, 60:460] = 120  # the headrest, below bone
    hu[500:504, 500:504] = 3000  # a clip beside the head
    with_rest = placement_from_hu(hu, 0.5, 0.5)
    assert with_rest.centre_row == pytest.approx(bare.centre_row, abs=1)
    assert with_rest.centre_column == pytest.approx(bare.centre_column, abs=1)
    assert bare.centre_row * 0.5 == pytest.approx(120, abs=0.5)


def test_a_slice_without_bone_takes_the_middle_of_the_image() -> None:
    hu = np.full((300, 200), 35, dtype=np.int16)
    hu[10:20, 10:20] = 1000  # 100 mm2, less than any skull
    placement = placement_from_hu(hu, 1.0, 1.0)
    assert (placement.centre_row, placement.centre_column) == (150, 100)


@given(row=st.integers(70, 180), column=st.integers(70, 180))
@settings(max_examples=20, deadline=None)
def test_a_mirrored_head_is_placed_as_the_mirror_image(row: int, column: int) -> None:
    hu = head_hu(250, 250, 1.0, 1.0, row, column)
    placement = placement_from_hu(hu, 1.0, 1.0)
    mirrored = placement_from_hu(hu[::-1, ::-1], 1.0, 1.0)
    assert mirrored.centre_row == pytest.approx(250 - placement.centre_row, abs=1)
    assert mirrored.centre_column == pytest.approx(250 - placement.centre_column, abs=1)


@pytest.mark.parametrize("raster", SPACINGS)
def test_a_mask_keeps_its_area_there_and_back(raster: tuple[int, int, float, float]) -> None:
    rows, columns, row_mm, column_mm = raster
    lesion = ellipse_mm(*raster, rows * row_mm / 2 + 20, columns * column_mm / 2 - 15, 18, 11)
    placement = centred(*raster)
    area_mm2 = lesion.sum() * row_mm * column_mm
    on_grid = mask_on_grid(lesion, placement, GRID)
    assert on_grid.shape == GRID.mask_shape
    assert 0 <= on_grid.min() <= on_grid.max() <= 1
    assert on_grid.sum() * GRID.mask_pixel_mm2 == pytest.approx(area_mm2, rel=0.02)
    assert (on_grid >= 0.5).sum() * GRID.mask_pixel_mm2 == pytest.approx(area_mm2, rel=0.05)
    back = mask_from_grid(on_grid, placement, GRID) >= 0.5
    assert back.shape == lesion.shape
    assert back.sum() * row_mm * column_mm == pytest.approx(area_mm2, rel=0.05)
    dice = 2 * (back & lesion).sum() / (back.sum() + lesion.sum())
    assert dice > 0.93


def test_a_mask_is_empty_outside_the_grid() -> None:
    placement = centred(400, 400, 1.0, 1.0)
    back = mask_from_grid(np.ones(GRID.mask_shape), placement, GRID)
    assert np.all(back[80:320, 80:320] == 1)
    assert back[:70].max() == back[:, 330:].max() == 0


@pytest.mark.parametrize(
    "fields",
    [
        {"rows": 250},
        {"columns": 0},
        {"rows": -256},
        {"pixel_spacing_mm": 0.0},
        {"pixel_spacing_mm": float("nan")},
        {"slices_per_item": 2},
        {"mask_stride": 0},
        {"mask_stride": 3},
    ],
)
def test_a_grid_that_no_engine_could_have_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ContractError):
        Grid(**fields)


@pytest.mark.parametrize("spacing_mm", [0.0, -0.5, 1e-4, 50.0, float("nan"), float("inf")])
def test_a_pixel_spacing_that_no_head_ct_has_is_refused(spacing_mm: float) -> None:
    with pytest.raises(ContractError, match="PixelSpacing"):
        placement_from_hu(np.zeros((64, 64)), spacing_mm, 0.5)
    with pytest.raises(ContractError, match="PixelSpacing"):
        placement_from_hu(np.zeros((64, 64)), 0.5, spacing_mm)
