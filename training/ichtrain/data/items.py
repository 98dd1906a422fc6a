"""Series on the grid -> the items that members take: each slice with its neighbours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ichtrain.data.series import LabelledSeries
from ichtrain.errors import DataError


def items_hu(series: LabelledSeries, slices_per_item: int) -> NDArray[np.float16]:
    """HU of every slice as an item, float16 [n, S, R, C], inferior to superior.

    With S = 3 an item holds the slice below, the slice and the slice above, the edge slices
    repeated, as `docs/contract.md` section 2 has it. Raises `DataError` for an even S or none.
    """
    if slices_per_item < 1 or slices_per_item % 2 == 0:
        raise DataError(f"An item cannot have {slices_per_item} slices: give 1 or 3.")
    count, reach = len(series.hu), slices_per_item // 2
    offsets = np.arange(-reach, reach + 1)
    index = np.clip(np.arange(count)[:, None] + offsets, 0, count - 1)
    items: NDArray[np.float16] = np.asarray(series.hu)[index]
    return items
