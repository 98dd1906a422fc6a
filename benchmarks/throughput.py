"""Our servers and the raw engine in turns -> the share of the machine that each makes use of.

    python -m benchmarks.throughput --json --out benchmarks/results/throughput.json

Then whole studies from files: `ichclient infer` on a warm server against the engine's time alone,
and of JPEG 2000 against the processor seconds that decoding and engine need at least.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import click

from benchmarks.bench import Bench, Document, benchmark_command
from benchmarks.proof import refuse_untrue_answers
from benchmarks.served import served
from benchmarks.shares import our_clients, table_of_shares
from benchmarks.studies import SYNTAXES_OF_STUDIES, study_shares
from benchmarks.turns import CELLS, QUICK_CELLS, RAW, client_way, in_turns, raw_way


@benchmark_command
@click.option("--turns", type=click.IntRange(1), default=20, show_default=True)
@click.option("--within", "within_s", type=click.FloatRange(1), default=240, show_default=True,
              help="Seconds after which no turn begins, of requests, of studies.")  # fmt: skip
def main(bench: Bench, turns: int, within_s: float) -> tuple[Document, str]:
    """Measure what share of the raw engine's throughput our servers and our client reach."""
    skipped: dict[str, str] = {}
    count, cells = (min(2, turns), QUICK_CELLS) if bench.quick else (turns, CELLS)
    with served(bench.repository) as server, bench.raw() as raw:
        clients = our_clients(server, skipped)
        bench.say("Proving every answer")
        differences = {
            name: refuse_untrue_answers(client, raw, bench.pool, bench.precision, name)
            for name, client in clients.items()
        }
        bench.say(f"Requests in up to {count} turns")
        ways = {RAW: raw_way(raw)} | {
            name: client_way(client, bench.pool) for name, client in clients.items()
        }
        timed = in_turns(ways, cells, count, within_s)
        studies: dict[str, Any] = {}
        with tempfile.TemporaryDirectory(prefix="ich-benchmark-") as folder:
            for syntax in SYNTAXES_OF_STUDIES:
                bench.say(f"Studies of 32 slices, {syntax}")
                studies[syntax] = study_shares(
                    bench, server, raw, Path(folder), syntax, count, within_s / 2
                )
        version = server.facts.server_version
    document = bench.document(
        "throughput",
        {
            "turns": timed.turns,
            "ways": timed.record(),
            "studies": studies,
            "skipped": skipped,
            "differences": differences,
        },
        version,
    )
    return document, "\n".join([table_of_shares(document["ways"]), *_lines(document)])


def _lines(document: Document) -> list[str]:
    lines = []
    for syntax, found in document["studies"].items():
        for name, share in found["shares"].items():
            told = f"{share['median']:.2f} ({share['low']:.2f} to {share['high']:.2f})"
            lines.append(f"study, {syntax}, {name}: {told}")
    return lines + [f"{name}: skipped, {why}" for name, why in document["skipped"].items()]


if __name__ == "__main__":
    main()
