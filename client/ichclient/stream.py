"""HU slices -> chunks in flight -> slice scores and masks, in order and in flat memory.

While the server judges one chunk, the next slices are decoded and put on the grid. A mask is kept
as one byte per pixel, so 300 slices cost 5 MB.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ichclient.answers import ChunkScores, Float32
from ichclient.headers import Warning_
from ichclient.hounsfield import HUSlice
from ichclient.transport import Transport
from ichcore import Grid, NoSlicesError, Placement, byte_mask_from_mask
from ichcore.flight import answers_in_order
from ichcore.items import Item, chunks_from_items, hu_from_chunk, items_from_slices


@dataclass(frozen=True)
class Judged:
    """All slices of a series as the server judged them, in the order they were sent.

    `score`, `lesion_mm2`, `brain_mm2` [n], `member_scores` [n, K], `mask` uint8 [n, r, c] where
    255 is a lesion probability of 1, on the mask raster of `grid`.
    """

    grid: Grid
    score: Float32
    member_scores: Float32
    lesion_mm2: Float32
    brain_mm2: Float32
    mask: NDArray[np.uint8]
    provenance: tuple[str, ...]
    placements: tuple[Placement, ...]
    slice_warnings: tuple[tuple[Warning_, ...], ...]
    starts: frozenset[str] = frozenset()
    """Those of servers that judged them, as far as they say."""

    @property
    def warnings(self) -> tuple[Warning_, ...]:
        """Those of all slices, in order."""
        return tuple(warning for told in self.slice_warnings for warning in told)


class Chunks:
    """The slices of a series on `grid`, in chunks and in order; to be iterated once, and closed.

    `slice_warnings` grows as slices pass: what was to be said of each.
    """

    def __init__(
        self, slices: Iterable[HUSlice], grid: Grid, *, close: Callable[[], None] = lambda: None
    ) -> None:
        self.grid = grid
        self.close = close
        """Takes no further slice."""
        self.slice_warnings: list[tuple[Warning_, ...]] = []
        self._slices = slices
        self._chunks = chunks_from_items(items_from_slices(self._noted(), grid))

    def make_first(self) -> None:
        """Decode the first chunk and put it on the grid before anybody asks for it."""
        first = list(itertools.islice(self._chunks, 1))
        self._chunks = itertools.chain(first, self._chunks)

    def __iter__(self) -> Iterator[list[Item]]:
        """Each chunk, made when it is asked for."""
        return self._chunks

    def _noted(self) -> Iterator[HUSlice]:
        for one in self._slices:
            self.slice_warnings.append(one.warnings)
            yield one


def judged_from_chunks(
    chunks: Chunks, transport: Transport, *, on_judged: Callable[[int], None] = lambda _: None
) -> Judged:
    """Send the chunks, a few in flight; `on_judged` hears how many slices are done.

    Raises what the transport raises; the rest is then neither decoded nor sent.
    """
    parts: list[Judged] = []
    # Without waiting: whoever closes the transport ends the calls that are under way.
    answers = answers_in_order(
        chunks, lambda chunk: transport.infer(hu_from_chunk(chunk)), wait=False
    )
    with contextlib.closing(answers):
        for chunk, answer in answers:
            parts.append(_judged(answer, chunk, chunks.grid))
            on_judged(sum(len(part.score) for part in parts))
    return _joined(parts, tuple(chunks.slice_warnings))


def _judged(answer: ChunkScores, chunk: list[Item], grid: Grid) -> Judged:
    return Judged(
        grid=grid,
        score=answer.score,
        member_scores=answer.member_scores,
        lesion_mm2=answer.lesion_mm2,
        brain_mm2=answer.brain_mm2,
        mask=byte_mask_from_mask(answer.mask),
        provenance=answer.provenance,
        placements=tuple(item.placement for item in chunk),
        slice_warnings=(),
        starts=answer.starts,
    )


def _joined(parts: list[Judged], told: tuple[tuple[Warning_, ...], ...]) -> Judged:
    if not parts:
        raise NoSlicesError("The series has no slices, so there is nothing to judge.")
    return Judged(
        grid=parts[0].grid,
        score=np.concatenate([part.score for part in parts]),
        member_scores=np.concatenate([part.member_scores for part in parts]),
        lesion_mm2=np.concatenate([part.lesion_mm2 for part in parts]),
        brain_mm2=np.concatenate([part.brain_mm2 for part in parts]),
        mask=np.concatenate([part.mask for part in parts]),
        provenance=tuple(text for part in parts for text in part.provenance),
        placements=tuple(placement for part in parts for placement in part.placements),
        slice_warnings=told,
        starts=frozenset().union(*(part.starts for part in parts)),
    )
