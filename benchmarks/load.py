"""A function that answers requests -> when each was sent and answered, under a load.

The two loads of Triton's perf_analyzer: a *closed* loop keeps so many requests under way, and an
*open* one sends at a rate, whatever comes back, with the gaps of a Poisson process.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.data import Requests

Send = Callable[[NDArray[np.float16]], Any]
_MOST_UNDER_WAY = 64


@dataclass(frozen=True)
class Record:
    """One request: due and answered, in seconds of the monotonic clock."""

    due_s: float
    """When it was sent; in an open loop when it should have been, so that waiting counts."""
    answered_s: float


@dataclass
class _Kept:
    records: list[Record] = field(default_factory=list)
    failure: BaseException | None = None


class Load:
    """Requests that are sent as long as the `with` block lasts."""

    def __init__(self, send: Send, requests: Requests) -> None:
        self._send, self._requests = send, requests
        self._kept, self._lock = _Kept(), threading.Lock()
        self._ended = threading.Event()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()
        if error is None:
            self._refuse_failure()

    def records(self) -> list[Record]:
        """All requests that were answered so far; raises what a request raised."""
        self._refuse_failure()
        with self._lock:
            return list(self._kept.records)

    def _one(self, due_s: float) -> None:
        try:
            self._send(self._requests.take())
        except BaseException as error:
            self._kept.failure = error
            self._ended.set()
            return
        record = Record(due_s, time.perf_counter())
        with self._lock:
            self._kept.records.append(record)

    def _refuse_failure(self) -> None:
        if self._kept.failure is not None:
            raise self._kept.failure


class ClosedLoop(Load):
    """`in_flight` requests are always under way."""

    def __init__(self, send: Send, requests: Requests, in_flight: int) -> None:
        super().__init__(send, requests)
        names = (f"closed-loop-{number}" for number in range(in_flight))
        self._threads = [threading.Thread(target=self._work, name=name) for name in names]

    def _work(self) -> None:
        while not self._ended.is_set():
            self._one(time.perf_counter())


class OpenLoop(Load):
    """`per_second` requests a second on average, the gaps between them exponential."""

    def __init__(self, send: Send, requests: Requests, per_second: float, seed: int = 7) -> None:
        super().__init__(send, requests)
        self._gaps = np.random.default_rng(seed)
        self._mean_gap_s = 1 / per_second
        self._threads = [threading.Thread(target=self._work, name="open-loop")]

    def _work(self) -> None:
        due = time.perf_counter()
        with ThreadPoolExecutor(_MOST_UNDER_WAY, thread_name_prefix="open-loop") as pool:
            while not self._ended.wait(max(0.0, due - time.perf_counter())):
                pool.submit(self._one, due)
                due += float(self._gaps.exponential(self._mean_gap_s))
            pool.shutdown(wait=True, cancel_futures=True)


@dataclass(frozen=True)
class Burst:
    """So many requests, a few under way, from the first sent to the last answered."""

    elapsed_s: float
    latencies_s: tuple[float, ...]


def burst(send: Send, requests: Requests, count: int, in_flight: int) -> Burst:
    """Send `count` requests in a closed loop; raises what a request raises."""
    latencies: list[float] = []

    def one(_: int) -> None:
        started = time.perf_counter()
        send(requests.take())
        latencies.append(time.perf_counter() - started)

    if in_flight == 1:
        started = time.perf_counter()
        for number in range(count):
            one(number)
        return Burst(time.perf_counter() - started, tuple(latencies))
    with ThreadPoolExecutor(in_flight, thread_name_prefix="burst") as pool:
        started = time.perf_counter()
        list(pool.map(one, range(count)))
        elapsed_s = time.perf_counter() - started
    return Burst(elapsed_s, tuple(latencies))
