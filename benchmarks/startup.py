"""`ichclient infer` from nothing, and a server until it is ready -> seconds, against their parts.

    python -m benchmarks.startup --json --out benchmarks/results/startup.json

The unavoidable parts, each a process or call of its own: Python's start, the import of what the
client imports, the load of the engine into a fresh process. Whole and parts take turns.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import click
import numpy as np

from benchmarks.bench import Bench, Document, benchmark_command, lines_from_rows
from benchmarks.errors import BenchmarkError
from benchmarks.intake_files import slices_from_study, write_series
from benchmarks.paired import Durations, ratio_from_pairs
from benchmarks.peers.engine import json_from_settings
from benchmarks.process_run import ColdStart, cold_start
from benchmarks.proof import TOLERANCES, refuse_blind_scores
from benchmarks.raw import RawEngine
from benchmarks.studies import STUDY_SLICES
from benchmarks.turns import record_of
from benchmarks.work import hu_study_from_path
from ichclient.process import running_server
from ichclient.repository import verified_by_manifest
from ichcore.wire import ENSEMBLE_MODEL, FUSED_MODEL, STUDY_MODEL
from ichexport.repository import spec_of_repository

_IMPORTS = "import ichclient.cli, ichclient.infer, ichclient.decoder, tritonclient.grpc"
_ENGINE = (
    "import sys, time; from benchmarks.peers.engine import Engine, settings_from_json; "
    "import openvino, numpy; started = time.perf_counter(); "
    "Engine(settings_from_json(sys.argv[1])); print(time.perf_counter() - started)"
)
_OPENVINO = "import openvino"


@benchmark_command
@click.option("--turns", type=click.IntRange(1), default=10, show_default=True)
def main(bench: Bench, turns: int) -> tuple[Document, str]:
    """Measure a cold `ichclient infer` and the start of a server, stage by stage."""
    count = 1 if bench.quick else turns
    with bench.raw() as raw, tempfile.TemporaryDirectory(prefix="ich-benchmark-") as name:
        slices = slices_from_study(bench.studies[-1])
        study = write_series(Path(name) / "study", slices, "uncompressed", STUDY_SLICES)
        expected = _expected(bench, raw, study)
        parts: dict[str, list[float]] = {}
        start = partial(
            cold_start, study, bench.repository, expected, TOLERANCES[bench.precision]["SCORE"]
        )
        cold: list[ColdStart] = []
        kept: list[ColdStart] = []
        start(kept_engine=True)  # files into the page cache, the engine into its folder
        for turn in range(count):
            bench.say(f"Turn {turn + 1} of {count}")
            for part, measure in _parts(bench, raw).items():
                parts.setdefault(part, []).append(measure())
            cold.append(start(kept_engine=False))
            kept.append(start(kept_engine=True))
    bench.say("Servers until they are ready")
    servers = _servers(bench, 1 if bench.quick else 3)
    return _document(bench, count, parts, cold, kept, servers)


def _expected(bench: Bench, raw: RawEngine, study: Path) -> Any:
    """Scores of the study's slices by the raw engine."""
    hu = hu_study_from_path(study, spec_of_repository(bench.repository).grid).hu
    scores = np.asarray(raw(hu)["SCORE"])[:, 0]
    refuse_blind_scores(scores, bench.precision)
    return scores


def _parts(bench: Bench, raw: RawEngine) -> Mapping[str, Callable[[], float]]:
    """Each part's seconds; what a process imports is counted without Python's start."""
    python = _process_s("pass")
    settings = json_from_settings(bench.settings)
    return {
        "python_start_s": lambda: python,
        "client_import_s": lambda: max(1e-3, _process_s(_IMPORTS) - python),
        "openvino_import_s": lambda: max(1e-3, _process_s(_OPENVINO) - python),
        "engine_load_s": lambda: float(_said(_ENGINE, settings)),
        "manifest_check_s": lambda: _timed(lambda: verified_by_manifest(bench.repository)),
        "engine_study_s": lambda: raw.burst(STUDY_SLICES, 1, 1).elapsed_s,
    }


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _process_s(program: str) -> float:
    return _timed(lambda: _said(program))


def _said(program: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        words = " ".join(done.stderr.split())[-300:]
        raise BenchmarkError(f"A part of the start could not be measured: {words}")
    return done.stdout


def _servers(bench: Bench, times: int) -> dict[str, Any]:
    """Seconds from the start of an embedded server until all of its models are ready."""
    choices = {
        "ich_ensemble and ich_study": (ENSEMBLE_MODEL, STUDY_MODEL),
        "ich_fused and ich_study": (FUSED_MODEL, STUDY_MODEL),
        "every model": None,
    }
    found = {}
    with tempfile.TemporaryDirectory(prefix="ich-benchmark-") as folder:
        log = Path(folder) / "triton.log"
        for name, models in choices.items():
            runs = []
            for _ in range(times):
                started = time.perf_counter()
                with running_server(
                    bench.repository, log_path=log, models=models, stop_deadline_s=0
                ):
                    runs.append(round(time.perf_counter() - started, 4))
            found[name] = {"ready_s": median(runs), "runs_s": runs}
    return found


def _document(
    bench: Bench, turns: int, parts: Mapping[str, list[float]], cold: list[ColdStart],
    kept: list[ColdStart], servers: dict[str, Any],
) -> tuple[Document, str]:  # fmt: skip
    whole = Durations(tuple(one.first_result_s for one in cold))
    least = [
        sum(values)
        for values in zip(
            parts["python_start_s"], parts["client_import_s"], parts["openvino_import_s"],
            parts["engine_load_s"], strict=True,
        )
    ]  # fmt: skip
    with_study = [a + b for a, b in zip(least, parts["engine_study_s"], strict=True)]
    document = bench.document(
        "startup",
        {
            "turns": turns,
            "cold_infer": _told_of(cold),
            "kept_engine_infer": _told_of(kept),
            "parts": {name: _told(values) for name, values in parts.items()},
            "over_parts": record_of(ratio_from_pairs(whole, Durations(tuple(least)))),
            "over_parts_and_engine": record_of(
                ratio_from_pairs(whole, Durations(tuple(with_study)))
            ),
            "servers": servers,
        },
    )
    return document, _table(document)


def _told_of(starts: list[ColdStart]) -> dict[str, Any]:
    stages = {name: median(one.stages_s[name] for one in starts) for name in starts[0].stages_s}
    return {
        "first_result_s": _told([one.first_result_s for one in starts]),
        "process_end_s": _told([one.process_end_s for one in starts]),
        "stages_s": {name: round(value, 4) for name, value in stages.items()},
    }


def _told(runs: list[float] | tuple[float, ...]) -> dict[str, Any]:
    return {"median_s": round(median(runs), 4), "runs_s": [round(run, 4) for run in runs]}


def _table(document: Document) -> str:
    cold = document["cold_infer"]
    rows = [("cold infer, to its result", f"{cold['first_result_s']['median_s']:.2f} s")]
    rows += [(f"  its own {name}", f"{value:.2f} s") for name, value in cold["stages_s"].items()]
    kept_s = document["kept_engine_infer"]["first_result_s"]["median_s"]
    rows.append(("infer with a kept engine", f"{kept_s:.2f} s"))
    rows += [(name, f"{one['median_s']:.2f} s") for name, one in document["parts"].items()]
    rows += [
        (f"server with {name}", f"{one['ready_s']:.2f} s")
        for name, one in document["servers"].items()
    ]
    for name in ("over_parts", "over_parts_and_engine"):
        ratio = document[name]
        told = f"{ratio['median']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f})"
        rows.append((f"cold infer {name.replace('_', ' ')}", told))
    return lines_from_rows(("start", "median"), rows)


if __name__ == "__main__":
    main()
