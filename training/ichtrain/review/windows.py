"""HU on the grid -> grey tiles side by side, and the slices to look at first.

What a reader sees without AI is chosen by anatomy alone: a choice that knew the truth or the
score would point at the blood.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ichcore import Grid

AIR_HU = -300.0
_SOFT_HU = (0.0, 100.0)
_MARGIN_PIXELS = 3
_FULL_SHARE = 0.4


@dataclass(frozen=True)
class Window:
    """A display window; `step_hu` is how many HU share one grey."""

    name: str
    width_hu: float
    level_hu: float
    step_hu: float

    def grey(self, hu: NDArray[np.generic]) -> NDArray[np.uint8]:
        """HU of any shape as greys 0 to 255, in steps of `step_hu`."""
        low_hu = self.level_hu - self.width_hu / 2
        steps = np.rint((np.asarray(hu, dtype=np.float32) - low_hu) / self.step_hu)
        most = self.width_hu / self.step_hu
        return np.asarray(np.rint(np.clip(steps, 0, most) * (255 / most)), dtype=np.uint8)


WINDOWS = (Window("brain", 80, 40, 1), Window("subdural", 200, 80, 4))
"""Width/level 80/40 and 200/80; noise hides steps of 4 HU in the wide one and saves half."""


@dataclass(frozen=True)
class Sheet:
    """How the slices of a series lie on one picture: n tiles, row by row, of equal size.

    `top` and `left` are the crop's first row and column on the grid; `rows` and `columns` the
    tile in grid pixels; `across` the tiles in a row of the sheet.
    """

    count: int
    top: int
    left: int
    rows: int
    columns: int
    across: int

    @property
    def down(self) -> int:
        """Rows of tiles."""
        return -(-self.count // self.across)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the sheet in pixels."""
        return self.across * self.columns, self.down * self.rows

    def corner(self, index: int) -> tuple[int, int]:
        """The left and top pixel of a slice's tile."""
        return index % self.across * self.columns, index // self.across * self.rows

    def laid(self, planes: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Planes [n, R, C] on the grid, cropped and laid out as one picture."""
        width, height = self.size
        picture = np.zeros((height, width), dtype=np.uint8)
        crop = planes[:, self.top : self.top + self.rows, self.left : self.left + self.columns]
        for index, tile in enumerate(crop):
            x, y = self.corner(index)
            picture[y : y + self.rows, x : x + self.columns] = tile
        return picture


def sheet_from_hu(hu: NDArray[np.generic], across: int = 8) -> Sheet:
    """The sheet that shows the whole head of HU [n, R, C] and as little air as it can."""
    head = (np.asarray(hu, dtype=np.float32) > AIR_HU).any(axis=0)
    rows, columns = np.flatnonzero(head.any(axis=1)), np.flatnonzero(head.any(axis=0))
    if len(rows) == 0:
        rows, columns = np.arange(head.shape[0]), np.arange(head.shape[1])
    top, left = max(rows[0] - _MARGIN_PIXELS, 0), max(columns[0] - _MARGIN_PIXELS, 0)
    bottom = min(rows[-1] + 1 + _MARGIN_PIXELS, head.shape[0])
    right = min(columns[-1] + 1 + _MARGIN_PIXELS, head.shape[1])
    size = int(bottom - top), int(right - left)
    return Sheet(len(hu), int(top), int(left), *size, min(across, len(hu)))


def anatomical_slices(hu: NDArray[np.generic], count: int) -> tuple[int, ...]:
    """`count` slices (fewer if there are fewer) evenly through the head, bottom to top.

    The head is where soft tissue fills at least two fifths of its largest slice.
    """
    low, high = _SOFT_HU
    values = np.asarray(hu, dtype=np.float32)
    area = ((values > low) & (values < high)).sum(axis=(1, 2))
    inside = np.flatnonzero(area >= _FULL_SHARE * area.max())
    most = min(count, len(inside))
    return tuple(int(inside[(2 * pick + 1) * len(inside) // (2 * most)]) for pick in range(most))


def marked_slices(
    mask: NDArray[np.bool_], count: int, fallback: tuple[int, ...]
) -> tuple[int, ...]:
    """The slices of a mask [n, r, c] with most marked pixels, filled up from `fallback`."""
    area = mask.sum(axis=(1, 2))
    order = np.argsort(-area, kind="stable")[:count]
    picked = [int(index) for index in order if area[index] > 0]
    for index in fallback:
        if len(picked) < count and index not in picked:
            picked.append(index)
    return tuple(sorted(picked))


def marked_on_grid(mask: NDArray[np.bool_], grid: Grid) -> NDArray[np.uint8]:
    """A mask [n, r, c] at the mask's stride as planes [n, R, C] of 0 and 255."""
    return (mask.repeat(grid.mask_stride, axis=1).repeat(grid.mask_stride, axis=2) * 255).astype(
        np.uint8
    )
