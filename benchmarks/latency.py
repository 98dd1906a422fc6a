"""A running server under two loads -> latencies, in windows that have to agree.

    python -m benchmarks.latency --json --out benchmarks/results/latency.json --csv latency.csv

The conventions of Triton's perf_analyzer: a closed loop by requests in flight, an open loop by
request rate with Poisson arrivals. Where `perf_analyzer` itself is on PATH it is run beside.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from benchmarks import perf_analyzer
from benchmarks.bench import Bench, Document, benchmark_command, lines_from_rows
from benchmarks.load import ClosedLoop, Load, OpenLoop
from benchmarks.perf_csv import csv_from_rows
from benchmarks.proof import refuse_untrue_answers
from benchmarks.raw import RawEngine
from benchmarks.served import Served, served
from benchmarks.server_times import server_times
from benchmarks.turns import RAW
from benchmarks.windows import Measured, Pace, measured
from benchmarks.written import write_whole
from ichcore.items import CHUNK_SLICES
from ichcore.wire import ENSEMBLE_MODEL, FUSED_MODEL

IN_FLIGHT = (1, 2, 4)
LOADS = (0.5, 0.7, 0.9)
"""Request rates of the open loop, as shares of what the closed loop reached at most."""

_FULL = Pace(burn_in_s=3.0, window_s=5.0, most_windows=8)
_QUICK = Pace(burn_in_s=1.0, window_s=1.0, most_windows=4)
_CSV = click.Path(dir_okay=False, path_type=Path)


@benchmark_command
@click.option("--csv", "csv_path", type=_CSV, help="Also write perf_analyzer's CSV here.")
@click.option("--open-loop/--no-open-loop", default=True, show_default=True)
def main(bench: Bench, csv_path: Path | None, open_loop: bool) -> tuple[Document, str]:
    """Measure latency by requests in flight and by request rate, with p50 to p99."""
    pace = _QUICK if bench.quick else _FULL
    rows: list[dict[str, Any]] = []
    with served(bench.repository) as server, bench.raw() as raw:
        bench.say("Proving every answer")
        differences = {
            model: refuse_untrue_answers(
                server.client(model), raw, bench.pool, bench.precision, model
            )
            for model in (FUSED_MODEL, ENSEMBLE_MODEL)
        }
        for in_flight in IN_FLIGHT[:2] if bench.quick else IN_FLIGHT:
            rows += _closed(bench, server, raw, in_flight, pace)
        fastest = max(row["per_second"] for row in rows if row["way"] == FUSED_MODEL)
        for share in (LOADS[:1] if bench.quick else LOADS) if open_loop else ():
            rows.append(_open(bench, server, share, fastest, pace))
        beside = perf_analyzer.beside(server.server.url, FUSED_MODEL, bench.pool, bench.quick)
        version = server.facts.server_version
    document = bench.document(
        "latency",
        {
            "slices": CHUNK_SLICES,
            "rows": rows,
            "perf_analyzer": beside,
            "differences": differences,
        },
        version,
    )
    if csv_path is not None:
        write_whole(csv_path, csv_from_rows(rows))
    return document, _table(document)


def _closed(
    bench: Bench, server: Served, raw: RawEngine, in_flight: int, pace: Pace
) -> list[dict[str, Any]]:
    """The raw engine and both models, one after the other, with the same in flight."""
    bench.say(f"{in_flight} in flight")
    limit = raw.measured(CHUNK_SLICES, in_flight, pace)
    load = {"in_flight": in_flight}
    rows = [{"way": RAW, **load, **limit.as_record()}]
    requests = bench.pool.requests(CHUNK_SLICES)
    for model in (FUSED_MODEL, ENSEMBLE_MODEL):
        closed = functools.partial(ClosedLoop, server.client(model), requests, in_flight)
        found = _watched(bench, server, model, closed, pace)
        found["share_of_limit"] = {
            "p50": round(limit.percentiles_ms["p50"] / found["percentiles_ms"]["p50"], 4),
            "per_second": round(found["per_second"] / limit.per_second, 4),
        }
        rows.append({"way": model, **load, **found})
    return rows


def _open(bench: Bench, server: Served, share: float, fastest: float, pace: Pace) -> dict[str, Any]:
    """The fused engine's model at a rate below its fastest."""
    rate = round(share * fastest, 3)
    bench.say(f"{rate:g} requests a second, {share:.0%} of the most")
    client, requests = server.client(FUSED_MODEL), bench.pool.requests(CHUNK_SLICES)
    found = _watched(bench, server, FUSED_MODEL, lambda: OpenLoop(client, requests, rate), pace)
    return {"way": FUSED_MODEL, "request_rate": rate, "share_of_fastest": share, **found}


def _watched(
    bench: Bench, server: Served, model: str, load: Callable[[], Load], pace: Pace
) -> dict[str, Any]:
    """Windows of a load, and what the server says of the same requests."""
    before = server.statistics(model)
    with load() as running:
        found: Measured = measured(running, pace)
    after = server.statistics(model)
    if not found.stable:
        bench.say(f"{model}: not stable in {pace.most_windows} windows of {pace.window_s:g} s")
    return {**found.as_record(), "server_us": server_times(before, after, model)}


def _table(document: Document) -> str:
    rows = []
    for row in document["rows"]:
        load = f"{row['in_flight']}" if "in_flight" in row else f"{row['request_rate']:g}/s"
        at = [f"{value:.1f}" for value in row["percentiles_ms"].values()]
        rows.append((row["way"], load, f"{row['per_second']:.2f}", *at, row["verdict"]))
    head = ("8 slices", "in flight", "per second", "p50 ms", "p90", "p95", "p99", "windows")
    return f"{lines_from_rows(head, rows)}\nperf_analyzer: {document['perf_analyzer']['verdict']}"


if __name__ == "__main__":
    main()
