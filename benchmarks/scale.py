"""Longer studies, more at once, many after each other -> cost, and memory that must not grow.

    python -m benchmarks.scale --json --out benchmarks/results/scale.json

Every study goes the way of `ichclient infer`, from its files to its result, on one running server.
"""

from __future__ import annotations

import gc
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.bench import Bench, Document, benchmark_command, lines_from_rows
from benchmarks.conditions import cores
from benchmarks.errors import BenchmarkError, Disagreement
from benchmarks.intake_files import slices_from_study, write_series
from benchmarks.memory import PeakMemory, peak_memory
from benchmarks.process_run import memory_of_process
from benchmarks.proof import TOLERANCES, refuse_blind_scores
from benchmarks.studies import STUDY_SLICES
from benchmarks.work import hu_study_from_path
from ichclient.connect import ProvenServer, ServerOptions, proven_server
from ichclient.infer import result_from_study, study_from_path
from ichclient.result import Result
from ichexport.repository import spec_of_repository

LENGTHS = (30, 100, 300, 750, 1500)
STUDIES_AT_ONCE = (1, 2, 4, 8, 16, 32, 64)
_SHORT_SLICES = 10
"""Of the many studies: what leaks does so by study, and fewer slices are no head to the client."""
_SAMPLES = 25


@dataclass(frozen=True)
class _Work:
    """Files of each length, and the scores that their slices must get."""

    folders: dict[int, Path]
    scores: dict[int, Any]
    tolerance: float
    engine_per_second: float
    """Slices a second of the raw engine alone: the limit of all of it."""


@benchmark_command
@click.option(
    "--studies",
    type=click.IntRange(2),
    default=1000,
    show_default=True,
    help="Short studies after each other.",
)
@click.option("--within", "within_s", type=click.FloatRange(1), default=240, show_default=True,
              help="Seconds after which none of these begins.")  # fmt: skip
def main(bench: Bench, studies: int, within_s: float) -> tuple[Document, str]:
    """Measure cost against slices and against studies at once, and memory over many studies."""
    lengths = LENGTHS[:2] if bench.quick else LENGTHS
    at_once = STUDIES_AT_ONCE[:3] if bench.quick else STUDIES_AT_ONCE
    with tempfile.TemporaryDirectory(prefix="ich-benchmark-") as name:
        work = _work(bench, Path(name), lengths)
        bench.say("Memory of ichclient infer with its own server")
        cold = memory_of_process(
            work.folders[STUDY_SLICES], bench.repository, work.scores[STUDY_SLICES], work.tolerance
        )
        with proven_server(ServerOptions(repository=bench.repository)) as server:
            _judged(server, work, _SHORT_SLICES)  # burn-in
            rows = []
            for length in lengths:
                bench.say(f"A study of {length} slices")
                rows.append(_length(server, work, length))
            many = []
            for count in at_once:
                bench.say(f"{count} studies at once")
                many.append(_at_once(server, work, count))
            bench.say(f"Up to {10 if bench.quick else studies} studies, one after the other")
            after = _one_after_the_other(
                server, work, 10 if bench.quick else studies, 15 if bench.quick else within_s
            )
            version = server.transport.metadata().server_version
    document = bench.document(
        "scale",
        {
            "engine_slices_per_second": work.engine_per_second,
            "lengths": rows,
            "at_once": many,
            "one_after_the_other": after,
            "infer_memory": {
                "client_mib": round(cold.own_mib, 1),
                "server_mib": round(cold.descendants_mib, 1),
                "together_mib": round(cold.tree_mib, 1),
            },
            "sizing": _sizing(many),
        },
        version,
    )
    return document, _table(document)


def _work(bench: Bench, root: Path, lengths: Sequence[int]) -> _Work:
    """Series as files, and what the raw engine says of the pieces that they repeat."""
    grid = spec_of_repository(bench.repository).grid
    source = slices_from_study(bench.studies[-1])
    folders = {}
    with bench.raw() as raw:
        for length in sorted({*lengths, STUDY_SLICES, _SHORT_SLICES}):
            bench.say(f"Writing a study of {length} slices")
            folders[length] = write_series(root / str(length), source, "uncompressed", length)
        # A longer study repeats the pixels of the source, so their scores repeat too.
        longest = folders[max(folders)]
        hu = hu_study_from_path(longest, grid).hu[: len(source)]
        scores = np.asarray(raw(hu)["SCORE"])[:, 0]
        per_second = [STUDY_SLICES / raw.burst(STUDY_SLICES, 1, 1).elapsed_s for _ in range(5)]
    refuse_blind_scores(scores, bench.precision)
    expected = {length: np.resize(scores, length) for length in folders}
    tolerance = TOLERANCES[bench.precision]["SCORE"]
    return _Work(folders, expected, tolerance, round(float(np.median(per_second)), 2))


def _judged(server: ProvenServer, work: _Work, length: int) -> Result:
    """A study from its files to its result; raises Disagreement where its scores are others."""
    started = time.monotonic()
    study = study_from_path(work.folders[length])
    result, _ = result_from_study(study, server, lambda *_: None, started)
    found = np.array([one.score for one in result.slices])
    gap = float(np.abs(found - work.scores[length]).max())
    if not gap <= work.tolerance:
        raise Disagreement(
            f"A study of {length} slices differs from the raw engine by up to {gap:.4g}, and "
            f"{work.tolerance:g} is allowed; no numbers are given for wrong answers."
        )
    return result


@contextmanager
def _memory(server: ProvenServer) -> Iterator[tuple[PeakMemory, PeakMemory]]:
    """Peaks of this process with its decoders, and of the server, in the block."""
    if server.pid is None:
        raise BenchmarkError("memory is that of the embedded server, and this one is elsewhere")
    with peak_memory(os.getpid()) as client, peak_memory(server.pid) as served:
        yield client, served


def _length(server: ProvenServer, work: _Work, length: int) -> dict[str, Any]:
    runs = []
    for _ in range(3 if length <= 100 else 1):
        started = time.perf_counter()
        _judged(server, work, length)
        runs.append(time.perf_counter() - started)
    # In a run of its own: whoever reads a process's pages stops it for a moment.
    with _memory(server) as (client, served):
        _judged(server, work, length)
    seconds = float(np.median(runs))
    return {
        "slices": length,
        "seconds": round(seconds, 4),
        "ms_per_slice": round(1e3 * seconds / length, 3),
        "share_of_limit": round(length / seconds / work.engine_per_second, 4),
        "benchmark_mib": round(client.own_mib, 1),
        "server_mib": round(served.tree_mib, 1),
    }


def _at_once(server: ProvenServer, work: _Work, count: int) -> dict[str, Any]:
    """So many studies begin together, each on a thread of its own."""

    def one(_: int) -> float:
        started = time.perf_counter()
        _judged(server, work, STUDY_SLICES)
        return time.perf_counter() - started

    with ThreadPoolExecutor(count, thread_name_prefix="study") as pool:
        started = time.perf_counter()
        took = list(pool.map(one, range(count)))
        elapsed_s = time.perf_counter() - started
    return {
        "studies": count,
        "slices": STUDY_SLICES,
        "elapsed_s": round(elapsed_s, 4),
        "studies_per_hour": round(3600 * count / elapsed_s, 1),
        "share_of_limit": round(count * STUDY_SLICES / elapsed_s / work.engine_per_second, 4),
        "median_s": round(float(np.median(took)), 4),
        "longest_s": round(max(took), 4),
    }


def _one_after_the_other(
    server: ProvenServer, work: _Work, studies: int, within_s: float
) -> dict[str, Any]:
    """Memory as short studies pass; its slope is that of a line through the second half."""
    import psutil

    assert server.pid is not None  # `_length` refused it
    every = max(1, studies // _SAMPLES)
    samples = []
    deadline = time.monotonic() + within_s
    done = 0
    while done < studies and (done < 2 or time.monotonic() < deadline):
        _judged(server, work, _SHORT_SLICES)
        done += 1
        if done % every == 0 or done in (1, studies):
            gc.collect()
            tree = [psutil.Process(server.pid), *psutil.Process(server.pid).children(True)]
            pss = sum(process.memory_full_info().pss for process in tree) / 2**20
            own = psutil.Process().memory_full_info().pss / 2**20
            samples.append((done, round(own, 1), round(pss, 1)))
    late = samples[len(samples) // 2 :]
    slopes = [
        float(np.polyfit([s[0] for s in late], [s[column] for s in late], 1)[0])
        if len(late) > 1
        else 0.0
        for column in (1, 2)
    ]
    return {
        "studies": done,
        "wanted": studies,
        "slices": _SHORT_SLICES,
        "samples": [
            {"study": n, "benchmark_mib": own, "server_mib": pss} for n, own, pss in samples
        ],
        "benchmark_mib_per_1000": round(1000 * slopes[0], 1),
        "server_mib_per_1000": round(1000 * slopes[1], 1),
    }


def _sizing(many: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Studies an hour, and of one core, with as many at once as gave most."""
    best = max(many, key=lambda row: float(row["studies_per_hour"]))
    return {
        "studies_per_hour": best["studies_per_hour"],
        "studies_per_hour_per_core": round(best["studies_per_hour"] / cores(), 1),
        "at_once": best["studies"],
        "slices": STUDY_SLICES,
    }


def _table(document: Document) -> str:
    rows = [
        (f"{row['slices']} slices", f"{row['seconds']:.2f} s", f"{row['ms_per_slice']:.1f} ms",
         f"{row['benchmark_mib']:.0f}", f"{row['server_mib']:.0f}")
        for row in document["lengths"]
    ]  # fmt: skip
    head = ("one study", "takes", "a slice", "client MiB", "server MiB")
    lines = [lines_from_rows(head, rows)]
    lines += [
        f"{row['studies']} at once: {row['studies_per_hour']:.0f} studies an hour, "
        f"{row['share_of_limit']:.2f} of the raw engine, the longest {row['longest_s']:.1f} s"
        for row in document["at_once"]
    ]
    after, sizing = document["one_after_the_other"], document["sizing"]
    lines.append(
        f"{after['studies']} of {after['wanted']} studies after each other: server "
        f"{after['server_mib_per_1000']:+.1f} MiB, client {after['benchmark_mib_per_1000']:+.1f} "
        "MiB per 1,000"
    )
    lines.append(f"{sizing['studies_per_hour_per_core']:.0f} studies an hour and core")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
