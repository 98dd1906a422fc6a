"""What it costs to reach a server safely: TLS, mutual TLS, the manifest check, a second server.

    python -m benchmarks.access --json --out benchmarks/results/access.json

Every number is of pairs that took turns, and none is given where an answer differs.
"""

from __future__ import annotations

import contextlib
import functools
import json
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from benchmarks.access_server import Certificates, Started, certificates_in, started_server
from benchmarks.conditions import (
    conditions_of_run,
    cores,
    engines_sha256_from_records,
    load_average,
    now_utc,
)
from benchmarks.errors import BenchmarkError
from benchmarks.paired import Durations, paired_durations, ratio_from_pairs
from benchmarks.work import (
    Answer,
    HUStudy,
    answer_from_server,
    hu_study_from_path,
    precision_of_processor,
    refuse_blind_proof,
    refuse_disagreement,
)
from benchmarks.written import write_whole
from ichclient.access import OPEN, ServerAccess
from ichclient.ending_cli import told
from ichclient.flags import ServerSettings, Tls
from ichclient.golden import GOLDEN_FILE, golden_from_file
from ichclient.pool import ServerPool
from ichclient.proof import Proof
from ichclient.repository import default_repository
from ichclient.transport import DEADLINE_S, RETRY_FOR_S, Transport, TritonTransport
from ichcore.flight import IN_FLIGHT
from ichcore.items import CHUNK_SLICES
from ichcore.wire import FUSED_MODEL, STUDY_MODEL
from ichexport.repository import spec_of_repository

_EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "phantom-sdh"
_FILE = click.Path(dir_okay=False, path_type=Path)
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_PACKAGES = ("ich-triton", "openvino", "numpy", "tritonclient", "grpcio", "nvidia-pytriton")
Say = Callable[[str], object]


@dataclass(frozen=True)
class Workload:
    """What is measured: a study on the grid, how often, and how many studies at once."""

    repository: Path
    study: HUStudy
    runs: int
    starts: int
    burn_in: int
    studies_at_once: int

    @property
    def settings(self) -> ServerSettings:
        """The server that a client starts for a study, in the clear."""
        return ServerSettings(
            str(self.repository.resolve()), "cpu", models=(FUSED_MODEL, STUDY_MODEL)
        )


def measurements_of(work: Workload, say: Say) -> dict[str, Any]:
    """Every number; raises an IchError, and then there is nothing to report."""
    with tempfile.TemporaryDirectory(prefix="ich-benchmark-tls-") as folder:
        certificates = certificates_in(Path(folder))
        with _plain(work) as plain:
            expected = _answer(plain, work.study)
            refuse_blind_proof(expected)
            found: dict[str, Any] = {}
            for name, tls, access in _secured(certificates):
                say(f"A study over {name}, against plain gRPC")
                found[name] = _cost_of(work, plain, expected, tls, access)
            say("Studies at once on two servers in turn, against one")
            found["two_servers"] = _two_servers(work, plain, expected)
    say("From the start to ready, with and without the manifest check")
    found["start"] = _starts(work)
    return found


def _secured(made: Certificates) -> Iterator[tuple[str, Tls, ServerAccess]]:
    """Both kinds of TLS: the server alone shows a certificate, or both do."""
    yield "tls", Tls(made.server.certificate, made.server.key), ServerAccess(True, made.access.ca)
    yield "mutual_tls", made.server, made.access


@contextlib.contextmanager
def _plain(work: Workload) -> Iterator[TritonTransport]:
    with started_server(work.settings) as server, _proven(work, server) as transport:
        yield transport


@contextlib.contextmanager
def _proven(work: Workload, server: Started) -> Iterator[TritonTransport]:
    golden = golden_from_file(work.repository / GOLDEN_FILE)
    with TritonTransport(server.url, access=server.access) as transport:
        Proof(golden).refuse_untrue_server(transport)
        yield transport


def _cost_of(
    work: Workload, plain: TritonTransport, expected: Answer, tls: Tls, access: ServerAccess
) -> dict[str, Any]:
    settings = ServerSettings(
        work.settings.model_repository, "cpu", models=(FUSED_MODEL, STUDY_MODEL), tls=tls
    )
    with started_server(settings, access) as server, _proven(work, server) as secured:
        largest = refuse_disagreement(_answer(secured, work.study), expected)
        ways = [functools.partial(_answer, each, work.study) for each in (secured, plain)]
        for _ in range(work.burn_in):
            for way in ways:
                way()
        ours, theirs = paired_durations(ways[0], ways[1], range(work.runs))
        _refuse_interrupted(secured, plain)
    return {
        "study_s": _told(ours),
        "plain_study_s": _told(theirs),
        "over_plain": asdict(ratio_from_pairs(ours, theirs)),
        "largest_differences": largest,
    }


def _two_servers(work: Workload, plain: TritonTransport, expected: Answer) -> dict[str, Any]:
    golden = golden_from_file(work.repository / GOLDEN_FILE)
    prove = Proof(golden).refuse_untrue_server
    with (
        started_server(work.settings) as second,
        contextlib.closing(
            ServerPool(
                (plain.url, second.url),
                prove,
                access=OPEN,
                deadline_s=DEADLINE_S,
                retry_for_s=RETRY_FOR_S,
            )
        ) as pool,
    ):
        pool.prove()
        largest = refuse_disagreement(_answer(pool, work.study), expected)
        ways = [functools.partial(_at_once, each, work, expected) for each in (pool, plain)]
        for _ in range(work.burn_in):
            for way in ways:
                way()
        ours, theirs = paired_durations(ways[0], ways[1], range(work.runs))
        _refuse_interrupted(pool, plain)
    count = work.studies_at_once
    return {
        "studies_at_once": count,
        "two_servers_studies_per_second": round(count / ours.median_s, 4),
        "one_server_studies_per_second": round(count / theirs.median_s, 4),
        "two_servers_s": _told(ours),
        "one_server_s": _told(theirs),
        # Above 1, the second server brings something.
        "throughput_over_one": asdict(ratio_from_pairs(theirs, ours)),
        "largest_differences": largest,
    }


def _starts(work: Workload) -> dict[str, Any]:
    """Servers that nobody else runs beside; the files are in the page cache."""
    ready: dict[bool, list[float]] = {True: [], False: []}
    for turn in range(work.starts + 1):
        for checked in (True, False) if turn % 2 else (False, True):
            with started_server(work.settings, checked=checked) as server:
                if turn:  # the first two only warm the cache
                    ready[checked].append(server.ready_s)
    ours, theirs = Durations(tuple(ready[True])), Durations(tuple(ready[False]))
    return {
        "ready_with_manifest_check_s": _told(ours),
        "ready_without_s": _told(theirs),
        "over_without": asdict(ratio_from_pairs(ours, theirs)),
    }


def _at_once(transport: Transport, work: Workload, expected: Answer) -> None:
    """Several studies of several callers, each of which has to be right."""
    with ThreadPoolExecutor(work.studies_at_once) as callers:
        answers = callers.map(lambda _: _answer(transport, work.study), range(work.studies_at_once))
        for answer in answers:
            refuse_disagreement(answer, expected)


def _answer(transport: Transport, study: HUStudy) -> Answer:
    return answer_from_server(transport, study, CHUNK_SLICES, IN_FLIGHT)


def _refuse_interrupted(*transports: Transport) -> None:
    if any(transport.interruptions for transport in transports):
        raise BenchmarkError("A server was away for a while; no numbers are given.")


def _told(durations: Durations) -> dict[str, Any]:
    return {
        "median": round(durations.median_s, 6),
        "runs": [round(run, 6) for run in durations.runs_s],
    }


def _table(found: dict[str, Any]) -> str:
    """The medians for people."""
    lines = []
    for name in ("tls", "mutual_tls"):
        row = found[name]
        lines.append(f"study over {name.replace('_', ' ')}: {row['study_s']['median']:.3f} s, "
                     f"{_ratio(row['over_plain'])} times plain")  # fmt: skip
    two, start = found["two_servers"], found["start"]
    lines.append(
        f"{two['studies_at_once']} studies at once: "
        f"{two['two_servers_studies_per_second']:.3f} a second on two servers, "
        f"{two['one_server_studies_per_second']:.3f} on one, {_ratio(two['throughput_over_one'])}"
    )
    lines.append(
        f"ready with the manifest check: {start['ready_with_manifest_check_s']['median']:.2f} s, "
        f"{_ratio(start['over_without'])} times without"
    )
    return "\n".join(lines)


def _ratio(ratio: dict[str, float]) -> str:
    return f"{ratio['median']:.3f} (95 % {ratio['low']:.3f} to {ratio['high']:.3f})"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("study", type=_FOLDER, default=_EXAMPLE)
@click.option("--repository", type=_FOLDER, help="Model repository; the bundle's own if not given.")
@click.option("--runs", type=click.IntRange(1), default=20, show_default=True,
              help="Pairs of each comparison.")  # fmt: skip
@click.option("--starts", type=click.IntRange(1), default=8, show_default=True,
              help="Pairs of starts.")  # fmt: skip
@click.option("--burn-in", type=click.IntRange(1), default=3, show_default=True,
              help="Pairs before the first that counts.")  # fmt: skip
@click.option("--at-once", type=click.IntRange(1), default=4, show_default=True,
              help="Studies at once on two servers, and on one.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout instead of a table.")
@click.option("--out", type=_FILE, help="Write the JSON here.")
@told
def main(
    study: Path, repository: Path | None, as_json: bool, out: Path | None,
    runs: int, starts: int, burn_in: int, at_once: int,
) -> None:  # fmt: skip
    """Measure what TLS, mutual TLS, the manifest check and a second server cost or bring."""
    repository = repository or default_repository()
    spec = spec_of_repository(repository)
    date, load = now_utc(), load_average()

    def say(text: str) -> None:
        click.echo(text, err=True)

    if load > 0.5 * cores():
        say(f"Others use this machine (load {load} on {cores()} cores): times will be long.")
    work = Workload(
        repository, hu_study_from_path(study, spec.grid), runs, starts, burn_in, at_once
    )
    found = measurements_of(work, say)
    document = {
        "notice": "Research demonstration, not a medical device.",
        "measurements": found,
        "conditions": {
            **conditions_of_run(date, load, _PACKAGES),
            "spec_sha256": spec.sha256,
            "engines_sha256": engines_sha256_from_records(repository, spec),
            "precision": precision_of_processor(),
            "slices": len(work.study.hu),
            "chunk_slices": CHUNK_SLICES,
            "in_flight": IN_FLIGHT,
            "burn_in": burn_in,
        },
    }
    text = json.dumps(document, indent=2, allow_nan=False) + "\n"
    click.echo(text if as_json else _table(found), nl=not as_json)
    if out is not None:
        write_whole(out, text)


if __name__ == "__main__":
    main()
