"""Slices reach the server in order and in chunks, while only a few are held."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from tests.client.planes import plane

from ichclient.errors import ServerUnreachable
from ichclient.hounsfield import HUSlice
from ichclient.stream import Chunks, judged_from_chunks
from ichcore import NoSlicesError
from ichcore.flight import IN_FLIGHT
from ichcore.items import CHUNK_SLICES, items_from_slices


def middle(hu: np.ndarray[Any, Any]) -> list[float]:
    """The value in the middle of each plane of an item."""
    return hu[:, hu.shape[1] // 2, hu.shape[2] // 2].tolist()  # type: ignore[no-any-return]


@pytest.mark.parametrize("count", [1, CHUNK_SLICES, CHUNK_SLICES + 1, 4 * CHUNK_SLICES + 3])
def test_scores_come_back_in_the_order_of_the_slices(fake_transport: Any, count: int) -> None:
    done: list[int] = []
    judged = judged_from_chunks(
        Chunks((plane(index) for index in range(count)), fake_transport.spec.grid),
        fake_transport,
        on_judged=done.append,
    )
    assert judged.score.tolist() == [0.5 + index / 4096 for index in range(count)]
    assert len(judged.placements) == len(judged.provenance) == len(judged.mask) == count
    assert all(len(chunk) <= CHUNK_SLICES for chunk in fake_transport.chunks)
    assert done == sorted(done)
    assert done[-1] == count


def test_a_mask_keeps_its_probability_within_half_a_step(fake_transport: Any) -> None:
    judged = judged_from_chunks(Chunks([plane(0)], fake_transport.spec.grid), fake_transport)
    assert judged.mask.dtype == np.uint8
    assert abs(judged.mask[0, 0, 0] / 255 - 0.25) <= 0.5 / 255


def test_no_more_chunks_are_in_flight_than_allowed(fake_transport: Any) -> None:
    under_way, most, taken = 0, 0, 0
    lock = threading.Lock()
    both = threading.Barrier(IN_FLIGHT)

    def on_infer() -> None:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        both.wait(timeout=30)  # only chunks that are under way together get past this
        with lock:
            under_way -= 1

    def slices() -> Iterator[HUSlice]:
        nonlocal taken
        for index in range(4 * CHUNK_SLICES):
            taken += 1
            yield plane(index)

    fake_transport.on_infer = on_infer
    judged_from_chunks(Chunks(slices(), fake_transport.spec.grid), fake_transport)
    assert most == IN_FLIGHT
    assert taken == 4 * CHUNK_SLICES


def test_a_server_that_is_gone_ends_the_decoding_too(fake_transport: Any) -> None:
    taken = 0

    def slices() -> Iterator[HUSlice]:
        nonlocal taken
        for index in range(100 * CHUNK_SLICES):
            taken += 1
            yield plane(index)

    def gone() -> None:
        raise ServerUnreachable("gone")

    fake_transport.on_infer = gone
    with pytest.raises(ServerUnreachable, match="gone"):
        judged_from_chunks(Chunks(slices(), fake_transport.spec.grid), fake_transport)
    assert taken <= (IN_FLIGHT + 1) * CHUNK_SLICES


def test_no_slices_are_an_error_and_not_a_negative(fake_transport: Any) -> None:
    with pytest.raises(NoSlicesError):
        judged_from_chunks(Chunks([], fake_transport.spec.grid), fake_transport)


def test_neighbours_come_along_and_the_edges_are_repeated(
    make_transport: Callable[..., Any],
) -> None:
    grid = make_transport(slices_per_item=3).spec.grid
    items = list(items_from_slices([plane(10), plane(20), plane(30)], grid))
    assert [middle(item.hu) for item in items] == [[10, 10, 20], [10, 20, 30], [20, 30, 30]]


def test_a_single_slice_is_its_own_neighbour(make_transport: Callable[..., Any]) -> None:
    grid = make_transport(slices_per_item=3).spec.grid
    assert [middle(item.hu) for item in items_from_slices([plane(5)], grid)] == [[5, 5, 5]]
