"""Records of a load -> windows of it, and whether three in a row agree within 10 %.

The conventions of Triton's perf_analyzer: what happens before the first window does not count;
a window holds the requests that were answered in it; a measurement is stable when throughput and
mean latency of the last three windows are all within 10 % of their average, and its percentiles
are those of the three windows together.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from benchmarks.load import Load, Record

WINDOWS = 3
STABLE_WITHIN = 0.10
PERCENTILES = (50, 90, 95, 99)


@dataclass(frozen=True)
class Pace:
    """How long is measured: burn-in, windows, and how many of them at most."""

    burn_in_s: float
    window_s: float
    most_windows: int

    def __post_init__(self) -> None:
        """Refuse a pace that could never be stable."""
        if not (self.burn_in_s > 0 and self.window_s > 0 and self.most_windows >= WINDOWS):
            raise ValueError(f"not a pace: {self}")


@dataclass(frozen=True)
class Window:
    """Requests that were answered between two moments."""

    requests: int
    per_second: float
    mean_ms: float


@dataclass(frozen=True)
class Measured:
    """The last three windows of a load, and whether they agree."""

    stable: bool
    windows: tuple[Window, ...]
    requests: int
    per_second: float
    mean_ms: float
    percentiles_ms: dict[str, float]

    def as_record(self) -> dict[str, Any]:
        """The stored form."""
        return {**asdict(self), "verdict": "stable" if self.stable else "not stable"}


def measured(load: Load, pace: Pace, sleep: Callable[[float], object] = time.sleep) -> Measured:
    """Watch a running load until it is stable, or its windows are used up."""
    sleep(pace.burn_in_s)
    edges = [time.perf_counter()]
    while len(edges) <= pace.most_windows:
        sleep(pace.window_s)
        edges.append(time.perf_counter())
        windows = windows_from_records(load.records(), edges)
        if len(windows) >= WINDOWS and agree(windows[-WINDOWS:]):
            break
    return measured_from_records(load.records(), edges)


def measured_from_records(records: Sequence[Record], edges: Sequence[float]) -> Measured:
    """What the last three windows say; raises ValueError where nothing was answered in them."""
    windows = windows_from_records(records, edges)[-WINDOWS:]
    first, last = edges[-WINDOWS - 1 :][0], edges[-1]
    counted = [r for r in records if first <= r.answered_s < last]
    if not counted:
        raise ValueError("no request was answered in three windows")
    milliseconds = _milliseconds(counted)
    shares = np.percentile(milliseconds, PERCENTILES)
    return Measured(
        stable=len(windows) == WINDOWS and agree(windows),
        windows=tuple(windows),
        requests=len(counted),
        per_second=round(len(counted) / (last - first), 3),
        mean_ms=round(float(milliseconds.mean()), 3),
        percentiles_ms={
            f"p{share}": round(float(value), 3)
            for share, value in zip(PERCENTILES, shares, strict=True)
        },
    )


def windows_from_records(records: Sequence[Record], edges: Sequence[float]) -> list[Window]:
    """The windows between each edge and the next."""
    return [
        _window([r for r in records if start <= r.answered_s < end], end - start)
        for start, end in itertools.pairwise(edges)
    ]


def agree(windows: Sequence[Window]) -> bool:
    """Whether throughput and latency of each are within 10 % of the windows' average."""
    for values in ([w.per_second for w in windows], [w.mean_ms for w in windows]):
        average = float(np.mean(values))
        if not average > 0 or max(abs(v - average) for v in values) > STABLE_WITHIN * average:
            return False
    return True


def _window(records: Sequence[Record], seconds: float) -> Window:
    mean_ms = float(_milliseconds(records).mean()) if records else 0.0
    return Window(len(records), round(len(records) / seconds, 3), round(mean_ms, 3))


def _milliseconds(records: Sequence[Record]) -> Any:
    return np.array([1e3 * (r.answered_s - r.due_s) for r in records])
