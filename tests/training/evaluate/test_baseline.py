"""The baseline finds what is bright in the brain, and not what is bright beside bone."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from ichcore import Grid
from ichtrain.evaluate.baseline import areas_from_series, bright_from_slice

GRID = Grid(rows=128, columns=128, pixel_spacing_mm=1.5)
POSITION_MM = np.arange(6, dtype=np.float32) * 5


def head() -> NDArray[np.float32]:
    rows, columns = np.mgrid[:128, :128]
    radius_mm = np.hypot(rows - 64, columns - 64) * 1.5
    slice_hu = np.full((128, 128), -1000.0, np.float32)
    slice_hu[radius_mm < 84] = 40  # scalp
    slice_hu[radius_mm < 78] = 900
    slice_hu[radius_mm < 70] = 32
    return np.repeat(slice_hu[None], 6, axis=0)


def test_blood_in_the_brain_scores_its_volume() -> None:
    hu = head()
    hu[2:4, 60:64, 60:64] = 65
    found = areas_from_series(hu.astype(np.float16), POSITION_MM, GRID)
    assert found.volume_ml == pytest.approx(2 * 16 * 1.5**2 * 5 / 1000)
    assert found.slice_mm2.tolist() == pytest.approx([0, 0, 36, 36, 0, 0])


def test_the_largest_region_counts_not_all_of_them() -> None:
    hu = head()
    hu[1, 60:64, 60:64] = 65
    hu[4, 40:46, 40:46] = 65
    found = areas_from_series(hu.astype(np.float16), POSITION_MM, GRID)
    assert found.volume_ml == pytest.approx(36 * 1.5**2 * 5 / 1000)


def test_rim_scalp_and_bone_do_not_count() -> None:
    hu = head()
    rows, columns = np.mgrid[:128, :128]
    radius_mm = np.hypot(rows - 64, columns - 64) * 1.5
    hu[:, (radius_mm < 70) & (radius_mm > 67)] = 60  # partial volume under the skull
    hu[:, (radius_mm > 79) & (radius_mm < 83)] = 70  # muscle and vessels of the scalp
    assert areas_from_series(hu.astype(np.float16), POSITION_MM, GRID).volume_ml == 0


@pytest.mark.parametrize("brightness_hu", [40.0, 130.0])
def test_faint_tissue_and_calcification_do_not_count(brightness_hu: float) -> None:
    hu = head()
    hu[2, 60:64, 60:64] = brightness_hu
    assert areas_from_series(hu.astype(np.float16), POSITION_MM, GRID).volume_ml == 0


def test_a_slice_without_bone_shows_nothing() -> None:
    assert not bright_from_slice(np.full((64, 64), 40, np.float16), 1.0).any()


def test_a_single_slice_has_a_nominal_extent() -> None:
    hu = head()[:1]
    hu[0, 60:64, 60:64] = 65
    found = areas_from_series(hu.astype(np.float16), POSITION_MM[:1], GRID)
    assert found.volume_ml == pytest.approx(36 * 5 / 1000)
