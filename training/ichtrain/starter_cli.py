"""`ichtrain starter` and `ichtrain phantoms`: data and default weights from seeds alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from ichtrain.phantom.options import KINDS

_WORKERS = click.option(
    "--workers", default=2, show_default=True, help="Processes that make phantoms."
)
_SLICES = click.option("--slices", default=24, show_default=True, help="Slices of each phantom.")


@click.command()
@click.argument("run", type=click.Path(file_okay=False, path_type=Path))
@click.option("--series", default=640, show_default=True, help="Phantoms to train on.")
@click.option("--validation-series", default=96, show_default=True, help="Phantoms to fit on.")
@_SLICES
@click.option("--epochs", default=4, show_default=True, help="Epochs of the first member.")
@click.option("--subtype-epochs", default=1, show_default=True, help="Epochs of each other one.")
@click.option("--steps", type=int, help="Steps of an epoch. [default: 700, then 400]")
@click.option("--seed", default=0, show_default=True, help="Seed of batches and first weights.")
@_WORKERS
def starter(
    run: Path, series: int, validation_series: int, slices: int, epochs: int,
    subtype_epochs: int, steps: int | None, seed: int, workers: int,
) -> None:  # fmt: skip
    """Train four light members on phantoms and fit the ensemble, into the folder RUN.

    A good hour on two idle cores. Release the run with: ichexport release RUN
    """
    from ichtrain.starter import StarterOptions, starter_run

    base = StarterOptions()
    first = replace(base.first, epochs=epochs, seed=seed)
    subtype = replace(base.subtype, epochs=subtype_epochs, seed=seed)
    if steps is not None:
        first, subtype = (replace(fit, steps_per_epoch=steps) for fit in (first, subtype))
    options = StarterOptions(series, validation_series, slices, workers, first, subtype)
    with _shown() as progress:
        starter_run(run, options, progress)
    click.echo(f"{run}: trained and fitted. Release it with: ichexport release {run}")


@click.command()
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option("--split", type=click.Choice(("train", "validation", "test")), default="train",
              show_default=True, help="Each split has seeds of its own.")  # fmt: skip
@click.option("--count", default=100, show_default=True, help="Phantoms in all.")
@click.option("--kind", "kinds", type=click.Choice(KINDS), multiple=True,
              help="Kinds to take in turn; give it again for more. [default: all]")  # fmt: skip
@_SLICES
@click.option("--matrix", default=256, show_default=True, help="Pixels a side as scanned.")
@click.option("--grid-pixels", default=256, show_default=True, help="Pixels a side of the grid.")
@click.option("--pixel-spacing-mm", default=1.0, show_default=True, help="Of the grid.")
@_WORKERS
def phantoms(
    out: Path, split: str, count: int, kinds: tuple[str, ...], slices: int, matrix: int,
    grid_pixels: int, pixel_spacing_mm: float, workers: int,
) -> None:  # fmt: skip
    """Fill the prepared folder OUT with labelled phantoms, ready for `ichtrain fit`.

    No DICOM is written; for that see `ichtrain phantom`. What is there already is kept.
    """
    from ichcore import Grid
    from ichtrain.phantoms import PhantomPlan, prepare_phantoms

    plan = PhantomPlan(split, count, kinds or KINDS, slices, matrix)
    grid = Grid(grid_pixels, grid_pixels, pixel_spacing_mm)
    with _shown() as progress:
        prepare_phantoms(
            out, [plan], grid, workers=workers,
            progress=lambda done, total: progress("phantoms", done, total, ""),
        )  # fmt: skip
    click.echo(f"{out}: {count} phantoms of the {split} split.")


@contextmanager
def _shown() -> Iterator[Callable[[str, int, int, str], None]]:
    """One bar a stage, on stderr."""
    columns = (
        TextColumn("{task.description:12}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[figures]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, TaskID] = {}

        def show(stage: str, done: int, total: int, figures: str) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total, figures=figures)
            bars.update(tasks[stage], completed=done, total=total, figures=figures)

        yield show
