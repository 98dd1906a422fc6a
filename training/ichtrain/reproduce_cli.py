"""`ichtrain reproduce`: the paper's comparison on phantoms, with a page of what came out."""

from __future__ import annotations

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


class _Budget(click.ParamType):  # type: ignore[type-arg]  # older click is not generic
    """The name of a budget; that of the tests is not told."""

    name = "small|full"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value not in ("small", "full", "tiny"):
            self.fail(f"'{value}' is no budget; choose small or full.", param, ctx)
        return value


@click.command()
@click.argument("out", type=click.Path(file_okay=False, path_type=Path), default="reproduce")
@click.option("--budget", type=_Budget(), default="small", show_default=True,
              help="How much data and training.")  # fmt: skip
@click.option("--workers", default=2, show_default=True, help="Processes that make phantoms.")
def reproduce(out: Path, budget: str, workers: int) -> None:
    """Repeat the paper's comparison on phantoms, into the folder OUT (./reproduce if not given).

    Four architectures trained on masks and on labels of slices, and the weighted ensemble, judged
    on phantoms that none of them saw. OUT gets reproduce.md, reproduce.json, roc.png and
    forest.png. The budget small takes about three quarters of an hour on two idle cores; full is
    meant for a GPU and has never been run by its authors. A killed run goes on where it was.

    A research demonstration, not a medical device.
    """
    from ichtrain.reproduce import BUDGETS, PAGE_FILE
    from ichtrain.reproduce import reproduce as run

    columns = (
        TextColumn("{task.description:24}"), BarColumn(), MofNCompleteColumn(),
        TimeElapsedColumn(), TimeRemainingColumn(), TextColumn("{task.fields[figures]}"),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, TaskID] = {}

        def show(stage: str, done: int, total: int, figures: str) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total, figures=figures)
            bars.update(tasks[stage], completed=done, total=total, figures=figures)

        record = run(out, BUDGETS[budget], show, workers=workers)
    for table in ("strong_beats_weak", "ensemble_beats"):
        for one in record[table]:
            click.echo(f"{one['first']} better than {one['second']}: {one['verdict']}")
    click.echo(f"{out / PAGE_FILE}: the page. Research demonstration, not a medical device.")
