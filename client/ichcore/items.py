"""Scanned slices -> items on the grid -> chunks: what a request to the slice models is made of.

The client and the series model both call these, so that a series gives the same bits either way.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from ichcore.grid import Grid, Placement, hu_on_grid, placement_from_hu

CHUNK_SLICES = 8
"""Slices that a series is sent in."""

_T = TypeVar("_T")


class ScannedSlice(Protocol):
    """HU [rows, columns] in canonical orientation, and the distance between its pixels."""

    @property
    def hu(self) -> NDArray[np.generic]:
        """Hounsfield units."""
        ...

    @property
    def row_spacing_mm(self) -> float:
        """From one row to the next."""
        ...

    @property
    def column_spacing_mm(self) -> float:
        """From one column to the next."""
        ...


@dataclass(frozen=True)
class Item:
    """What the engines get for one slice: HU [S, R, C] and where the grid lies on the slice."""

    hu: NDArray[np.float16]
    placement: Placement


def items_from_slices(slices: Iterable[ScannedSlice], grid: Grid) -> Iterator[Item]:
    """Put each slice on the grid with its neighbours; at the edges the last slice is repeated.

    Neighbours lie on the grid as their middle slice does, so that they stay aligned. Raises a
    `ContractError` at the first slice that is not finite or has spacings that no head CT has.
    """
    half = grid.slices_per_item // 2
    window: deque[ScannedSlice] = deque(maxlen=2 * half + 1)
    for one in _with_repeated_edges(slices, half):
        window.append(one)
        if len(window) == window.maxlen:
            middle = window[half]
            placement = placement_from_hu(
                middle.hu, middle.row_spacing_mm, middle.column_spacing_mm
            )
            planes = [hu_on_grid(item.hu, placement, grid) for item in window]
            yield Item(np.stack(planes), placement)


def chunks_from_items(items: Iterable[Item]) -> Iterator[list[Item]]:
    """Chunks of `CHUNK_SLICES` items in their order; the last one may be smaller."""
    chunk: list[Item] = []
    for item in items:
        chunk.append(item)
        if len(chunk) == CHUNK_SLICES:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def hu_from_chunk(chunk: list[Item]) -> NDArray[np.float16]:
    """`HU` [N, S, R, C] of a chunk, as the wire wants it."""
    return np.stack([item.hu for item in chunk])


def _with_repeated_edges(slices: Iterable[_T], half: int) -> Iterator[_T]:
    last: _T | None = None
    for one in slices:
        if last is None:
            yield from [one] * half
        last = one
        yield one
    if last is not None:
        yield from [last] * half
