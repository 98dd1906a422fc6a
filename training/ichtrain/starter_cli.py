"""`ichtrain starter`: the default weights, made again from nothing but seeds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@click.command()
@click.argument("run", type=click.Path(file_okay=False, path_type=Path))
@click.option("--series", default=220, show_default=True, help="Phantoms to train on.")
@click.option("--validation-series", default=54, show_default=True, help="Phantoms to fit on.")
@click.option("--steps", default=600, show_default=True, help="Steps of the first member.")
@click.option("--subtype-steps", default=240, show_default=True, help="Steps of each other one.")
@click.option("--seed", default=0, show_default=True, help="Seed of batches and first weights.")
@click.option("--workers", default=2, show_default=True, help="Processes that make phantoms.")
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
    columns = (TextColumn("{task.description:12}"), BarColumn(), MofNCompleteColumn(),
               TimeRemainingColumn())  # fmt: skip
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks = {}

        def show(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done)

        starter_run(run, options, show)
    click.echo(f"{run}: trained and fitted. Release it with: ichexport release {run}")
