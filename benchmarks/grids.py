"""One slice or three, 1 mm or finer: what a member gains from a richer item, and what that costs.

    python -m benchmarks.grids --json --out benchmarks/results/grids.json

The same phantoms, scanned with a full matrix, are put on each grid; the same network learns from
each for the same number of steps and is judged on the same studies. It is the measurement behind
the grid of the default weights.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from benchmarks.conditions import conditions_of_run, load_average, now_utc
from benchmarks.errors import BenchmarkError
from benchmarks.written import write_whole
from ichclient.ending_cli import told
from ichcore import Grid
from ichtrain.data import Prepared, PreparedWriter
from ichtrain.fit import FitRecord, fit_member
from ichtrain.fit.slices import study_label
from ichtrain.fit.validation import study_logit
from ichtrain.phantom import PhantomOptions, phantom_from_options
from ichtrain.phantom.dicom import uid_from_options
from ichtrain.phantoms import PhantomPlan, phantom_pool, series_from_phantom
from ichtrain.reproduce.judge import slice_logits
from ichtrain.starter import FIRST, TRAIN_KINDS, VALIDATION_KINDS
from ichtrain.statistics import auc_from_scores, paired_test

_PACKAGES = ("ich-triton", "numpy", "scipy", "torch")
BASE = "1 mm, one slice"
GRIDS = {
    BASE: Grid(256, 256, 1.0),
    "1 mm, three slices": Grid(256, 256, 1.0, slices_per_item=3),
    "0.75 mm, one slice": Grid(352, 352, 0.75),
    "2 mm, one slice": Grid(128, 128, 2.0),
}
"""What is compared with `BASE`; all but the coarsest hold a whole head."""

Say = Callable[[str], object]


@dataclass(frozen=True)
class Workload:
    """What is made and learnt: the same for each grid."""

    train: int
    validation: int
    test: int
    slices: int
    matrix: int
    steps: int
    seed: int = 0

    @property
    def plans(self) -> tuple[PhantomPlan, ...]:
        """The phantoms of the three splits."""
        return (
            PhantomPlan("train", self.train, TRAIN_KINDS, self.slices, self.matrix),
            PhantomPlan("validation", self.validation, VALIDATION_KINDS, self.slices, self.matrix),
            PhantomPlan("test", self.test, VALIDATION_KINDS, self.slices, self.matrix),
        )


def prepared_on_grids(scratch: Path, workload: Workload, say: Say) -> Mapping[str, Path]:
    """Draw every phantom once and put it on each grid; grids that differ in S alone share one."""
    folders = {name: scratch / f"grid{_stored(grid).rows}" for name, grid in GRIDS.items()}
    by_folder = {folders[name]: _stored(grid) for name, grid in GRIDS.items()}
    writers = {folder: PreparedWriter(folder, grid) for folder, grid in by_folder.items()}
    work = [
        (options, plan.split, tuple(by_folder.values()))
        for plan in workload.plans
        for options in plan.options()
    ]
    with phantom_pool(2) as pool:
        for number, series in enumerate(pool.map(_on_grids, work, chunksize=2), 1):
            for writer, one in zip(writers.values(), series, strict=True):
                writer.add(one)
            if number % 20 == 0 or number == len(work):
                say(f"Phantoms: {number} of {len(work)}")
    return folders


def _stored(grid: Grid) -> Grid:
    """The grid of a prepared folder, which holds slices singly."""
    return replace(grid, slices_per_item=1)


def _on_grids(work: tuple[PhantomOptions, str, tuple[Grid, ...]]) -> list[Any]:
    options, split, grids = work
    phantom = phantom_from_options(options)
    return [series_from_phantom(phantom, uid_from_options(options), split, grid) for grid in grids]


def fitted(data: Path, run: Path, grid: Grid, workload: Workload) -> FitRecord:
    """Train one member of all haemorrhages on a grid; crops cover the same millimetres."""
    share = 1.0 / grid.pixel_spacing_mm
    assert FIRST.crop_rows is not None  # the starter's first member has a crop
    assert FIRST.crop_columns is not None
    options = replace(
        FIRST,
        epochs=1,
        steps_per_epoch=workload.steps,
        slices_per_item=grid.slices_per_item,
        crop_rows=round(FIRST.crop_rows * share / 32) * 32,
        crop_columns=round(FIRST.crop_columns * share / 32) * 32,
        seed=workload.seed,
    )
    return fit_member([data], run, options)


def document_from_workload(workload: Workload, say: Say) -> dict[str, Any]:
    """Areas of every grid, their differences from `BASE`, and what a step took."""
    date, load_start = now_utc(), load_average()
    with tempfile.TemporaryDirectory() as scratch:
        folders = prepared_on_grids(Path(scratch), workload, say)
        records, scores, slices = {}, {}, {}
        for name, grid in GRIDS.items():
            say(f"Training on {name}")
            run = Path(scratch) / "run" / name.replace(" ", "-")
            records[name] = fitted(folders[name], run, grid, workload)
            test = Prepared(folders[name]).split("test")
            logits = list(slice_logits(run / f"{FIRST.name}.safetensors", test))
            scores[name] = np.array([study_logit(one) for one in logits])
            slices[name] = np.concatenate(logits)
        judged = list(Prepared(folders[BASE]).split("test"))
        truth = np.array([study_label(one) for one in judged])
        slice_truth = np.concatenate([one.labels[:, 0] for one in judged])
        patient = np.repeat(np.arange(len(judged)), [len(one.hu) for one in judged])
    if not np.isfinite(np.concatenate([*scores.values()])).all():
        raise BenchmarkError("A member answers with values that are no numbers; no figures.")
    return {
        "benchmark": "grids",
        "base": BASE,
        "measurements": {
            name: {
                "study": _area(truth, scores[name]),
                "study_less_base": _difference(truth, scores[name], scores[BASE]),
                "slice": _area(slice_truth, slices[name], patient),
                "slice_less_base": _difference(slice_truth, slices[name], slices[BASE], patient),
                "train_loss": records[name].best.train_loss,
                "trainer_slices_per_second": records[name].trainer_slices_per_second,
            }
            for name in GRIDS
        },
        "conditions": {
            **conditions_of_run(date, load_start, _PACKAGES),
            "workload": asdict(workload),
            "grids": {name: asdict(grid) for name, grid in GRIDS.items()},
            "fit": asdict(replace(FIRST, start=None)),
            "test": {"bleeds": int(truth.sum()), "clean": int((truth == 0).sum())},
        },
    }


def _area(
    truth: NDArray[Any], scores: NDArray[Any], clusters: NDArray[Any] | None = None
) -> dict[str, float]:
    area = auc_from_scores(truth, scores, clusters=clusters)
    return {name: round(float(getattr(area, name)), 4) for name in ("area", "low", "high")}


def _difference(
    truth: NDArray[Any],
    scores: NDArray[Any],
    base: NDArray[Any],
    clusters: NDArray[Any] | None = None,
) -> dict[str, float] | None:
    if scores is base:
        return None
    test = paired_test(truth, scores, base, clusters=clusters)
    fields = ("difference", "low", "high", "p_value")
    return {name: round(float(getattr(test, name)), 4) for name in fields}


def _table(document: Mapping[str, Any]) -> str:
    lines = ["grid                 study AUC  less base (95 %)            slice AUC  slices/s"]
    for name, one in document["measurements"].items():
        less = one["study_less_base"]
        words = (
            ""
            if less is None
            else f"{less['difference']:+.3f} ({less['low']:+.3f} to {less['high']:+.3f})"
        )
        lines.append(
            f"{name:20} {one['study']['area']:9.3f}  {words:26} {one['slice']['area']:9.3f}  "
            f"{one['trainer_slices_per_second']:8.1f}"
        )
    lines.append("Phantoms, one seed. Research demonstration, not a medical device.")
    return "\n".join(lines)


@click.command()
@click.option("--train", default=144, show_default=True, help="Phantoms to learn from.")
@click.option("--validation", default=24, show_default=True, help="Phantoms watched in training.")
@click.option("--test", default=96, show_default=True, help="Phantoms to judge on.")
@click.option("--slices", default=20, show_default=True, help="Slices of each phantom.")
@click.option("--matrix", default=512, show_default=True, help="Pixels a side as scanned.")
@click.option("--steps", default=400, show_default=True, help="Training steps on each grid.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Also write JSON.")
@told
def main(
    train: int, validation: int, test: int, slices: int, matrix: int, steps: int,
    as_json: bool, out: Path | None,
) -> None:  # fmt: skip
    """Compare items of one and of three slices, and grids of 2, 1 and 0.75 mm, on phantoms."""
    workload = Workload(train, validation, test, slices, matrix, steps)
    document = document_from_workload(workload, lambda text: click.echo(text, err=True))
    text = json.dumps(document, indent=1) + "\n"
    if out is not None:
        write_whole(out, text)
    click.echo(text if as_json else _table(document), nl=not as_json)


if __name__ == "__main__":
    main()
