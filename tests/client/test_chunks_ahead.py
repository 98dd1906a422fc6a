"""The first chunk is made while a server proves itself, and not sent before."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.client.planes import plane

from ichclient import connect
from ichclient.ahead import ChunksAhead
from ichclient.connect import ServerOptions
from ichclient.errors import RefusedInput, ServerRefused
from ichclient.hounsfield import HUSlice
from ichclient.infer import result_from_path
from ichclient.proof import Proof
from ichclient.stream import Chunks
from ichcore import Grid
from ichcore.items import CHUNK_SLICES


class Source:
    """Planes that are counted as they are taken, and told when no more are wanted."""

    def __init__(self) -> None:
        self.taken, self.closed = 0, threading.Event()

    def slices(self) -> Iterator[HUSlice]:
        for index in range(3 * CHUNK_SLICES):
            self.taken += 1
            yield plane(index)

    def chunks(self, grid: Grid) -> Chunks:
        return Chunks(self.slices(), grid, close=self.closed.set)


@pytest.fixture
def reader() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


@pytest.fixture
def grid(make_transport: Callable[..., Any]) -> Grid:
    found: Grid = make_transport().spec.grid
    return found


def test_one_chunk_is_made_before_it_is_asked_for_and_every_chunk_comes_once(
    reader: ThreadPoolExecutor, grid: Grid
) -> None:
    source = Source()
    ahead = ChunksAhead(reader, source.chunks)
    ahead.begin(grid)
    chunks = ahead.chunks(grid)
    assert source.taken == CHUNK_SLICES
    firsts = [item.hu[0, grid.rows // 2, grid.columns // 2] for chunk in chunks for item in chunk]
    assert firsts == list(range(3 * CHUNK_SLICES))
    assert len(chunks.slice_warnings) == 3 * CHUNK_SLICES


def test_what_was_begun_for_another_grid_is_not_used(
    reader: ThreadPoolExecutor, grid: Grid, make_transport: Callable[..., Any]
) -> None:
    source = Source()
    ahead = ChunksAhead(reader, source.chunks)
    ahead.begin(make_transport(slices_per_item=3).spec.grid)
    assert ahead.chunks(grid).grid == grid
    ahead.close()
    assert source.closed.wait(30)


def test_what_was_begun_and_never_asked_for_is_closed(
    reader: ThreadPoolExecutor, grid: Grid
) -> None:
    source = Source()
    ahead = ChunksAhead(reader, source.chunks)
    ahead.begin(grid)
    ahead.close()
    reader.shutdown()
    assert source.closed.is_set() or source.taken == 0, "it was ended, or never began"


def test_a_slice_that_is_refused_meanwhile_is_told_when_chunks_are_asked_for(
    reader: ThreadPoolExecutor, grid: Grid
) -> None:
    closed = threading.Event()

    def slices() -> Iterator[HUSlice]:
        raise RefusedInput("cut short")
        yield

    ahead = ChunksAhead(reader, lambda grid: Chunks(slices(), grid, close=closed.set))
    ahead.begin(grid)
    with pytest.raises(RefusedInput, match="cut short"):
        ahead.chunks(grid)
    ahead.close()
    assert closed.is_set()


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch, fake_transport: Any, proven: Any) -> Any:
    """The fake transport as a server at an address, with its golden slices."""
    monkeypatch.setattr(type(fake_transport), "__enter__", lambda self: self, raising=False)
    monkeypatch.setattr(type(fake_transport), "__exit__", lambda *_: None, raising=False)
    monkeypatch.setattr(connect, "_transport_elsewhere", lambda *_: fake_transport)
    monkeypatch.setattr(connect, "golden_from_file", lambda _: proven.golden)
    return fake_transport


@pytest.mark.parametrize("is_true", [True, False])
def test_pixels_are_made_during_the_proof_and_sent_after_it_alone(
    make_series: Callable[..., Path], tmp_path: Path, elsewhere: Any, proven: Any,
    monkeypatch: pytest.MonkeyPatch, is_true: bool,
) -> None:  # fmt: skip
    begun = threading.Event()
    make_first = Chunks.make_first

    def noted(chunks: Chunks) -> None:
        make_first(chunks)
        begun.set()

    prove = Proof.refuse_untrue_server

    def proves(proof: Proof, transport: Any) -> str:
        assert begun.wait(30), "nothing was made while the server proved itself"
        assert elsewhere.chunks == []
        if not is_true:
            raise ServerRefused("The server alters values.")
        return prove(proof, transport)

    monkeypatch.setattr(Chunks, "make_first", noted)
    monkeypatch.setattr(Proof, "refuse_untrue_server", proves)
    study = make_series(tmp_path / "study")
    if is_true:
        result = result_from_path(study, ServerOptions(url="fake:1", prove=True))
        assert len(result.slices) == 20
        assert np.array_equal(elsewhere.chunks[0], proven.golden.hu)
        return
    with pytest.raises(ServerRefused, match="alters values"):
        result_from_path(study, ServerOptions(url="fake:1", prove=True))
    assert elsewhere.chunks == []
