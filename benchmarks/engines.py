"""Every route and precision of `ichexport` -> build seconds, bytes, and slices a second here.

    python -m benchmarks.engines --out benchmarks/results/engines.json

All runtimes of the processor answer the golden slices first, and one that would move a decision
or is over the limits of its precision gets no times. Then they take turns in one run. How each
number is meant stands in `benchmarks/README.md`.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.conditions import conditions_of_run, load_average, now_utc
from benchmarks.engine_plot import png_from_document
from benchmarks.engine_worker import HU, Way, Worker, worker
from benchmarks.errors import BenchmarkError
from benchmarks.paired import CONFIDENCE, Durations, ratio_from_pairs
from benchmarks.roofline import weight_bytes_from_onnx
from benchmarks.written import write_whole
from ichclient.ending_cli import told
from ichcore import EnsembleSpec, IchError, combined_from_members
from ichexport.engines import outputs_from_runner
from ichexport.entry import graph_of
from ichexport.errors import ParityError
from ichexport.gate import Reference
from ichexport.golden import GOLDEN_FILE
from ichexport.repository import spec_of_repository
from ichexport.routes import ROUTES
from ichexport.routes.route import Source
from ichexport.studies import Studies, studies_from_file
from ichexport.typed import typed_graph

BUILDS = (
    ("onnxruntime", "f32"), ("onnxruntime", "int8"),
    ("openvino", "f32"), ("openvino", "bf16"), ("openvino", "int8"),
    ("tensorrt-rtx", "f32"), ("tensorrt-rtx", "f16"), ("tensorrt-rtx", "bf16"),
    ("tensorrt-rtx", "int8"), ("tensorrt-rtx", "fp8"),
)  # fmt: skip
BASE = "onnxruntime f32"
GOALS = {"openvino bf16": 1.5, "openvino int8": 2.0}
"""Times the speed of `BASE` that the bundle wants."""

BATCH_SLICES = 8
_PACKAGES = ("ich-triton", "numpy", "onnx", "onnxruntime", "openvino", "tensorrt-rtx-cu13", "torch")
Say = Callable[[str], object]


def built(
    repository: Path, spec: EnsembleSpec, calibration: HU, folder: Path, say: Say
) -> tuple[dict[str, Any], dict[str, dict[str, Path]]]:
    """What each build of all members took and weighs, or why there is none; and its graphs."""
    facts: dict[str, Any] = {}
    graphs: dict[str, dict[str, Path]] = {}
    for target, precision in BUILDS:
        name = f"{target} {precision}"
        say(f"Building {name}")
        scratch = folder / name.replace(" ", "-")
        scratch.mkdir()
        try:
            facts[name], graphs[name] = _build(
                repository, spec, calibration, target, precision, scratch
            )
        except IchError as error:
            facts[name] = {"not_built": str(error)}
    return facts, graphs


def _build(
    repository: Path,
    spec: EnsembleSpec,
    calibration: HU,
    target: str,
    precision: str,
    folder: Path,
) -> tuple[dict[str, Any], dict[str, Path]]:
    route = ROUTES[target]
    options = route.Options(precision=precision)
    total = {"build_seconds": 0.0, "engine_bytes": 0, "weight_bytes": 0}
    layers: dict[str, int] = {}
    graphs = {}
    for member in spec.member_names:
        started = time.perf_counter()
        graph = graph_of(repository, member)
        if options.graph_precision != "f32":
            typed = folder / f"{member}.onnx"
            typed_graph(graph, options.graph_precision, typed, calibration, target)
            graph = typed
        engine = route.build(Source(member, graph, None, calibration), folder, options)
        total["build_seconds"] += time.perf_counter() - started
        total["engine_bytes"] += engine.engine.stat().st_size
        total["weight_bytes"] += weight_bytes_from_onnx(graph)
        for stored, count in engine.layers.items():
            layers[stored] = layers.get(stored, 0) + count
        graphs[member] = graph
    return {**total, "build_seconds": round(total["build_seconds"], 2), "layers": layers}, graphs


def compared(workers: Mapping[str, Worker], spec: EnsembleSpec, studies: Studies) -> dict[str, Any]:
    """How the ensemble with every member in a way differs from torch, or its refusal."""
    torch = {name: workers["torch f32"].runner(name) for name in spec.member_names}
    reference = Reference(torch, spec, studies)
    found: dict[str, Any] = {}
    for way, each in workers.items():
        outputs = {
            name: outputs_from_runner(each.runner(name), studies.hu) for name in spec.member_names
        }
        combined = combined_from_members(outputs, spec)
        try:
            found[way] = reference.difference(combined, way.split()[1]).as_record()
        except ParityError as error:
            found[way] = {"no_times": str(error)}
    return found


def in_turns(workers: Mapping[str, Worker], hu: HU, turns: int, runs: int) -> dict[str, Durations]:
    """Seconds of each way by turn; every turn begins with the next of them."""
    seconds: dict[str, list[float]] = {name: [] for name in workers}
    names = list(workers)
    for turn in range(turns):
        start = turn % len(names)
        for name in (*names[start:], *names[:start]):
            seconds[name].append(workers[name].seconds(hu, runs))
    return {name: Durations(tuple(values)) for name, values in seconds.items()}


def document_from_repository(
    repository: Path, slices: Path | None, calibration: Path | None, turns: int, runs: int, say: Say
) -> dict[str, Any]:
    """Builds, differences and speeds, with their conditions."""
    date, load_start = now_utc(), load_average()
    spec = spec_of_repository(repository)
    golden = repository / GOLDEN_FILE
    studies = studies_from_file(slices or golden, spec)
    calibrating = studies_from_file(calibration or golden, spec).hu
    hu = np.resize(studies_from_file(golden, spec).hu, (BATCH_SLICES, *studies.hu.shape[1:]))
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as running:
        builds, graphs = built(repository, spec, calibrating, Path(scratch), say)
        released = {name: graph_of(repository, name) for name in spec.member_names}
        ways = {"torch f32": released} | {
            name: made for name, made in graphs.items() if not name.startswith("tensorrt")
        }
        workers = {
            name: running.enter_context(worker(Way(name, made, repository)))
            for name, made in ways.items()
        }
        say("Comparing with torch")
        differences = compared(workers, spec, studies)
        right = {
            name: each for name, each in workers.items() if "no_times" not in differences[name]
        }
        if BASE not in right:
            raise BenchmarkError(f"{BASE} is not right here, so nothing can be held against it.")
        say(f"{turns} turns")
        seconds = in_turns(right, hu, turns, runs)
    speeds = {name: _speed(one, seconds[BASE], len(hu)) for name, one in seconds.items()}
    return {
        "benchmark": "engines",
        "base": BASE,
        "builds": builds,
        "differences": differences,
        "speeds": speeds,
        "goals": {
            name: {"at_least": least, "reached": speeds[name]["times_base"]["median"] >= least}
            for name, least in GOALS.items()
            if name in speeds
        },
        "conditions": {
            **conditions_of_run(date, load_start, _PACKAGES),
            "members": len(spec.members),
            "spec_sha256": spec.sha256,
            "slices_compared": len(studies.hu),
            "slices_calibrated": len(calibrating),
            "slices_a_batch": len(hu),
            "turns": turns,
            "runs_a_turn": runs,
        },
    }


def _speed(seconds: Durations, base: Durations, slices: int) -> dict[str, Any]:
    return {
        "slices_per_second": round(slices / seconds.median_s, 1),
        "times_base": {**asdict(ratio_from_pairs(base, seconds)), "confidence": CONFIDENCE},
        "runs_s": [round(run, 5) for run in seconds.runs_s],
    }


def table(document: Mapping[str, Any]) -> str:
    """One line a build, then one a way to run."""
    lines = ["build                seconds  engines MB  weights MB"]
    for name, one in document["builds"].items():
        if "not_built" in one:
            lines.append(f"{name:20} {one['not_built']}")
            continue
        sizes = "  ".join(f"{one[key] / 1e6:10.1f}" for key in ("engine_bytes", "weight_bytes"))
        lines.append(f"{name:20} {one['build_seconds']:7.1f}  {sizes}")
    lines.append("run                  slices/s  times base (95 %)      largest score difference")
    for name, difference in document["differences"].items():
        if "no_times" in difference:
            lines.append(f"{name:20} {difference['no_times']}")
            continue
        one, ratio = document["speeds"][name], document["speeds"][name]["times_base"]
        spread = f"{ratio['median']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f})"
        lines.append(
            f"{name:20} {one['slices_per_second']:8.1f}  {spread:21}  "
            f"{difference['largest_score_difference']:.2g}"
        )
    lines.append("Four members one after another. Research demonstration, not a medical device.")
    return "\n".join(lines)


_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_OUT = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.option("--repository", type=click.Path(exists=True, file_okay=False, path_type=Path),
              default=Path("model_repository"), show_default=True, help="To build.")  # fmt: skip
@click.option("--slices", type=_FILE, help="Studies to compare on; else its golden slices.")
@click.option("--calibration", type=_FILE, help="Studies to calibrate on; the golden slices too.")
@click.option("--turns", type=click.IntRange(1), default=20, show_default=True,
              help="Of every way.")  # fmt: skip
@click.option("--runs", type=click.IntRange(1), default=3, show_default=True,
              help="Runs of a turn, of which the fastest counts.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.option("--out", type=_OUT, help="Also write JSON, and a picture beside it.")
@told
def main(
    repository: Path, slices: Path | None, calibration: Path | None, turns: int, runs: int,
    as_json: bool, out: Path | None,
) -> None:  # fmt: skip
    """Build every route and precision, and measure those that run on this processor."""

    def say(text: str) -> None:
        click.echo(text, err=True)

    document = document_from_repository(repository, slices, calibration, turns, runs, say)
    text = json.dumps(document, indent=1) + "\n"
    if out is not None:
        write_whole(out, text)
        out.with_suffix(".png").write_bytes(png_from_document(document))
    click.echo(text if as_json else table(document), nl=not as_json)


if __name__ == "__main__":
    main()
