"""Our servers, other servers and the raw engine in one run -> each one's share of the limit.

    python -m benchmarks.peers --install --json --out benchmarks/results/peers.json

All hold the same engine (`engine.py`), answer the same real slices, have proven their answers, and
take turns. A peer without an environment is skipped by name.
"""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from benchmarks.bench import Bench, Document, benchmark_command
from benchmarks.clients import Client
from benchmarks.errors import BenchmarkError
from benchmarks.peer_server import PEERS, Peer, install, running_peer
from benchmarks.proof import refuse_untrue_answers
from benchmarks.served import Served, served
from benchmarks.shares import OURS, our_clients, table_of_shares
from benchmarks.turns import (
    CELLS,
    QUICK_CELLS,
    RAW,
    Turns,
    client_way,
    in_turns,
    raw_way,
    record_of,
)

_IDLE_S = 2.0
_TRIES = 2
"""PyTriton gives its processes a second to find each other, which a busy machine may not."""


def _started(
    bench: Bench, running: ExitStack, peers: tuple[Peer, ...], skipped: dict[str, str]
) -> tuple[dict[str, Client], dict[str, Any]]:
    """Clients of the peers that run here, and facts of each; why the others do not."""
    folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="ich-peers-")))
    clients: dict[str, Client] = {}
    facts: dict[str, Any] = {}
    for peer in peers:
        version = peer.version()
        if version is None:
            skipped[peer.title] = "not installed; python -m benchmarks.peers --install makes it"
            continue
        bench.say(f"Starting {peer.title} {version}")
        one, why = None, ""
        for _ in range(_TRIES):
            started = time.perf_counter()
            try:
                log = folder / f"{peer.name}.log"
                one = running.enter_context(running_peer(peer, bench.settings, log))
                break
            except BenchmarkError as error:
                why = str(error)
        if one is None:
            skipped[peer.title] = why
            continue
        clients[peer.title] = one.client
        facts[peer.title] = {
            "version": version,
            "ready_s": round(time.perf_counter() - started, 2),
            "idle_cores": _idle_cores(one.pid),
        }
    return clients, facts


def _idle_cores(pid: int) -> float:
    """Cores that a server keeps busy while nobody asks it anything."""
    import psutil

    def seconds() -> float:
        root = psutil.Process(pid)
        return sum(
            sum(process.cpu_times()[:2]) for process in [root, *root.children(recursive=True)]
        )

    try:
        before = seconds()
        time.sleep(_IDLE_S)
        return round(max(0.0, seconds() - before) / _IDLE_S, 3)
    except psutil.NoSuchProcess:
        return 0.0


def _ahead(turns: Turns, peers: list[str], ours: str) -> dict[str, Any]:
    """Our time divided by a peer's, cell by cell: a low end above 1 is a peer ahead of us."""
    return {
        peer: {cell.name: record_of(turns.share(peer, cell, of=ours)) for cell in turns.cells}
        for peer in peers
    }


@benchmark_command
@click.option(
    "--install",
    "make",
    is_flag=True,
    help="First make an environment in .venv-peers/ for each peer that has none.",
)
@click.option(
    "--peer",
    "names",
    multiple=True,
    type=click.Choice([p.name for p in PEERS]),
    help="Only this one, several times for several.",
)
@click.option("--turns", type=click.IntRange(1), default=20, show_default=True)
@click.option("--within", "within_s", type=click.FloatRange(1), default=540, show_default=True,
              help="Seconds after which no turn begins.")  # fmt: skip
def main(
    bench: Bench, make: bool, names: tuple[str, ...], turns: int, within_s: float
) -> tuple[Document, str]:
    """Measure our servers beside FastAPI, mosec, BentoML and others with the same engine."""
    peers = tuple(peer for peer in PEERS if not names or peer.name in names)
    count, cells = (min(2, turns), QUICK_CELLS) if bench.quick else (turns, CELLS)
    skipped: dict[str, str] = {}
    for peer in peers if make else ():
        if peer.version() is None:
            try:
                install(peer, bench.say)
            except BenchmarkError as error:
                bench.say(str(error))
    with (
        served(bench.repository) as server,
        bench.raw() as raw,
        ExitStack() as running,
    ):
        clients = our_clients(server, skipped)
        found, facts = _started(bench, running, peers, skipped)
        clients |= found
        bench.say("Proving every answer")
        differences = {
            name: refuse_untrue_answers(client, raw, bench.pool, bench.precision, name)
            for name, client in clients.items()
        }
        bench.say(f"Turns of {len(clients) + 1} servers")
        ways = {RAW: raw_way(raw)} | {
            name: client_way(client, bench.pool) for name, client in clients.items()
        }
        timed = in_turns(ways, cells, count, within_s, frozenset(found))
        return _document(bench, server, timed, facts, differences, skipped)


def _document(
    bench: Bench, server: Served, timed: Turns, facts: dict[str, Any],
    differences: dict[str, Any], skipped: dict[str, str],
) -> tuple[Document, str]:  # fmt: skip
    peers = [name for name in timed.seconds if name in facts]
    ours = next(name for name in OURS if name in timed.seconds)
    document = bench.document(
        "peers",
        {
            "turns": timed.turns,
            "ways": timed.record(),
            "ours": ours,
            "our_time_over_peers": _ahead(timed, peers, ours),
            "peers": facts,
            "skipped": {**skipped, **timed.fell_out},
            "differences": differences,
        },
        server.facts.server_version,
    )
    lines = [table_of_shares(document["ways"])]
    lines += [f"{name}: skipped, {why}" for name, why in document["skipped"].items()]
    ahead = {
        peer: [cell for cell, ratio in cells.items() if ratio["low"] > 1]
        for peer, cells in document["our_time_over_peers"].items()
    }
    lines += [f"{peer} is ahead of {ours} at {'; '.join(c)}" for peer, c in ahead.items() if c]
    return document, "\n".join(lines)


if __name__ == "__main__":
    main()
