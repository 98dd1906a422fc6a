"""Engines of all members in a process of their own, which answers and times what it is asked.

Runtimes in one process take each other's threads: OpenVINO was seen at a third of its speed beside
sessions of ONNX Runtime. So each way has a process, and only one of them works at a time.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.errors import BenchmarkError
from benchmarks.paired import timed_s
from ichexport.engines import Runner, onnxruntime_from_onnx, openvino_from_onnx

HU = NDArray[np.float16]


class Way(NamedTuple):
    """A runtime with a precision, as `openvino int8`, and a graph for each member.

    `torch` reads the members of the repository.
    """

    name: str
    graphs: Mapping[str, Path]
    repository: Path


class Worker(NamedTuple):
    """The end of the pipe to such a process."""

    pipe: Connection

    def runner(self, member: str) -> Runner:
        """A member's engine, as a function of HU [n, S, R, C]."""

        def run(hu: HU) -> dict[str, NDArray[np.generic]]:
            outputs: dict[str, NDArray[np.generic]] = self._ask((member, hu))
            return outputs

        return run

    def seconds(self, hu: HU, runs: int) -> float:
        """Least seconds that all members took for HU in `runs` runs, after one that warms up."""
        return float(self._ask((runs, hu)))

    def _ask(self, question: tuple[Any, HU]) -> Any:
        try:
            self.pipe.send(question)
            return self.pipe.recv()
        except (EOFError, OSError) as error:
            raise BenchmarkError("An engine's process ended; what it said is above.") from error


@contextmanager
def worker(way: Way) -> Iterator[Worker]:
    """Start the process, and end it."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_work, args=(theirs, way))
    process.start()
    theirs.close()
    try:
        yield Worker(ours)
    finally:
        ours.close()
        process.join(20)
        process.kill()


def _work(pipe: Connection, way: Way) -> None:
    runners = {name: _runner(way, name) for name in way.graphs}

    def everything(hu: HU) -> Callable[[], object]:
        return lambda: [run(hu) for run in runners.values()]

    while True:
        try:
            question, hu = pipe.recv()
        except EOFError:
            return
        if isinstance(question, str):
            pipe.send(runners[question](hu))
        else:
            pipe.send(_least(everything(hu), question))


def _least(work: Callable[[], object], runs: int) -> float:
    seconds: Sequence[float] = [timed_s(work) for _ in range(runs + 1)]
    return min(seconds[1:])


def _runner(way: Way, member: str) -> Runner:
    graph = way.graphs[member]
    runtime, precision = way.name.split()
    if runtime == "torch":
        from ichexport.engine import member_of
        from ichexport.parity import torch_from_member

        return torch_from_member(member_of(way.repository, member))
    if runtime == "onnxruntime":
        return onnxruntime_from_onnx(graph)
    return openvino_from_onnx(graph, precision)
