"""Phantoms and encoders -> what making weights costs: slices a second and peak memory.

    python -m benchmarks.training --json --out benchmarks/results/training.json

Every phantom is checked against its own labels and every fit against its own loss before a
number is given. How each number is measured stands in `benchmarks/README.md`.
"""

from __future__ import annotations

import json
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.conditions import conditions_of_run, load_average, now_utc
from benchmarks.errors import BenchmarkError
from benchmarks.written import write_whole
from ichclient.ending_cli import told
from ichcore import Grid
from ichexport.members import ENCODERS
from ichtrain.data import Prepared
from ichtrain.fit import FitOptions, FitRecord, fit_member
from ichtrain.phantoms import PhantomPlan, prepare_phantoms

_PACKAGES = ("ich-triton", "numpy", "pytorch-lightning", "scipy", "torch")
Say = Callable[[str], object]


@dataclass(frozen=True)
class Workload:
    """What is made and trained."""

    phantoms: int
    slices: int
    workers: int
    pixels: int
    batch_size: int
    steps: int
    encoders: tuple[str, ...] = ENCODERS

    def __post_init__(self) -> None:
        """Refuse a workload without work."""
        if min(self.phantoms, self.slices, self.workers, self.batch_size) < 1 or self.steps < 2:
            raise ValueError(f"not a workload: {self}")


@dataclass(frozen=True)
class PhantomRate:
    """Slices a second of phantoms carried to the grid, and the largest worker's peak memory."""

    slices_per_second: float
    slices: int
    peak_memory_mib: float


@dataclass(frozen=True)
class FitRate:
    """Slices a second of one encoder: its loader alone, its trainer alone, and together."""

    encoder: str
    loader_slices_per_second: float
    trainer_slices_per_second: float
    slices_per_second: float
    waiting_share: float
    peak_memory_mib: float


def phantom_rate(folder: Path, workload: Workload) -> PhantomRate:
    """Time the phantoms of a train and a validation split; the first ones are not counted."""
    grid = Grid(workload.pixels, workload.pixels, 256.0 / workload.pixels)
    kinds = ("normal", "iph")
    burn_in = PhantomPlan("validation", 2 * workload.workers, kinds, workload.slices)
    prepare_phantoms(folder, [burn_in], grid, workers=workload.workers)
    plan = PhantomPlan("train", workload.phantoms, kinds, workload.slices)
    started = time.perf_counter()
    prepare_phantoms(folder, [plan], grid, workers=workload.workers)
    seconds = time.perf_counter() - started
    made = list(Prepared(folder).split("train"))
    if {series.has("any") for series in made} != {True, False}:
        raise BenchmarkError("The phantoms are not both with and without blood; no numbers.")
    slices = sum(len(series.hu) for series in made)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return PhantomRate(round(slices / seconds, 2), slices, round(peak, 1))


def fit_rate(folder: Path, run: Path, encoder: str, workload: Workload) -> FitRate:
    """Train one encoder for a few steps and read its record."""
    options = FitOptions(
        name=encoder,
        encoder=encoder,
        epochs=1,
        steps_per_epoch=workload.steps,
        batch_size=workload.batch_size,
    )
    record: FitRecord = fit_member([folder], run, options)
    if not np.isfinite(record.best.train_loss):
        raise BenchmarkError(f"The loss of {encoder} is {record.best.train_loss}; no numbers.")
    return FitRate(
        encoder,
        record.loader_slices_per_second,
        record.trainer_slices_per_second,
        record.slices_per_second,
        record.waiting_share,
        record.peak_memory_mib,
    )


def document_from_workload(workload: Workload, say: Say) -> dict[str, Any]:
    """All numbers with their conditions."""
    date, load_start = now_utc(), load_average()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "phantoms"
        say("Phantoms")
        made = phantom_rate(folder, workload)
        rates = []
        for encoder in workload.encoders:
            say(f"Training {encoder}")
            rates.append(fit_rate(folder, Path(scratch) / "run", encoder, workload))
    return {
        "benchmark": "training",
        "measurements": {"phantoms": asdict(made), "encoders": [asdict(rate) for rate in rates]},
        "conditions": {
            **conditions_of_run(date, load_start, _PACKAGES),
            "workload": asdict(workload),
        },
    }


def _table(document: dict[str, Any]) -> str:
    phantoms = document["measurements"]["phantoms"]
    lines = [
        f"phantoms {phantoms['slices_per_second']:8.1f} slices/s  "
        f"{phantoms['peak_memory_mib']:7.0f} MiB a worker"
    ]
    lines += [
        f"{rate['encoder']:18} loader {rate['loader_slices_per_second']:7.1f}, trainer "
        f"{rate['trainer_slices_per_second']:6.1f} slices/s  {rate['peak_memory_mib']:7.0f} MiB"
        for rate in document["measurements"]["encoders"]
    ]
    return "\n".join(lines)


@click.command()
@click.option("--phantoms", default=8, show_default=True, help="Phantoms to time.")
@click.option("--slices", default=24, show_default=True, help="Slices of each phantom.")
@click.option("--workers", default=2, show_default=True, help="Processes that make phantoms.")
@click.option("--pixels", default=256, show_default=True, help="Pixels a side of the grid.")
@click.option("--batch-size", default=8, show_default=True)
@click.option("--steps", default=8, show_default=True, help="Training steps of each encoder.")
@click.option("--encoder", "encoders", multiple=True, type=click.Choice(ENCODERS),
              help="Give it again for more. [default: all four]")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Also write JSON.")
@told
def main(
    phantoms: int, slices: int, workers: int, pixels: int, batch_size: int, steps: int,
    encoders: tuple[str, ...], as_json: bool, out: Path | None,
) -> None:  # fmt: skip
    """Measure how fast phantoms are made and members trained on this machine."""
    workload = Workload(phantoms, slices, workers, pixels, batch_size, steps, encoders or ENCODERS)
    document = document_from_workload(workload, lambda text: click.echo(text, err=True))
    text = json.dumps(document, indent=1) + "\n"
    if out is not None:
        write_whole(out, text)
    click.echo(text if as_json else _table(document), nl=not as_json)


if __name__ == "__main__":
    main()
