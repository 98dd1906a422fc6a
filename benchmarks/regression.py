"""A few ratios in turns -> whether one has fallen below its committed reference by more than noise.

    python -m benchmarks.regression            # compare, as continuous integration does
    python -m benchmarks.regression --record   # write the reference of this arithmetic again

Ratios alone are compared: times differ from machine to machine, shares of the same machine's own
limit differ by the arithmetic above all, since what is around an engine weighs more beside a
faster one. So each has a reference. A share has fallen where its median is below the reference's
by more than `_TIMES_NOISE` of the half intervals of both together, plus `_ALLOWANCE`; and only
where a second, longer measurement says so too. Both are wide on purpose: other work on two cores
moves a share.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from benchmarks.bench import Bench, Document, benchmark_command, lines_from_rows
from benchmarks.clients import Client
from benchmarks.conditions import cores
from benchmarks.errors import BenchmarkError, Fallen
from benchmarks.paired import Ratio
from benchmarks.proof import refuse_untrue_answers
from benchmarks.raw import RawEngine
from benchmarks.served import served
from benchmarks.targets import with_interval
from benchmarks.turns import RAW, Cell, client_way, in_turns, raw_way, record_of
from benchmarks.written import write_whole
from ichcore.wire import ENSEMBLE_MODEL, FUSED_MODEL

REFERENCE = Path(__file__).with_name("reference.json")
_ALLOWANCE = 0.08
_TIMES_NOISE = 1.5
_CELLS = (Cell(8, 2, 6), Cell(32, 1, 1))
_TURNS, _WITHIN_S = 8, 35.0
_QUIET = 0.5
"""Load of a core up to which a machine counts as quiet."""


@benchmark_command
@click.option("--record", is_flag=True, help="Write this run's ratios as the reference.")
@click.option("--reference", type=click.Path(dir_okay=False, path_type=Path), default=REFERENCE,
              help="Another file of references.")  # fmt: skip
def main(bench: Bench, record: bool, reference: Path) -> tuple[Document, str]:
    """Measure a few shares in two minutes, and fail where one has fallen."""
    if record:
        refuse_busy_machine(bench.load_start)
    with served(bench.repository) as server, bench.raw() as raw:
        clients = {model: server.client(model) for model in (FUSED_MODEL, ENSEMBLE_MODEL)}
        bench.say("Proving every answer")
        for model, client in clients.items():
            refuse_untrue_answers(client, raw, bench.pool, bench.precision, model)
        ratios = _ratios(bench, raw, clients, 1)
        known = references(reference).get(bench.arithmetic, {})
        if not record and fallen(ratios, known):
            bench.say("A share seems to have fallen; measuring again, for longer")
            ratios = _ratios(bench, raw, clients, 2)
        version = server.facts.server_version
    found = {name: record_of(ratio) for name, ratio in ratios.items()}
    if record:
        _write(reference, bench, found)
    elif lost := fallen(ratios, known):
        raise Fallen(
            f"{'; '.join(lost)}. Make it as fast as it was, or, where that is the price of "
            "something better, record it: python -m benchmarks.regression --record"
        )
    document = bench.document("regression", {"ratios": found, "reference": known}, version)
    return document, _table(document, bench.arithmetic)


def _ratios(
    bench: Bench, raw: RawEngine, clients: Mapping[str, Client], times: int
) -> dict[str, Ratio]:
    bench.say(f"Up to {times * _TURNS} turns")
    ways = {RAW: raw_way(raw)} | {
        model: client_way(client, bench.pool) for model, client in clients.items()
    }
    timed = in_turns(ways, _CELLS, times * _TURNS, times * _WITHIN_S)
    return {
        f"{model}, {cell.name}": timed.share(model, cell) for model in clients for cell in _CELLS
    }


def refuse_busy_machine(load: float) -> None:
    """Raise BenchmarkError where others work: a server of many threads then gains on the engine."""
    if load > _QUIET * cores():
        raise BenchmarkError(
            f"A reference is of a quiet machine, and here the load is {load} on {cores()} cores: "
            "wait until nobody else works, then record."
        )


def references(path: Path) -> dict[str, dict[str, Mapping[str, Any]]]:
    """Ratios by arithmetic and name; none where there is no file."""
    if not path.is_file():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))["ratios"])
    except (KeyError, TypeError, ValueError) as error:
        raise BenchmarkError(f"{path} is no reference: record it again ({error!r}).") from error


def fallen(ratios: Mapping[str, Ratio], known: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A sentence for each ratio that has fallen by more than noise; an unknown one has not."""
    found = []
    for name, ratio in ratios.items():
        if name not in known:
            continue
        was = known[name]
        noise = (ratio.high - ratio.low + was["high"] - was["low"]) / 2
        allowed = _ALLOWANCE + _TIMES_NOISE * noise
        if ratio.median < was["median"] - allowed:
            found.append(
                f"the share of {name} is {ratio.median:.2f} ({ratio.low:.2f} to {ratio.high:.2f}) "
                f"and was {was['median']:.2f}; down to {was['median'] - allowed:.2f} is noise"
            )
    return found


def _write(path: Path, bench: Bench, found: dict[str, Any]) -> None:
    """Keep the references of other arithmetics; they are of other machines."""
    document = bench.document("reference", {})
    kept: dict[str, Any] = {"ratios": {}, "conditions": {}}
    if path.is_file():
        kept |= json.loads(path.read_text(encoding="utf-8"))
    kept["ratios"][bench.arithmetic] = found
    kept["conditions"][bench.arithmetic] = document["conditions"]
    write_whole(path, json.dumps(kept, indent=1, sort_keys=True) + "\n")


def _table(document: Document, arithmetic: str) -> str:
    known = document["reference"]
    rows = [
        (name, with_interval(ratio), with_interval(known[name]) if name in known else "none")
        for name, ratio in document["ratios"].items()
    ]
    table = lines_from_rows(("share of the raw engine", "now", f"reference, {arithmetic}"), rows)
    return table if known else f"{table}\nNo reference for {arithmetic}: nothing was compared."


if __name__ == "__main__":
    main()
