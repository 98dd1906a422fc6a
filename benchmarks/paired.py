"""Two ways of the same work -> paired durations, their ratio and its interval.

The two ways take turns in one process, and each pair begins with the other one, so that whatever
else the machine does falls on both.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
RESAMPLES = 10_000
_SEED = 20_230_914


@dataclass(frozen=True)
class Durations:
    """Seconds of each repetition of one kind of work, in the order they were measured."""

    runs_s: tuple[float, ...]

    def __post_init__(self) -> None:
        """Refuse no repetitions, and durations that no clock gives."""
        if not self.runs_s or not all(np.isfinite(run) and run > 0 for run in self.runs_s):
            raise ValueError(f"not the durations of any work: {self.runs_s}")

    @property
    def median_s(self) -> float:
        """Median duration in seconds."""
        return float(np.median(self.runs_s))


@dataclass(frozen=True)
class Ratio:
    """Median of the pairs' ratios with its bootstrap interval."""

    median: float
    low: float
    high: float
    pairs: int

    def __post_init__(self) -> None:
        """Refuse an interval that does not hold its median."""
        if not 0 < self.low <= self.median <= self.high or self.pairs < 1:
            raise ValueError(f"not a ratio with its interval: {self}")


def timed_s(work: Callable[[], object]) -> float:
    """Seconds that one call takes, on the monotonic clock with the highest resolution."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def paired_durations(
    first: Callable[[], object], second: Callable[[], object], turns: Iterable[int]
) -> tuple[Durations, Durations]:
    """Time both calls once in each turn; odd turns begin with the second."""
    runs: tuple[list[float], list[float]] = ([], [])
    for turn in turns:
        for which in (0, 1) if turn % 2 == 0 else (1, 0):
            runs[which].append(timed_s((first, second)[which]))
    return Durations(tuple(runs[0])), Durations(tuple(runs[1]))


def ratio_from_pairs(numerator: Durations, denominator: Durations) -> Ratio:
    """Median of the pairwise ratios, and the percentile bootstrap interval of that median.

    Raises ValueError where the runs do not pair. The resampling is seeded, so the same durations
    give the same interval.
    """
    if len(numerator.runs_s) != len(denominator.runs_s):
        raise ValueError("each duration needs its partner")
    ratios: NDArray[np.float64] = np.divide(numerator.runs_s, denominator.runs_s)
    drawn = np.random.default_rng(_SEED).integers(len(ratios), size=(RESAMPLES, len(ratios)))
    medians = np.median(ratios[drawn], axis=1)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(medians, [tail, 1 - tail])
    median = float(np.median(ratios))
    # With an odd number of very few pairs a quantile can fall a rounding error past the median.
    return Ratio(median, min(float(low), median), max(float(high), median), len(ratios))
