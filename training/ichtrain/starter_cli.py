"""`ichtrain starter`: the default weights, made again from nothing but seeds."""

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
    TimeRemainingColumn,
)

_RUN = click.argument("run", type=click.Path(file_okay=False, path_type=Path))
_VALIDATION = click.option(
    "--validation-series", default=54, show_default=True, help="Phantoms to fit on."
)
_WORKERS = click.option(
    "--workers", default=2, show_default=True, help="Processes that make phantoms."
)


@click.command()
@_RUN
@click.option("--series", default=220, show_default=True, help="Phantoms to train on.")
@_VALIDATION
@click.option("--steps", default=500, show_default=True, help="Steps of the first member.")
@click.option("--subtype-steps", default=180, show_default=True, help="Steps of each other one.")
@click.option("--seed", default=0, show_default=True, help="Seed of batches and first weights.")
@_WORKERS
def starter(
    run: Path, series: int, validation_series: int, steps: int, subtype_steps: int,
    seed: int, workers: int,
) -> None:  # fmt: skip
    """Train four light members on phantoms and fit the ensemble, into the folder RUN.

    About half an hour on two cores. Release the run with: ichexport release RUN
    """
    from ichtrain.run import RunOptions, starter_run

    base = RunOptions()
    options = replace(
        base,
        series=series,
        validation_series=validation_series,
        workers=workers,
        first=replace(base.first, steps=steps, seed=seed),
        subtype=replace(base.subtype, steps=subtype_steps, seed=seed),
    )
    with _shown() as progress:
        starter_run(run, options, progress)
    click.echo(f"{run}: trained and fitted. Release it with: ichexport release {run}")


@click.command()
@_RUN
@_VALIDATION
@_WORKERS
def ensemble(run: Path, validation_series: int, workers: int) -> None:
    """Fit calibration, weights and operating points again for the members in RUN."""
    from ichtrain.run import RunOptions, fit_ensemble

    options = replace(RunOptions(), validation_series=validation_series, workers=workers)
    with _shown() as progress:
        fit_ensemble(run, options, progress)
    click.echo(f"{run}: fitted. Release it with: ichexport release {run}")


@contextmanager
def _shown() -> Iterator[Callable[[str, int, int], None]]:
    """One bar a stage, on stderr."""
    columns = (
        TextColumn("{task.description:12}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, TaskID] = {}

        def show(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done)

        yield show
