"""`ichclient infer STUDY` as a whole process -> seconds to its result, and its peak memory.

The process starts its own embedded server, proves it, judges the study and ends both, as a user's
does. Files are in the page cache from the run before: what is cold is the processes.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.errors import BenchmarkError, Disagreement
from benchmarks.memory import PeakMemory, peak_memory
from ichclient.workspace import ENGINE_CACHE

# The installed command is this function; it is named here so that PATH does not matter.
_COMMAND = (sys.executable, "-c", "from ichclient.cli import main; main()")
_END_DEADLINE_S = 20.0
Scores = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class ColdStart:
    """Seconds from the start of the process to its result on stdout, and to its end."""

    first_result_s: float
    process_end_s: float
    stages_s: dict[str, float]
    """The client's own timings of the same run."""

    def __post_init__(self) -> None:
        """Refuse a result that came after the end of its process."""
        if not 0 < self.first_result_s <= self.process_end_s:
            raise ValueError(f"not the course of a process: {self}")


def cold_start(
    study: Path, repository: Path, expected: Scores, tolerance: float, *, kept_engine: bool
) -> ColdStart:
    """Time one run, in which the engine is compiled, or with `kept_engine` read as it was kept.

    Raises Disagreement where its slices' scores are not those expected.
    """
    started = time.perf_counter()
    with _client(study, repository, kept_engine=kept_engine) as client:
        assert client.stdout is not None  # Popen was given a pipe
        first = client.stdout.read(1)
        first_result_s = time.perf_counter() - started
        text = first + client.stdout.read()
        client.wait()
        process_end_s = time.perf_counter() - started
        result = _result(client, text)
    _refuse_other_result(result, expected, tolerance)
    return ColdStart(first_result_s, process_end_s, dict(result["timings"]))


def memory_of_process(
    study: Path, repository: Path, expected: Scores, tolerance: float
) -> PeakMemory:
    """Peak memory of one untimed run: the client itself, and the server's processes below it."""
    with _client(study, repository) as client, peak_memory(client.pid) as peak:
        assert client.stdout is not None  # Popen was given a pipe
        result = _result(client, client.stdout.read())
    _refuse_other_result(result, expected, tolerance)
    return peak


@contextmanager
def _client(
    study: Path, repository: Path, *, kept_engine: bool = True
) -> Iterator[subprocess.Popen[bytes]]:
    """A running client that has ended, with its server, when the block is left however."""
    arguments = ["infer", str(study.resolve()), "--repository", str(repository.resolve()), "--json"]
    with subprocess.Popen(
        [*_COMMAND, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,  # one byte must not wait for more
        env=os.environ | ({} if kept_engine else {ENGINE_CACHE: ""}),
    ) as client:
        try:
            yield client
        finally:
            _end(client)


def _end(client: subprocess.Popen[bytes]) -> None:
    if client.poll() is not None:
        return
    client.send_signal(signal.SIGINT)
    try:
        client.wait(_END_DEADLINE_S)
    except subprocess.TimeoutExpired:
        client.kill()  # the server's supervisor then ends the server


def _result(client: subprocess.Popen[bytes], text: bytes) -> dict[str, Any]:
    """The result that the client printed; raises BenchmarkError with its own words if none."""
    assert client.stderr is not None  # Popen was given a pipe
    words = " ".join(client.stderr.read().decode(errors="replace").split())
    if client.wait() != 0:
        raise BenchmarkError(f"ichclient infer ended with {client.returncode}: {words}")
    result: dict[str, Any] = json.loads(text)
    return result


def _refuse_other_result(result: dict[str, Any], expected: Scores, tolerance: float) -> None:
    scores = np.array([float(item["score"]) for item in result["slices"]])
    largest = float(np.abs(scores - expected).max()) if scores.shape == expected.shape else np.inf
    if not largest <= tolerance:
        raise Disagreement(
            f"ichclient infer gave {len(scores)} slices whose scores differ by up to "
            f"{largest:.4g} from the {len(expected)} of the raw engine; {tolerance:g} is allowed, "
            "so no numbers are given."
        )
