"""`ichclient listen` as a process of its own, for as long as a benchmark needs it."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.errors import BenchmarkError


@dataclass(frozen=True)
class Listener:
    """A station that runs: where it listens, and its process."""

    port: int
    pid: int


@contextmanager
def listening(state: Path, quiet_s: float, pacs_port: int) -> Iterator[Listener]:
    """`ichclient listen` on a free port, ended with the block."""
    port, log = _free_port(), state.with_suffix(".log")
    command = [
        sys.executable, "-m", "ichclient", "listen", "--state", state, "--port", port,
        "--quiet", quiet_s, "--keep-free-gib", 0, "--store-to", f"dimse:PACS@127.0.0.1:{pacs_port}",
    ]  # fmt: skip
    with log.open("wb") as lines:
        process = subprocess.Popen([str(part) for part in command], stderr=lines)
    try:
        _await(lambda: " listening " in log.read_text(), process, log)
        yield Listener(port, process.pid)
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()


def _await(true: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 120
    while not true():
        if process.poll() is not None or time.monotonic() > deadline:
            raise BenchmarkError(f"The station does not listen: {log.read_text()[-500:]}")
        time.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
