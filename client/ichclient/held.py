"""Slices on their way to the server -> the same slices once more for the page, without decoding.

Decoding compressed slices takes longer than drawing them. Whole Hounsfield units, which is what CT
has, are held in two bytes; what does not fit any more is decoded again by whoever needs it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ichclient.headers import SliceHeader
from ichclient.hounsfield import HUSlice

HELD_BYTES = 64 * 2**20
"""128 slices of 512 x 512 pixels: every series of 5 mm, the lower part of a thin one."""

_NOTHING: NDArray[np.float32] = np.zeros((0, 0), dtype=np.float32)


class HeldSlices:
    """The first slices of a series, at most `limit_bytes` of them."""

    def __init__(self, limit_bytes: int = HELD_BYTES) -> None:
        self._left_bytes = limit_bytes
        self._held: dict[int, tuple[HUSlice, NDArray[np.generic]]] = {}

    def as_they_pass(self, slices: Iterable[HUSlice]) -> Iterator[HUSlice]:
        """The slices, unchanged and in order."""
        for index, one in enumerate(slices):
            self._hold(index, one)
            yield one

    def slice(self, index: int, header: SliceHeader) -> HUSlice | None:
        """A slice as it passed; None where it did not, was not held, or is not of that header."""
        if index not in self._held or self._held[index][0].header != header:
            return None
        one, hu = self._held[index]
        return replace(one, hu=hu.astype(np.float32))

    def _hold(self, index: int, one: HUSlice) -> None:
        hu = one.hu.astype(np.int16)  # within -1024 to 3071
        kept: NDArray[np.generic] = hu if np.array_equal(hu, one.hu) else one.hu.copy()
        if kept.nbytes <= self._left_bytes:
            self._left_bytes -= kept.nbytes
            self._held[index] = replace(one, hu=_NOTHING), kept
