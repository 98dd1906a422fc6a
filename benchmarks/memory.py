"""Running processes -> the most memory they held, as proportional set size (PSS).

PSS counts a page that k processes share as 1/k in each, so that a sum over processes counts it
once. Linux gives it in /proc/PID/smaps_rollup. Reading it stops the process for a moment, so
nothing is timed while memory is measured.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.errors import BenchmarkError

_SAMPLE_EVERY_S = 0.05
_MIB = 1024 * 1024


class PeakMemory:
    """The most that a process and its descendants held so far, in MiB.

    `own_mib` is the process alone, `descendants_mib` the sum over all below it at one moment, and
    `tree_mib` both at one moment.
    """

    def __init__(self, pid: int) -> None:
        try:
            import psutil
        except ImportError as error:
            raise BenchmarkError(
                "psutil is not installed; run: pip install 'ich-triton[bench]'"
            ) from error
        self._gone = psutil.NoSuchProcess
        self._process = psutil.Process(pid)
        self.own_mib = 0.0
        self.descendants_mib = 0.0
        self.tree_mib = 0.0

    def sample(self) -> None:
        """Look once; processes that ended meanwhile count nothing."""
        own_mib = self._pss_mib(self._process)
        try:
            below = self._process.children(recursive=True)
        except self._gone:
            below = []
        descendants_mib = sum(self._pss_mib(process) for process in below)
        self.own_mib = max(self.own_mib, own_mib)
        self.descendants_mib = max(self.descendants_mib, descendants_mib)
        self.tree_mib = max(self.tree_mib, own_mib + descendants_mib)

    def _pss_mib(self, process: Any) -> float:
        try:
            return float(process.memory_full_info().pss) / _MIB
        except self._gone:
            return 0.0


@contextmanager
def peak_memory(pid: int) -> Iterator[PeakMemory]:
    """Sample process `pid` and its descendants every 50 ms until the block ends."""
    peak = PeakMemory(pid)
    ended = threading.Event()

    def watch() -> None:
        while not ended.is_set():
            peak.sample()
            ended.wait(_SAMPLE_EVERY_S)

    watcher = threading.Thread(target=watch, name="peak-memory", daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        ended.set()
        watcher.join()
