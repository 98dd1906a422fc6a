"""Files of a study -> what `ichclient infer` makes of the machine on a warm server.

Timed is the function behind the command, from the first file opened to the finished result:
headers, choice of series, connection, golden proof, decoding, judging. Python's imports are no
part of it (`startup` has them).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.bench import Bench
from benchmarks.errors import BenchmarkError, Disagreement
from benchmarks.intake_files import slices_from_study, write_series
from benchmarks.paired import Durations, ratio_from_pairs
from benchmarks.proof import TOLERANCES
from benchmarks.raw import RawEngine
from benchmarks.served import Served
from benchmarks.turns import record_of
from benchmarks.work import hu_study_from_path
from ichclient.connect import ServerOptions
from ichclient.hounsfield import hu_slices_from_series
from ichclient.infer import result_from_path, study_from_path
from ichclient.result import Result

SYNTAXES_OF_STUDIES = ("uncompressed", "jpeg_2000")
STUDY_SLICES = 32


@dataclass(frozen=True)
class _Turn:
    infer_s: float
    judging_s: float
    """Of that, without connection and golden proof."""
    engine_s: float


def study_shares(
    bench: Bench, server: Served, raw: RawEngine, root: Path, syntax: str, turns: int,
    within_s: float,
) -> dict[str, Any]:  # fmt: skip
    """Shares of a study in a transfer syntax: of the engine's time, of processor seconds.

    Raises Disagreement where a result's scores are not those of the raw engine.
    """
    slices = slices_from_study(bench.studies[-1])
    folder = write_series(root / syntax, slices, syntax, STUDY_SLICES)
    options = ServerOptions(url=server.server.url, repository=bench.repository)
    grid = server.facts.grid
    hu = hu_study_from_path(folder, grid).hu
    expected = np.asarray(raw(hu)["SCORE"])[:, 0]

    def judged() -> Result:
        result = result_from_path(folder, options)
        _refuse_other_scores(result, expected, TOLERANCES[bench.precision]["SCORE"])
        return result

    judged()  # burn-in; it also starts the processes that decode
    found: list[_Turn] = []
    deadline = time.monotonic() + within_s
    while len(found) < turns and (len(found) < 1 or time.monotonic() < deadline):
        found.append(_turn(judged, raw, engine_first=len(found) % 2 == 1))
    engine = _durations(found, "engine_s")
    cpu = _processor_seconds(folder, raw)
    least_s = (cpu["decode_cpu_s"] + cpu["engine_cpu_s"]) / bench.settings.streams
    least = Durations((least_s,) * len(found))
    infer, judging = _durations(found, "infer_s"), _durations(found, "judging_s")
    return {
        "slices": STUDY_SLICES,
        "turns": len(found),
        "infer_s": round(infer.median_s, 4),
        "judging_s": round(judging.median_s, 4),
        "engine_s": round(engine.median_s, 4),
        "least_s": round(least_s, 4),
        **{name: round(value, 4) for name, value in cpu.items()},
        "shares": {
            "infer of the engine's time": record_of(ratio_from_pairs(engine, infer)),
            "judging of the engine's time": record_of(ratio_from_pairs(engine, judging)),
            "infer of decode and engine seconds / cores": record_of(ratio_from_pairs(least, infer)),
        },
    }


def _turn(judged: Callable[[], Result], raw: RawEngine, engine_first: bool) -> _Turn:
    def engine() -> float:
        return raw.burst(STUDY_SLICES, 1, 1).elapsed_s

    engine_s = engine() if engine_first else 0.0
    started = time.perf_counter()
    result = judged()
    infer_s = time.perf_counter() - started
    stages = result.timings
    reached_s = stages.get("server_ready_s", 0.0) + stages.get("golden_proof_s", 0.0)
    return _Turn(infer_s, infer_s - reached_s, engine_s or engine())


def _processor_seconds(folder: Path, raw: RawEngine, times: int = 3) -> dict[str, float]:
    """Processor seconds of decoding the study, and of the engine for it; medians."""
    series = study_from_path(folder).series

    def decode() -> None:
        with contextlib.closing(hu_slices_from_series(series, workers=1)) as slices:
            for _ in slices:
                pass

    decoding, engine = [], []
    for _ in range(times):
        before = _cpu_of_tree_s()
        decode()
        decoding.append(_cpu_of_tree_s() - before)
        engine.append(raw.cpu_s(STUDY_SLICES))
    return {"decode_cpu_s": median(decoding), "engine_cpu_s": median(engine)}


def _cpu_of_tree_s() -> float:
    """Processor seconds of this process and of those that decode for it."""
    try:
        import psutil
    except ImportError as error:
        raise BenchmarkError(
            "psutil is not installed; run: pip install 'ich-triton[bench]'"
        ) from error
    total = time.process_time()
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if any("decoder" in part for part in child.cmdline()):
                total += sum(child.cpu_times()[:2])
    return total


def _refuse_other_scores(result: Result, expected: Any, tolerance: float) -> None:
    scores = np.array([one.score for one in result.slices])
    gap = float(np.abs(scores - expected).max()) if scores.shape == expected.shape else np.inf
    if not gap <= tolerance:
        raise Disagreement(
            f"ichclient infer gives scores that differ from the raw engine by up to {gap:.4g}, "
            f"and {tolerance:g} is allowed; no numbers are given for wrong answers."
        )


def _durations(turns: list[_Turn], name: str) -> Durations:
    return Durations(tuple(getattr(turn, name) for turn in turns))
