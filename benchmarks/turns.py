"""Several ways of the same work in turns -> each one's share of the limit, with its interval.

In every turn each way does the same requests, and each turn begins with the next way, so that what
else the machine does falls on all of them. A share is the raw engine's time divided by that of the
way in the same turn: 1 is all that the processor gives.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.clients import Client
from benchmarks.data import Pool
from benchmarks.errors import BenchmarkError
from benchmarks.load import Burst, burst
from benchmarks.paired import CONFIDENCE, Durations, Ratio, ratio_from_pairs
from benchmarks.raw import RawEngine

RAW = "raw engine"


@dataclass(frozen=True)
class Cell:
    """What is asked for: requests of so many slices, so many in flight, so many in a turn."""

    slices: int
    in_flight: int
    requests: int

    @property
    def name(self) -> str:
        """As results name it."""
        return f"{self.slices} slices, {self.in_flight} in flight"


CELLS = (Cell(8, 1, 4), Cell(8, 2, 8), Cell(8, 4, 8), Cell(32, 1, 2))
"""Half of a second or so each, on two cores with bf16."""

QUICK_CELLS = (Cell(8, 2, 2), Cell(32, 1, 1))

Way = Callable[[Cell], Burst]


def raw_way(raw: RawEngine) -> Way:
    """The raw engine, timed in its own process."""
    return lambda cell: raw.burst(cell.slices, cell.requests, cell.in_flight)


def client_way(client: Client, pool: Pool) -> Way:
    """A server, timed by its client in this process."""
    rings = {slices: pool.requests(slices) for slices in {cell.slices for cell in CELLS}}
    return lambda cell: burst(client, rings[cell.slices], cell.requests, cell.in_flight)


@dataclass(frozen=True)
class Turns:
    """Seconds of each way in each cell by turn, and why some ways ended early."""

    seconds: Mapping[str, Mapping[str, Durations]]
    """By way, then by name of a cell."""
    turns: int
    fell_out: Mapping[str, str]
    cells: Sequence[Cell]

    def share(self, way: str, cell: Cell, of: str = RAW) -> Ratio:
        """Time of `of` divided by that of `way`: above 1 the way is the faster one."""
        return ratio_from_pairs(self.seconds[of][cell.name], self.seconds[way][cell.name])

    def record(self) -> dict[str, Any]:
        """The stored form: for each way and cell slices a second, share and runs."""
        return {
            way: {
                cell.name: {
                    "slices_per_second": round(
                        cell.slices * cell.requests / found[cell.name].median_s, 2
                    ),
                    "share": record_of(self.share(way, cell)),
                    "runs_s": [round(run, 5) for run in found[cell.name].runs_s],
                }
                for cell in self.cells
            }
            for way, found in self.seconds.items()
        }


def record_of(ratio: Ratio) -> dict[str, Any]:
    """A ratio as results store it."""
    return {**{k: v if k == "pairs" else round(v, 4) for k, v in asdict(ratio).items()},
            "confidence": CONFIDENCE}  # fmt: skip


def in_turns(
    ways: Mapping[str, Way],
    cells: Sequence[Cell],
    turns: int,
    within_s: float,
    may_fall_out: frozenset[str] = frozenset(),
) -> Turns:
    """Burn in, then measure `turns` turns, fewer where `within_s` seconds are over before.

    A way of `may_fall_out` that raises a BenchmarkError is left out from there on; any other ends
    the measurement.
    """
    runs: dict[str, dict[str, list[float]]] = {w: {c.name: [] for c in cells} for w in ways}
    fell_out: dict[str, str] = {}
    deadline = time.monotonic() + within_s
    done = 0
    for turn in range(-1, turns):
        if done and time.monotonic() > deadline:
            break
        for cell in cells:
            for name in _from(list(ways), turn):
                if name in fell_out:
                    continue
                try:
                    seconds = ways[name](cell).elapsed_s
                except BenchmarkError as error:
                    if name not in may_fall_out:
                        raise
                    fell_out[name] = str(error)
                    continue
                if turn >= 0:
                    runs[name][cell.name].append(seconds)
        done = max(0, turn + 1)
    found = {
        name: {cell: Durations(tuple(values)) for cell, values in cells_of.items()}
        for name, cells_of in runs.items()
        if name not in fell_out
    }
    return Turns(found, done, fell_out, tuple(cells))


def _from(names: list[str], turn: int) -> list[str]:
    start = turn % len(names)
    return [*names[start:], *names[:start]]
