"""What no server can be faster than -> engine, memory, decoding and network, each alone.

    python -m benchmarks.limits --json --out benchmarks/results/limits.json

All for the same work: the bytes of HU that go there and of the outputs that come back.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median
from typing import Any

import click
import numpy as np

from benchmarks.bench import Bench, Document, benchmark_command, lines_from_rows
from benchmarks.intake_files import slices_from_study, write_series
from benchmarks.loopback import loopback
from benchmarks.paired import timed_s
from benchmarks.peers.engine import EngineSettings
from benchmarks.peers.wire import ITEM, SLICE_BYTES
from benchmarks.proof import refuse_untrue_answers
from benchmarks.raw import RawEngine, raw_engine
from benchmarks.turns import CELLS, Cell
from benchmarks.windows import WINDOWS
from ichclient.hounsfield import hu_slices_from_series
from ichclient.infer import study_from_path

_DECODED = ("uncompressed", "jpeg_2000", "jpeg_lossless", "rle")
_HU_BYTES = 2 * int(np.prod(ITEM))


@benchmark_command
@click.option("--repeats", type=click.IntRange(WINDOWS), default=15, show_default=True)
def main(bench: Bench, repeats: int) -> tuple[Document, str]:
    """Measure what the engine, memory, decoding and the network can do alone."""
    count = WINDOWS if bench.quick else repeats
    engines = {}
    with bench.raw() as raw:
        for name, settings in _settings(bench).items():
            bench.say(f"Raw engine, {name}")
            with raw_engine(settings, bench.pool) as other:
                differences = refuse_untrue_answers(
                    other, raw, bench.pool, bench.precision, f"the raw engine with {name}"
                )
                engines[name] = {
                    **asdict(settings),
                    "graph": Path(settings.graph).parts[-3],
                    "differences": differences,
                    "cells": {cell.name: _engine(other, cell, count) for cell in CELLS},
                }
    bench.say("Memory and network")
    transfers = {f"{slices} slices": _transfers(slices, count) for slices in (8, 32)}
    bench.say("Decoding")
    decoding = _decoding(bench, 2 if bench.quick else 5)
    document = bench.document(
        "limits",
        {"engines": engines, "transfers": transfers, "decoding": decoding, "repeats": count},
    )
    return document, _table(document)


def _settings(bench: Bench) -> dict[str, EngineSettings]:
    """The engine that all servers are held against, and others that it was chosen from."""
    best = bench.settings
    found = {_named(best): best}
    if bench.quick:
        return found
    others = (
        replace(best, streams=1, piece_slices=8),
        replace(best, piece_slices=1),
        replace(best, piece_slices=4),
        replace(best, piece_slices=8),
        replace(best, pinned=True),
    )
    return found | {_named(other): other for other in others}


def _named(settings: EngineSettings) -> str:
    pinned = ", pinned" if settings.pinned else ""
    streams = "1 stream" if settings.streams == 1 else f"{settings.streams} streams"
    return f"{streams}, pieces of {settings.piece_slices}{pinned}"


def _engine(raw: RawEngine, cell: Cell, count: int) -> dict[str, Any]:
    raw.burst(cell.slices, cell.requests, cell.in_flight)  # burn-in
    runs = [raw.burst(cell.slices, cell.requests, cell.in_flight).elapsed_s for _ in range(count)]
    slices = cell.slices * cell.requests
    return {
        "slices_per_second": round(slices / median(runs), 2),
        "request_ms": round(1e3 * median(runs) / cell.requests, 3),
        "runs_s": [round(run, 5) for run in runs],
    }


def _transfers(slices: int, count: int) -> dict[str, Any]:
    """Milliseconds to copy the bytes of a request in memory, and to send them and be answered."""
    there, back = slices * _HU_BYTES, slices * SLICE_BYTES
    source = np.random.default_rng(1).integers(0, 255, there + back, np.uint8)
    target = np.empty_like(source)
    copy_ms = _median_ms(lambda: np.copyto(target, source), 10 * count)
    with loopback(there, back) as exchange:
        network_ms = _median_ms(exchange, 10 * count)
    return {
        "bytes_there": there,
        "bytes_back": back,
        "memory_copy_ms": round(copy_ms, 4),
        "loopback_ms": round(network_ms, 4),
        "memory_copy_gb_per_s": round((there + back) / copy_ms / 1e6, 2),
        "loopback_gb_per_s": round((there + back) / network_ms / 1e6, 2),
    }


def _median_ms(work: Callable[[], object], times: int) -> float:
    work()
    return 1e3 * median(timed_s(work) for _ in range(times))


def _decoding(bench: Bench, rounds: int) -> dict[str, Any]:
    """Slices a second that the client decodes to HU, with nobody to send them to."""
    slices = slices_from_study(bench.studies[-1])
    found = {}
    with tempfile.TemporaryDirectory(prefix="ich-benchmark-") as name:
        for syntax in _DECODED:
            folder = write_series(Path(name) / syntax, slices, syntax, 32)
            series = study_from_path(folder).series

            def decode(series: Any = series) -> None:
                with contextlib.closing(hu_slices_from_series(series)) as decoded:
                    for _ in decoded:
                        pass

            decode()  # burn-in; it also starts the processes that decode
            runs: Sequence[float] = [timed_s(decode) for _ in range(rounds)]
            found[syntax] = {
                "slices_per_second": round(32 / median(runs), 1),
                "runs_s": [round(run, 5) for run in runs],
            }
    return found


def _table(document: Document) -> str:
    cells = [cell.name for cell in CELLS]
    rows = [
        (name, *(f"{one['cells'][cell]['slices_per_second']:.1f}" for cell in cells))
        for name, one in document["engines"].items()
    ]
    lines = [lines_from_rows(("slices a second, raw engine", *cells), rows)]
    for name, one in document["transfers"].items():
        lines.append(
            f"{name}: memory copy {one['memory_copy_ms']:.2f} ms, loopback {one['loopback_ms']:.2f}"
            " ms"
        )
    for syntax, one in document["decoding"].items():
        lines.append(f"decoding, {syntax}: {one['slices_per_second']:.0f} slices a second")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
