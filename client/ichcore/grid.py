"""HU slice as scanned -> HU slice on the model's grid, and masks on the way back.

The grid is the one pixel raster that every engine of a bundle expects: R rows by C columns of
`pixel_spacing_mm`, centred on the head, rows anterior to posterior, columns patient right to
left (`docs/contract.md`). Training and client resample with the functions of this file, so a
model never meets pixels made in another way.

Resampling is Pillow's separable triangle filter whose support grows with the reduction, so that
halving the resolution averages noise instead of picking every second pixel.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ichcore.errors import ContractError, NonFiniteError

HU_AIR = -1024
"""Lowest value on the wire, and what lies outside the scanned field."""

HU_MAX = 2047
"""Highest value on the wire; FP16 holds every integer up to 2048 exactly."""

_WHOLE_HU = np.arange(HU_AIR, HU_MAX + 1, dtype=np.float16)
_BONE_HU = 250.0
_MIN_BONE_MM2 = 300.0
_OUTER_SHARE = 0.02
_SPACING_RANGE_MM = (0.05, 10.0)


@dataclass(frozen=True)
class Grid:
    """The raster of the engines: rows, columns, mm per pixel and slices per item."""

    rows: int = 256
    columns: int = 256
    pixel_spacing_mm: float = 1.0
    slices_per_item: int = 1
    mask_stride: int = 2

    def __post_init__(self) -> None:
        """Refuse a raster that no engine could have."""
        if min(self.rows, self.columns) < 32 or self.rows % 32 or self.columns % 32:
            raise ContractError(
                f"A grid of {self.rows} x {self.columns} pixels cannot be used: "
                "rows and columns must be multiples of 32."
            )
        if not (np.isfinite(self.pixel_spacing_mm) and self.pixel_spacing_mm > 0):
            raise ContractError(f"pixel_spacing_mm must be above 0, not {self.pixel_spacing_mm}.")
        if self.slices_per_item not in (1, 3):
            raise ContractError(f"slices_per_item must be 1 or 3, not {self.slices_per_item}.")
        if self.mask_stride < 1 or self.rows % self.mask_stride or self.columns % self.mask_stride:
            raise ContractError(
                f"mask_stride {self.mask_stride} does not divide {self.rows} x {self.columns}."
            )

    @property
    def mask_shape(self) -> tuple[int, int]:
        """Rows and columns of MASK and BRAIN."""
        return self.rows // self.mask_stride, self.columns // self.mask_stride

    @property
    def mask_pixel_mm2(self) -> float:
        """Area of one mask pixel in square millimetres."""
        return (self.pixel_spacing_mm * self.mask_stride) ** 2


@dataclass(frozen=True)
class Placement:
    """Where the grid lies on a scanned slice; `centre_*` are pixel edges' coordinates."""

    rows: int
    columns: int
    row_spacing_mm: float
    column_spacing_mm: float
    centre_row: float
    centre_column: float

    def __post_init__(self) -> None:
        """Refuse spacings that no head CT has; tiny ones would ask for gigabytes of air."""
        low, high = _SPACING_RANGE_MM
        if not all(low <= mm <= high for mm in (self.row_spacing_mm, self.column_spacing_mm)):
            raise ContractError(
                f"Pixel spacing of {self.row_spacing_mm} x {self.column_spacing_mm} mm is outside "
                f"{low} to {high} mm; correct PixelSpacing or leave the slice out."
            )
        if not (np.isfinite(self.centre_row) and np.isfinite(self.centre_column)):
            raise ContractError("The centre of the grid on the slice is not finite.")

    def box_on(self, grid: Grid) -> tuple[float, float, float, float]:
        """The grid's left, top, right and bottom edge in pixels of the scanned slice."""
        half_width = grid.columns * grid.pixel_spacing_mm / self.column_spacing_mm / 2
        half_height = grid.rows * grid.pixel_spacing_mm / self.row_spacing_mm / 2
        return (
            self.centre_column - half_width,
            self.centre_row - half_height,
            self.centre_column + half_width,
            self.centre_row + half_height,
        )


def placement_from_hu(
    hu: NDArray[np.generic], row_spacing_mm: float, column_spacing_mm: float
) -> Placement:
    """Centre the grid on the head of one slice, HU [R, C] in canonical orientation.

    The centre is the middle of the extent of bone, without the outermost 2 % of its pixels; a
    headrest and the scalp do not move it. A slice with less than 3 cm2 of bone, above the skull
    or beside it, takes the middle of the image.
    """
    rows, columns = hu.shape
    middle = Placement(rows, columns, row_spacing_mm, column_spacing_mm, rows / 2, columns / 2)
    bone = np.asarray(hu, dtype=np.float32) > _BONE_HU
    of_rows = np.count_nonzero(bone, axis=1)
    if of_rows.sum() * row_spacing_mm * column_spacing_mm < _MIN_BONE_MM2:
        return middle
    of_columns = bone.sum(axis=0, dtype=np.int32)
    return replace(middle, centre_row=_middle(of_rows), centre_column=_middle(of_columns))


def hu_on_grid(hu: NDArray[np.generic], placement: Placement, grid: Grid) -> NDArray[np.float16]:
    """Resample one slice [R, C] to the grid as the wire wants it: FP16 whole HU in range.

    Raises `NonFiniteError` where a pixel is NaN or infinite.
    """
    source = _checked(hu, (placement.rows, placement.columns), "slice")
    if source.size and (source.min() < HU_AIR or source.max() > HU_MAX):
        source = np.clip(source, HU_AIR, HU_MAX)
    resampled = _resampled(source, placement.box_on(grid), (grid.rows, grid.columns), HU_AIR)
    # Converting each value anew would take longer than looking it up.
    whole = np.clip(np.rint(resampled), HU_AIR, HU_MAX).astype(np.int16)
    return _WHOLE_HU.take(whole - HU_AIR)


def mask_from_grid(
    mask: NDArray[np.generic], placement: Placement, grid: Grid
) -> NDArray[np.float32]:
    """Carry a mask [R/stride, C/stride] back to the scanned slice [rows, columns], 0 outside."""
    source = _checked(mask, grid.mask_shape, "mask of the grid")
    left, top, right, bottom = placement.box_on(grid)
    scale_x = source.shape[1] / (right - left)
    scale_y = source.shape[0] / (bottom - top)
    box = (
        -left * scale_x,
        -top * scale_y,
        (placement.columns - left) * scale_x,
        (placement.rows - top) * scale_y,
    )
    return _resampled(source, box, (placement.rows, placement.columns), 0.0)


def byte_mask_from_mask(mask: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Lesion probabilities of 0 to 1 as one byte a pixel, 255 for 1."""
    probability = np.clip(np.asarray(mask, dtype=np.float32), 0, 1)
    as_bytes: NDArray[np.uint8] = np.rint(probability * 255).astype(np.uint8)
    return as_bytes


def byte_mask_from_grid(
    mask: NDArray[np.uint8], placement: Placement, grid: Grid
) -> NDArray[np.uint8]:
    """Carry a byte mask [R/stride, C/stride] back to the scanned slice [rows, columns]."""
    return byte_mask_from_mask(mask_from_grid(mask / np.float32(255), placement, grid))


def mask_on_grid(
    mask: NDArray[np.generic], placement: Placement, grid: Grid
) -> NDArray[np.float32]:
    """Carry a mask [rows, columns] of a scanned slice to the mask raster, as shares of 0 to 1."""
    source = _checked(mask, (placement.rows, placement.columns), "mask")
    return _resampled(source, placement.box_on(grid), grid.mask_shape, 0.0)


def _checked(values: NDArray[np.generic], shape: tuple[int, int], what: str) -> NDArray[np.float32]:
    # A raster of another size would be stretched to fit without a word.
    if values.shape != shape:
        raise ContractError(f"A {what} has shape {values.shape}; its placement says {shape}.")
    checked = np.asarray(values, dtype=np.float32)
    if not np.isfinite(checked).all():
        raise NonFiniteError(f"A {what} has values that are not finite; it cannot be judged.")
    return checked


def _middle(profile: NDArray[np.generic]) -> float:
    share = np.cumsum(profile) / profile.sum()
    first = int(np.searchsorted(share, _OUTER_SHARE))
    last = int(np.searchsorted(share, 1 - _OUTER_SHARE))
    return (first + last + 1) / 2


def _resampled(
    source: NDArray[np.float32],
    box: tuple[float, float, float, float],
    shape: tuple[int, int],
    outside: float,
) -> NDArray[np.float32]:
    """The box (left, top, right, bottom in source pixels) as an image of `shape`."""
    from PIL import Image  # models of the server that see no pixels do without it

    left, top, right, bottom = box
    rows, columns = source.shape
    pad_left, pad_top = max(0, int(np.ceil(-left))), max(0, int(np.ceil(-top)))
    pad_right = max(0, int(np.ceil(right - columns)))
    pad_bottom = max(0, int(np.ceil(bottom - rows)))
    if pad_left or pad_top or pad_right or pad_bottom:
        source = np.pad(
            source, ((pad_top, pad_bottom), (pad_left, pad_right)), constant_values=outside
        )
    image = Image.fromarray(np.ascontiguousarray(source))
    moved = (left + pad_left, top + pad_top, right + pad_left, bottom + pad_top)
    resized = image.resize((shape[1], shape[0]), Image.Resampling.BILINEAR, box=moved)
    return np.asarray(resized, dtype=np.float32)
