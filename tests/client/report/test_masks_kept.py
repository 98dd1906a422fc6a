"""masks.npz gives the masks back to the bit, and nothing else is ever taken for them."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from ichclient.errors import RefusedInput
from ichclient.masks import Masks, bytes_from_masks, masks_from_bytes, sha256_of_masks
from ichcore import ContractError


def test_masks_come_back_as_they_were(masks: Masks) -> None:
    content = bytes_from_masks(masks)
    back = masks_from_bytes(content, sha256_of_masks(content), len(masks.placements))
    assert np.array_equal(back.mask, masks.mask)
    assert (back.placements, back.grid) == (masks.placements, masks.grid)


def test_the_same_masks_give_the_same_bytes(masks: Masks) -> None:
    assert bytes_from_masks(masks) == bytes_from_masks(replace(masks, mask=masks.mask.copy()))


def test_masks_of_another_result_are_refused(masks: Masks) -> None:
    other = bytes_from_masks(replace(masks, mask=masks.mask + np.uint8(1)))
    with pytest.raises(RefusedInput, match="hash"):
        masks_from_bytes(other, sha256_of_masks(bytes_from_masks(masks)), len(masks.placements))


def test_masks_need_the_shape_of_their_grid(masks: Masks) -> None:
    with pytest.raises(ContractError, match="uint8"):
        replace(masks, mask=masks.mask[:, 1:])


def archive(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


GRID = np.array([64, 64, 1.0, 1, 2])
PLACEMENTS = np.tile([64, 64, 1.0, 1.0, 32, 32], (2, 1))
BROKEN = {
    "no archive": b"no archive",
    "cut short": archive(mask=np.zeros((2, 32, 32), np.uint8))[:-30],
    "an array is absent": archive(mask=np.zeros((2, 32, 32), np.uint8), grid=GRID),
    "pickled": archive(mask=np.array([{}], dtype=object), placements=PLACEMENTS, grid=GRID),
    "another number of slices": archive(
        mask=np.zeros((3, 32, 32), np.uint8), placements=np.tile(PLACEMENTS[0], (3, 1)), grid=GRID
    ),
    "floats": archive(mask=np.zeros((2, 32, 32)), placements=PLACEMENTS, grid=GRID),
    "a grid that cannot be": archive(
        mask=np.zeros((2, 32, 32), np.uint8), placements=PLACEMENTS, grid=GRID[:3]
    ),
    "placements that are no numbers": archive(
        mask=np.zeros((2, 32, 32), np.uint8), placements=PLACEMENTS * np.nan, grid=GRID
    ),
    "more than its slices can fill": archive(
        mask=np.zeros((2, 4096, 4096), np.uint8), placements=PLACEMENTS, grid=GRID
    ),
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_what_cannot_be_masks_ends_in_one_sentence(content: bytes) -> None:
    with pytest.raises(RefusedInput, match=r"masks\.npz cannot be read"):
        masks_from_bytes(content, sha256_of_masks(content), 2)


def test_an_archive_that_lies_about_its_size_is_not_unpacked() -> None:
    content = BROKEN["more than its slices can fill"]
    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        assert sum(entry.file_size for entry in packed.infolist()) > 2**25
    assert len(content) < 2**17
    with pytest.raises(RefusedInput, match="bytes for 2 slices"):
        masks_from_bytes(content, sha256_of_masks(content), 2)
