"""Items hold a slice with its neighbours, edges repeated."""

from __future__ import annotations

import numpy as np
import pytest

from ichtrain.data.items import items_hu
from ichtrain.data.series import LabelledSeries
from ichtrain.errors import DataError


@pytest.fixture
def series() -> LabelledSeries:
    count = 4
    return LabelledSeries(
        SeriesInstanceUID="1.2",
        SOPInstanceUID=tuple(f"1.2.{index}" for index in range(count)),
        patient="P",
        site="here",
        split="test",
        annotation="slice",
        labels=np.zeros((count, 6), dtype=np.int8),
        lesion_ml=None,
        hu=np.arange(count, dtype=np.float16)[:, None, None] * np.ones((1, 32, 32), np.float16),
        position_mm=np.arange(count, dtype=np.float32),
    )


def test_an_item_of_one_slice_is_the_slice(series: LabelledSeries) -> None:
    items = items_hu(series, 1)
    assert items.shape == (4, 1, 32, 32)
    assert items.dtype == np.float16
    assert np.array_equal(items[:, 0], series.hu)


def test_an_item_of_three_has_the_slice_below_first_and_repeats_the_edges(
    series: LabelledSeries,
) -> None:
    items = items_hu(series, 3)
    assert items.shape == (4, 3, 32, 32)
    assert items[:, :, 0, 0].tolist() == [[0, 0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 3]]


@pytest.mark.parametrize("slices_per_item", [0, 2, -1])
def test_an_item_without_a_middle_is_refused(series: LabelledSeries, slices_per_item: int) -> None:
    with pytest.raises(DataError, match="give 1 or 3"):
        items_hu(series, slices_per_item)
