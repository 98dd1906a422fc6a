"""A judged study -> the files of its result, each whole in memory before any is written."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ichclient.held import HeldSlices
from ichclient.hounsfield import HUSlice, hu_of_slice
from ichclient.masks import Masks, bytes_from_masks, sha256_of_masks
from ichclient.picture import png_from_slice
from ichclient.report.page import page_from_result
from ichclient.report.pictures import Decode, pictures_from_slices
from ichclient.report.table import csv_from_result
from ichclient.result import (
    MASKS_FILE,
    PICTURE_FILE,
    REPORT_FILE,
    RESULT_FILE,
    TABLE_FILE,
    Result,
    result_to_json,
)
from ichclient.rules import RuleBook
from ichcore import mask_from_grid

if TYPE_CHECKING:
    from ichclient.series import Series
    from ichclient.stream import Judged


def files_from_judged(
    series: Series,
    book: RuleBook,
    judged: Judged,
    result: Result,
    held: HeldSlices | None = None,
) -> tuple[Result, dict[str, bytes]]:
    """Every file of a result, result.json last, and the result that names the masks among them.

    Slices that are not `held` are decoded again.
    """
    masks = Masks(judged.mask, judged.placements, judged.grid)
    kept = bytes_from_masks(masks)
    result = replace(result, masks_sha256=sha256_of_masks(kept))

    def decode(index: int) -> HUSlice:
        known = held.slice(index, series.slices[index]) if held is not None else None
        return known or hu_of_slice(series, index, book)

    pictures = pictures_from_slices(decode, masks, result)
    return result, {
        MASKS_FILE: kept,
        TABLE_FILE: csv_from_result(result).encode(),
        PICTURE_FILE: _picture(decode, judged, result),
        REPORT_FILE: page_from_result(result, pictures).encode(),
        RESULT_FILE: result_to_json(result).encode(),
    }


def _picture(decode: Decode, judged: Judged, result: Result) -> bytes:
    """The slice with the highest score, decoded again so that no other was kept in memory."""
    index = result.top_slices[0]
    one = decode(index)
    probability = judged.mask[index] / np.float32(255)
    mask = mask_from_grid(probability, judged.placements[index], judged.grid)
    caption = f"slice {index + 1} of {len(result.slices)}, score {judged.score[index]:.3f}"
    return png_from_slice(one, mask, caption)
