"""Options of a command -> what every benchmark begins and ends with.

Begins: the pool of real slices, the precision, the raw engine. Ends: conditions, table or JSON on
stdout, file. Nothing is printed or written before everything was measured.
"""

from __future__ import annotations

import functools
import json
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from benchmarks.conditions import (
    PACKAGES,
    arithmetic_of,
    conditions_of_run,
    cores,
    engines_sha256_from_records,
    load_average,
    machine_from_load,
    now_utc,
)
from benchmarks.data import Pool, default_studies, pool_from_studies
from benchmarks.peers.engine import EngineSettings
from benchmarks.raw import RawEngine, raw_engine, served_precision, settings_of_repository
from benchmarks.written import write_whole
from ichclient.ending_cli import told
from ichclient.repository import default_repository
from ichcore.flight import IN_FLIGHT
from ichcore.items import CHUNK_SLICES
from ichexport.repository import spec_of_repository

Say = Callable[[str], object]
Document = dict[str, Any]
_F = TypeVar("_F", bound=Callable[..., Any])
NOTICE = "Research demonstration, not a medical device."


@dataclass(frozen=True)
class Bench:
    """What a benchmark works with; `quick` is the form whose numbers are no record."""

    repository: Path
    studies: tuple[Path, ...]
    quick: bool
    say: Say
    date: str
    load_start: float

    @functools.cached_property
    def precision(self) -> str:
        """What the served engines calculate in on this processor."""
        return served_precision(self.repository)

    @property
    def arithmetic(self) -> str:
        """Precision and, where it is AMX that calculates in it, that: shares differ by it."""
        return arithmetic_of(self.precision, machine_from_load(self.load_start).vector_flags)

    @functools.cached_property
    def pool(self) -> Pool:
        """The slices of all studies on the grid of the bundle."""
        return pool_from_studies(self.studies, spec_of_repository(self.repository).grid)

    @property
    def settings(self) -> EngineSettings:
        """The raw engine, and that of every peer."""
        return settings_of_repository(self.repository, self.precision, cores())

    @contextmanager
    def raw(self) -> Iterator[RawEngine]:
        """The raw engine in its process."""
        with raw_engine(self.settings, self.pool) as engine:
            yield engine

    def document(self, name: str, found: Document, triton: str | None = None) -> Document:
        """What was found, with its conditions."""
        spec = spec_of_repository(self.repository)
        hashes = engines_sha256_from_records(self.repository, spec)
        conditions = conditions_of_run(self.date, self.load_start, PACKAGES)
        if triton is not None:
            conditions["versions"]["triton"] = triton
        return {
            "benchmark": name,
            "form": "quick" if self.quick else "full",
            **found,
            "conditions": {
                **conditions,
                "precision": self.precision,
                "raw_engine": {
                    "streams": self.settings.streams,
                    "piece_slices": self.settings.piece_slices,
                    "pinned": self.settings.pinned,
                },
                "spec_sha256": spec.sha256,
                "engines_sha256": hashes,
                "data": list(self.pool.studies),
                "data_slices": len(self.pool.hu),
                "chunk_slices": CHUNK_SLICES,
                "in_flight": IN_FLIGHT,
            },
        }


_FILE = click.Path(dir_okay=False, path_type=Path)
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


def benchmark_command(command: _F) -> Callable[..., Any]:
    """The options that every benchmark has; the command is given a `Bench` first."""

    @click.command(context_settings={"help_option_names": ["-h", "--help"]})
    @click.option("--repository", type=_FOLDER, help="Model repository; else the bundle's own.")
    @click.option("--study", "study", type=_FOLDER, multiple=True,
                  help="Head CT to send, several times for several; else the phantom in examples/ "
                       "and a real head where one lies beside the checkout.")  # fmt: skip
    @click.option("--quick", is_flag=True, help="Few and short runs, to see that it works.")
    @click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout, not a table.")
    @click.option("--out", type=_FILE, help="Write the JSON here.")
    @functools.wraps(command)
    @told
    def run(
        repository: Path | None, study: tuple[Path, ...], quick: bool, as_json: bool,
        out: Path | None, **options: Any,
    ) -> None:  # fmt: skip
        # By `kill` too a benchmark ends its servers; a shell's background job would ignore Ctrl-C.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.default_int_handler)
        bench = Bench(
            repository=(repository or default_repository()).resolve(),
            studies=study or default_studies(),
            quick=quick,
            say=lambda text: click.echo(text, err=True),
            date=now_utc(),
            load_start=load_average(),
        )
        if bench.load_start > 0.5 * cores():
            bench.say(
                f"The load of the last minute was {bench.load_start} on {cores()} cores: "
                "unless that was another benchmark, times will be long, and ratios uncertain."
            )
        document, table = command(bench, **options)
        text = json.dumps(document, indent=1, allow_nan=False) + "\n"
        if out is not None:
            write_whole(out, text)
        click.echo(text if as_json else f"{table}\n{NOTICE}", nl=not as_json)

    return run


def lines_from_rows(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A plain table: the first column left, the others right."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in [head, *rows]
    )
