"""Chunks of a study whose first one is made while its server proves itself.

Nothing is sent from here: a chunk waits until somebody asks for it, which is after the proof.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future

from ichclient.stream import Chunks
from ichcore import Grid


class ChunksAhead:
    """What `make` makes of a grid, begun on `reader` as soon as the grid is known; close it."""

    def __init__(self, reader: Executor, make: Callable[[Grid], Chunks]) -> None:
        self._reader = reader
        self._make = make
        self._begun: tuple[Grid, Future[Chunks]] | None = None

    def begin(self, grid: Grid) -> None:
        """Make the first chunk; returns at once, and at a second call does nothing."""
        if self._begun is None:
            self._begun = grid, self._reader.submit(self._with_first, grid)

    def chunks(self, grid: Grid) -> Chunks:
        """The chunks on this grid, begun or not; raises what making the first one raised."""
        if self._begun is None or self._begun[0] != grid:
            return self._make(grid)
        return self._begun[1].result()

    def close(self) -> None:
        """Take no further slice of what was begun, asked for or not."""
        if self._begun is not None:
            _, begun = self._begun
            begun.cancel()
            begun.add_done_callback(_closed)

    def _with_first(self, grid: Grid) -> Chunks:
        chunks = self._make(grid)
        try:
            chunks.make_first()
        except BaseException:
            chunks.close()
            raise
        return chunks


def _closed(begun: Future[Chunks]) -> None:
    if not begun.cancelled() and begun.exception() is None:
        begun.result().close()
