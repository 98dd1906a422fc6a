"""Study folder -> what first light costs: cold start, warm study, the same without a server.

    python -m benchmarks.first_light STUDY --runs 20 --json --out FILE

Served and in-process answers are proven to agree before anything is timed, every timed answer is
held against the proven one, and an error ends the run without any number. How each number is
measured stands in `benchmarks/README.md`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import click

from benchmarks.conditions import (
    Conditions,
    cores,
    engines_sha256_from_records,
    git_commit,
    load_average,
    machine_from_load,
    now_utc,
    versions_from_server,
)
from benchmarks.errors import BenchmarkError
from benchmarks.memory import peak_memory
from benchmarks.paired import CONFIDENCE, Durations, Ratio, paired_durations, ratio_from_pairs
from benchmarks.process_run import ColdStart, cold_start, memory_of_process
from benchmarks.work import (
    Answer,
    answer_from_server,
    answer_in_process,
    hu_study_from_path,
    in_process_from_repository,
    refuse_blind_proof,
    refuse_disagreement,
)
from benchmarks.written import write_whole
from ichclient.connect import ProvenServer, ServerOptions, proven_server
from ichclient.ending_cli import told
from ichclient.repository import default_repository
from ichcore.flight import IN_FLIGHT
from ichcore.items import CHUNK_SLICES

_EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "phantom-sdh"
_FILE = click.Path(dir_okay=False, path_type=Path)
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
Say = Callable[[str], object]


@dataclass(frozen=True)
class Workload:
    """What is measured, and how often."""

    study: Path
    repository: Path
    runs: int
    cold_runs: int
    burn_in: int
    chunk_slices: int = CHUNK_SLICES
    in_flight: int = IN_FLIGHT

    def __post_init__(self) -> None:
        """Refuse a workload without work; without burn-in a first run would be counted."""
        if min(self.runs, self.cold_runs, self.burn_in, self.chunk_slices, self.in_flight) < 1:
            raise ValueError(f"not a workload: {self}")


@dataclass(frozen=True)
class Memory:
    """Peak PSS in MiB: of one `ichclient infer`, and of a server that judged several studies."""

    client_mib: float
    server_mib: float
    warm_server_mib: float


@dataclass(frozen=True)
class Measurement:
    """All numbers of one run of the benchmark, with their conditions."""

    cold: tuple[ColdStart, ...]
    served: Durations
    in_process: Durations
    in_process_over_served: Ratio
    memory: Memory
    largest_differences: dict[str, float]
    conditions: Conditions


@dataclass(frozen=True)
class _Warm:
    """What was measured while one server ran."""

    served: Durations
    in_process: Durations
    server_mib: float
    expected: Answer
    differences: dict[str, float]
    versions: dict[str, str]
    precision: str
    spec_sha256: str
    engines_sha256: dict[str, str]


def measurement_from_workload(workload: Workload, say: Say = lambda _: None) -> Measurement:
    """Prove, burn in, measure; raises an IchError, and then there is nothing to report."""
    date, load_start = now_utc(), load_average()
    if load_start > 0.5 * cores():
        say(f"Others use this machine (load {load_start} on {cores()} cores): times will be long.")
    with proven_server(ServerOptions(repository=workload.repository)) as server:
        warm = _warm(workload, server, say)
    say("Peak memory of ichclient infer")
    memory = memory_of_process(workload.study, workload.repository, warm.expected)
    say("Cold starts of ichclient infer")
    cold = tuple(
        cold_start(workload.study, workload.repository, warm.expected)
        for _ in range(workload.cold_runs)
    )
    return Measurement(
        cold=cold,
        served=warm.served,
        in_process=warm.in_process,
        in_process_over_served=ratio_from_pairs(warm.in_process, warm.served),
        memory=Memory(memory.own_mib, memory.descendants_mib, warm.server_mib),
        largest_differences=warm.differences,
        conditions=Conditions(
            date=date,
            machine=machine_from_load(load_start),
            versions=warm.versions,
            git_commit=git_commit(),
            spec_sha256=warm.spec_sha256,
            engines_sha256=warm.engines_sha256,
            precision=warm.precision,
            slices=len(warm.expected.slices.score),
            chunk_slices=workload.chunk_slices,
            in_flight=workload.in_flight,
            burn_in=workload.burn_in,
        ),
    )


def _warm(workload: Workload, server: ProvenServer, say: Say) -> _Warm:
    """Pairs of served and in-process studies on a running server."""
    facts = server.transport.metadata()
    study = hu_study_from_path(workload.study, facts.grid)
    answers: list[Answer] = []

    def served() -> None:
        answers.append(
            answer_from_server(server.transport, study, workload.chunk_slices, workload.in_flight)
        )

    say("Peak memory of the warm server")
    assert server.pid is not None  # no address was given, so the server is embedded
    # Before this process loads OpenVINO: pages shared with it would count half in the server.
    with peak_memory(server.pid) as peak:
        for _ in range(workload.burn_in):
            served()
    engines = in_process_from_repository(workload.repository)

    def in_process() -> None:
        answers.append(answer_in_process(engines, study, workload.chunk_slices))

    say("Served and in-process answers")
    expected = answer_in_process(engines, study, workload.chunk_slices)
    refuse_blind_proof(expected)
    differences = refuse_disagreement(answers[0], expected)
    say("Burn-in, then pairs of served and in-process studies")
    paired_durations(served, in_process, range(workload.burn_in))
    served_s, in_process_s = paired_durations(served, in_process, range(workload.runs))
    for answer in answers:
        refuse_disagreement(answer, expected)
    if server.transport.interruptions:
        raise BenchmarkError("The server did not always answer at once; no numbers are given.")
    return _Warm(
        served=served_s,
        in_process=in_process_s,
        server_mib=peak.tree_mib,
        expected=expected,
        differences=differences,
        versions=versions_from_server(facts),
        precision=engines.precision,
        spec_sha256=engines.spec.sha256,
        engines_sha256=engines_sha256_from_records(workload.repository, engines.spec),
    )


def json_from_measurement(measurement: Measurement) -> str:
    """The stored form; medians stand beside the runs they come from, times in seconds."""
    cold = measurement.cold
    stages = {name: median(one.stages_s[name] for one in cold) for name in cold[0].stages_s}
    document: dict[str, Any] = {
        "benchmark": "first_light",
        "measurements": {
            "cold_start": {
                "first_result_s": _summary([one.first_result_s for one in cold]),
                "process_end_s": _summary([one.process_end_s for one in cold]),
                "stages_s": stages,
            },
            "warm_served_s": _summary(measurement.served.runs_s),
            "warm_in_process_s": _summary(measurement.in_process.runs_s),
            "in_process_over_served": {
                **asdict(measurement.in_process_over_served),
                "confidence": CONFIDENCE,
            },
            "peak_pss": asdict(measurement.memory),
        },
        "largest_differences": measurement.largest_differences,
        "conditions": asdict(measurement.conditions),
    }
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def _summary(runs_s: list[float] | tuple[float, ...]) -> dict[str, object]:
    runs = [round(run, 6) for run in runs_s]
    return {"median": median(runs), "lowest": min(runs), "highest": max(runs), "runs": runs}


def print_table(measurement: Measurement) -> None:
    """The medians for people, on stdout."""
    from rich.console import Console
    from rich.table import Table

    cold, ratio = measurement.cold, measurement.in_process_over_served
    memory, conditions = measurement.memory, measurement.conditions
    machine = conditions.machine
    seconds = {
        "cold start to first result": median(one.first_result_s for one in cold),
        "cold start to end of process": median(one.process_end_s for one in cold),
        "warm, through Triton": measurement.served.median_s,
        "warm, OpenVINO in-process": measurement.in_process.median_s,
    }
    table = Table("work", "median", box=None, pad_edge=False)
    for name, value in seconds.items():
        table.add_row(name, f"{value:.3f} s")
    spread = f"{ratio.median:.3f} (95 % {ratio.low:.3f} to {ratio.high:.3f})"
    table.add_row("in-process over served", spread)
    table.add_row("client, peak PSS", f"{memory.client_mib:.0f} MiB")
    table.add_row("server, peak PSS", f"{memory.server_mib:.0f} MiB")
    table.add_row("warm server, peak PSS", f"{memory.warm_server_mib:.0f} MiB")
    console = Console(highlight=False)
    console.print(table)
    console.print(
        f"{conditions.slices} slices, {ratio.pairs} pairs, {len(cold)} cold starts; "
        f"{machine.cpu_model}, {machine.cores} cores, {conditions.precision}, load "
        f"{machine.load_average_start} to {machine.load_average_end}"
    )


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("study", type=_FOLDER, default=_EXAMPLE)
@click.option("--repository", type=_FOLDER, help="Model repository; the bundle's own if not given.")
@click.option("--runs", type=click.IntRange(1), default=20, show_default=True,
              help="Pairs of served and in-process studies.")  # fmt: skip
@click.option("--cold-runs", type=click.IntRange(1), default=5, show_default=True,
              help="Whole processes.")  # fmt: skip
@click.option("--burn-in", type=click.IntRange(1), default=3, show_default=True,
              help="Pairs before the first that counts.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout instead of a table.")
@click.option("--out", type=_FILE, help="Write the JSON here.")
@told
def main(
    study: Path, repository: Path | None, as_json: bool, out: Path | None, **counts: int
) -> None:
    """Measure first light on the head CT in STUDY, by default the phantom in examples/."""
    workload = Workload(study, repository or default_repository(), **counts)
    measurement = measurement_from_workload(workload, say=lambda text: click.echo(text, err=True))
    text = json_from_measurement(measurement)
    if as_json:
        click.echo(text, nl=False)
    else:
        print_table(measurement)
    if out is not None:
        write_whole(out, text)


if __name__ == "__main__":
    main()
