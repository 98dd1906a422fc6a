"""The raw engine in a process of its own, which answers and times what it is asked.

It is the limit of every server: the same graph, precision and threads (`peers/engine.py`), with
the requests made in the same process. The process is not that of the client, so that the client's
threads and the engine's never share one.
"""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.clients import Outputs
from benchmarks.data import Pool, Requests
from benchmarks.errors import BenchmarkError
from benchmarks.load import Burst, ClosedLoop, burst
from benchmarks.peers.engine import Engine, EngineSettings
from benchmarks.windows import Measured, Pace, measured
from ichcore.wire import FUSED_ENGINE_MODEL
from ichexport.entry import graph_of, released_record

PIECE_SLICES = 2


def settings_of_repository(
    repository: Path, precision: str, streams: int, piece_slices: int = PIECE_SLICES
) -> EngineSettings:
    """The fused engine of a repository, with a stream for each core."""
    graph = graph_of(repository, FUSED_ENGINE_MODEL)
    return EngineSettings(str(graph.resolve()), precision, streams, piece_slices)


def served_precision(repository: Path) -> str:
    """What the served engine calculates in here: bf16 where processor and release allow it."""
    from benchmarks.work import precision_of_processor

    record = released_record(repository, FUSED_ENGINE_MODEL)
    served = record.get("served", {}).get("openvino bf16", {})
    proven = served.get("parity", {}).get("engine") == "passed"
    return precision_of_processor() if proven else "f32"


class RawEngine:
    """The end of the pipe to that process."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def __call__(self, hu: NDArray[np.float16]) -> Outputs:
        """Outputs of HU [N, S, R, C]."""
        outputs: Outputs = self._ask(("answer", hu))
        return outputs

    def burst(self, slices: int, count: int, in_flight: int) -> Burst:
        """Time `count` requests."""
        timed: Burst = self._ask(("burst", slices, count, in_flight))
        return timed

    def measured(self, slices: int, in_flight: int, pace: Pace) -> Measured:
        """Watch a closed loop in windows."""
        found: Measured = self._ask(("measured", slices, in_flight, pace))
        return found

    def cpu_s(self, slices: int) -> float:
        """Processor seconds, of all threads, that one request of so many slices takes."""
        return float(self._ask(("cpu", slices)))

    def close(self) -> None:
        """The process ends where its pipe does."""

    def _ask(self, question: tuple[Any, ...]) -> Any:
        try:
            self._pipe.send(question)
            answer = self._pipe.recv()
        except (EOFError, OSError) as error:
            raise BenchmarkError("The raw engine's process ended; see above.") from error
        if isinstance(answer, Exception):
            raise BenchmarkError(f"The raw engine could not answer: {answer}") from answer
        return answer


@contextmanager
def raw_engine(settings: EngineSettings, pool: Pool) -> Iterator[RawEngine]:
    """Start the process, and end it however the block is left."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=_work, args=(theirs, settings, pool), daemon=True
    )
    process.start()
    theirs.close()
    try:
        yield RawEngine(ours)
    finally:
        ours.close()
        process.join(5)
        process.kill()
        process.join()


def _work(pipe: Connection, settings: EngineSettings, pool: Pool) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent closes the pipe
    engine = Engine(settings)
    rings: dict[int, Requests] = {}
    while True:
        try:
            question, *rest = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            pipe.send(_answered(engine, pool, rings, question, rest))
        except Exception as error:
            pipe.send(error)


def _answered(
    engine: Engine, pool: Pool, rings: dict[int, Requests], question: str, rest: list[Any]
) -> Any:
    if question == "answer":
        return engine(rest[0])
    slices, *rest = rest
    if slices not in rings:
        rings[slices] = pool.requests(slices)
    requests = rings[slices]
    if question == "burst":
        count, in_flight = rest
        return burst(engine, requests, count, in_flight)
    if question == "cpu":
        before = time.process_time()
        engine(requests.take())
        return time.process_time() - before
    in_flight, pace = rest
    with ClosedLoop(engine, requests, in_flight) as load:
        return measured(load, pace)
