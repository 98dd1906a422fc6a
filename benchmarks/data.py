"""Head CT -> a pool of real slices, and requests of them that never repeat in a row.

One array sent again and again lives in the caches of client, server and engine; here every request
begins at another slice of the pool than the one before.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.work import HUStudy, hu_study_from_path
from ichcore import Grid

CHECKOUT = Path(__file__).resolve().parents[1]
EXAMPLE = CHECKOUT / "examples" / "phantom-sdh"
HEAD_CT = CHECKOUT.parent / "shared" / "data" / "head_ct" / "ge"
_STRIDE = 5
"""Slices from the start of one request to that of the next; it divides no pool of ours."""
_RING_SLICES = 96
_FEWEST = 4


@dataclass(frozen=True)
class Pool:
    """Slices of real series, `hu` [n, S, R, C], and what they were read from."""

    hu: NDArray[np.float16]
    studies: tuple[str, ...]

    def request(self, number: int, slices: int) -> NDArray[np.float16]:
        """HU of the request `number`, [slices, S, R, C], from the pool's ring of slices."""
        start = number * _STRIDE % len(self.hu)
        places = np.arange(start, start + slices) % len(self.hu)
        return np.ascontiguousarray(self.hu[places])

    def requests(self, slices: int) -> Requests:
        """A ring of different requests, some 100 slices in all, made beforehand."""
        made = max(_FEWEST, _RING_SLICES // slices)
        return Requests(tuple(self.request(number, slices) for number in range(made)))


class Requests:
    """A ring of requests that several threads take from."""

    def __init__(self, made: Sequence[NDArray[np.float16]]) -> None:
        self._numbers: Iterator[int] = itertools.count()
        self._made = made
        self._lock = threading.Lock()

    def take(self) -> NDArray[np.float16]:
        """The next request."""
        with self._lock:
            number = next(self._numbers)
        return self._made[number % len(self._made)]


def default_studies() -> tuple[Path, ...]:
    """The phantom of the examples, and a real head where one lies beside the checkout."""
    return (EXAMPLE, HEAD_CT) if HEAD_CT.is_dir() else (EXAMPLE,)


def pool_from_studies(paths: Sequence[Path], grid: Grid) -> Pool:
    """Read the series of each study that the client would judge; raises what the client raises."""
    hu = np.concatenate([hu_study_from_path(path, grid).hu for path in paths])
    return Pool(hu, tuple(path.name for path in paths))


def study_of_length(pool: Pool, slices: int, spacing_mm: float = 5.0) -> HUStudy:
    """A series of any length: the pool's slices in their order, over and over."""
    positions = np.arange(slices, dtype=np.float32) * np.float32(spacing_mm)
    return HUStudy(pool.request(0, slices), positions)
