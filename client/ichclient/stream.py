"""HU slices -> chunks in flight -> slice scores and masks, in order and in flat memory.

While the server judges one chunk, the next slices are decoded and put on the grid. A mask is kept
as one byte per pixel, so 300 slices cost 5 MB.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ichclient.answers import ChunkScores, Float32
from ichclient.headers import Warning_
from ichclient.hounsfield import HUSlice
from ichclient.transport import Transport
from ichcore import Grid, NoSlicesError, Placement, hu_on_grid, placement_from_hu

CHUNK_SLICES = 8
IN_FLIGHT = 2


@dataclass(frozen=True)
class Item:
    """What the engines get for one slice: HU [S, R, C] and where the grid lies on the slice."""

    hu: NDArray[np.float16]
    placement: Placement
    warnings: tuple[Warning_, ...]


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

    @property
    def warnings(self) -> tuple[Warning_, ...]:
        """Those of all slices, in order."""
        return tuple(warning for told in self.slice_warnings for warning in told)


def items_from_slices(slices: Iterable[HUSlice], grid: Grid) -> Iterator[Item]:
    """Put each slice on the grid with its neighbours; at the edges the last slice is repeated.

    Neighbours lie on the grid as their middle slice does, so that they stay aligned.
    """
    half = grid.slices_per_item // 2
    window: deque[HUSlice] = deque(maxlen=2 * half + 1)
    for one in _with_repeated_edges(slices, half):
        window.append(one)
        if len(window) == window.maxlen:
            middle = window[half]
            placement = placement_from_hu(
                middle.hu, middle.row_spacing_mm, middle.column_spacing_mm
            )
            planes = [hu_on_grid(item.hu, placement, grid) for item in window]
            yield Item(np.stack(planes), placement, middle.warnings)


def judged_from_slices(
    slices: Iterable[HUSlice],
    transport: Transport,
    grid: Grid,
    *,
    on_judged: Callable[[int], None] = lambda _: None,
) -> Judged:
    """Send the slices in chunks of 8, two chunks in flight; `on_judged` hears how many are done.

    Raises what the transport raises; the rest is then neither decoded nor sent.
    """
    parts: list[Judged] = []
    waiting: deque[tuple[Future[ChunkScores], list[Item]]] = deque()

    def take() -> None:
        answer, chunk = waiting.popleft()
        parts.append(_judged(answer.result(), chunk, grid))
        on_judged(sum(len(part.score) for part in parts))

    pool = ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="ichclient-send")
    try:
        for chunk in _chunks(items_from_slices(slices, grid)):
            if len(waiting) == IN_FLIGHT:
                take()
            hu = np.stack([item.hu for item in chunk])
            waiting.append((pool.submit(transport.infer, hu), chunk))
        while waiting:
            take()
    finally:
        # Without waiting: whoever closes the transport ends the calls that are under way.
        pool.shutdown(wait=False, cancel_futures=True)
    return _joined(parts)


def _with_repeated_edges(slices: Iterable[HUSlice], half: int) -> Iterator[HUSlice]:
    last: HUSlice | None = None
    for one in slices:
        if last is None:
            yield from [one] * half
        last = one
        yield one
    if last is not None:
        yield from [last] * half


def _chunks(items: Iterator[Item]) -> Iterator[list[Item]]:
    chunk: list[Item] = []
    for item in items:
        chunk.append(item)
        if len(chunk) == CHUNK_SLICES:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _judged(answer: ChunkScores, chunk: list[Item], grid: Grid) -> Judged:
    probability = np.clip(answer.mask.astype(np.float32), 0, 1)
    return Judged(
        grid=grid,
        score=answer.score,
        member_scores=answer.member_scores,
        lesion_mm2=answer.lesion_mm2,
        brain_mm2=answer.brain_mm2,
        mask=np.rint(probability * 255).astype(np.uint8),
        provenance=answer.provenance,
        placements=tuple(item.placement for item in chunk),
        slice_warnings=tuple(item.warnings for item in chunk),
    )


def _joined(parts: list[Judged]) -> Judged:
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
        slice_warnings=tuple(told for part in parts for told in part.slice_warnings),
    )
