"""Judged slices <-> masks.npz: what was marked on each slice, to be drawn again without a server.

    mask        uint8 [n, r, c]   lesion probability on the grid's mask raster, 255 for 1
    placements  float64 [n, 6]    fields of `ichcore.Placement`, in its order
    grid        float64 [5]       fields of `ichcore.Grid`, in its order

The result names the file's hash, so masks of another study are not taken for its own. Nothing is
unpickled, and no more is unpacked than the slices of the result can fill.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray

from ichclient.errors import RefusedInput
from ichcore import ContractError, Grid, Placement

_ARRAYS = ("mask", "placements", "grid")
_BYTES_OF_A_SLICE = 2**20
_HEADER_BYTES = 4096


@dataclass(frozen=True)
class Masks:
    """Byte masks [n, r, c] of a series from its lowest slice up, and where the grid lay on each."""

    mask: NDArray[np.uint8]
    placements: tuple[Placement, ...]
    grid: Grid

    def __post_init__(self) -> None:
        """Refuse masks that are not of their grid."""
        shape = (len(self.placements), *self.grid.mask_shape)
        if self.mask.dtype != np.uint8 or self.mask.shape != shape:
            raise ContractError(
                f"Masks are {self.mask.dtype} {self.mask.shape}; their grid has uint8 {shape}."
            )


def bytes_from_masks(masks: Masks) -> bytes:
    """The content of masks.npz; the same masks give the same bytes."""
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        mask=masks.mask,
        placements=np.array([astuple(one) for one in masks.placements], dtype=np.float64),
        grid=np.array(astuple(masks.grid), dtype=np.float64),
    )
    return buffer.getvalue()


def sha256_of_masks(content: bytes) -> str:
    """The hash by which a result names its masks."""
    return hashlib.sha256(content).hexdigest()


def masks_from_bytes(content: bytes, sha256: str, slices: int) -> Masks:
    """Read the masks of a result with this many slices.

    Raises RefusedInput where they are not those that the result names, or cannot be read.
    """
    if sha256_of_masks(content) != sha256:
        raise RefusedInput(
            "masks.npz does not belong to this result: its hash differs. Judge the study again."
        )
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
        if unpacked > slices * _BYTES_OF_A_SLICE + _HEADER_BYTES:
            raise ValueError(f"{unpacked} bytes for {slices} slices")
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            mask, placements, grid = (arrays[name] for name in _ARRAYS)
        rows, columns, pixel_spacing_mm, slices_per_item, mask_stride = grid.tolist()
        masks = Masks(
            mask,
            tuple(
                Placement(int(values[0]), int(values[1]), *values[2:])
                for values in placements.tolist()
            ),
            Grid(int(rows), int(columns), pixel_spacing_mm, int(slices_per_item), int(mask_stride)),
        )
        if len(masks.placements) != slices:
            raise ValueError(f"{len(masks.placements)} masks for {slices} slices")
    except (
        ContractError, EOFError, KeyError, OSError, TypeError, ValueError,
        zipfile.BadZipFile, zlib.error,
    ) as error:  # fmt: skip
        raise RefusedInput(f"masks.npz cannot be read ({error}). Judge the study again.") from error
    return masks
