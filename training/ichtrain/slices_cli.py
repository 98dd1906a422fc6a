"""`ichtrain slices`: phantoms as one file, to compare engines on and to calibrate them with."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ichtrain.phantom.options import KINDS


@click.command()
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--for", "purpose", type=click.Choice(("compare", "calibrate")), default="compare",
              show_default=True, help="Heads of the two are different.")  # fmt: skip
@click.option("--count", type=click.IntRange(min=1), default=24, show_default=True,
              help="Phantoms, each a study.")  # fmt: skip
@click.option("--kind", "kinds", type=click.Choice(KINDS), multiple=True,
              help="Kinds to take in turn; repeatable. [default: a third normal]")  # fmt: skip
@click.option("--slices", default=16, show_default=True, help="Slices of each phantom.")
@click.option("--grid-pixels", default=256, show_default=True, help="Pixels a side of the grid.")
@click.option("--pixel-spacing-mm", default=1.0, show_default=True, help="Of the grid.")
@click.option("--slices-per-item", type=click.Choice(("1", "3")), default="1", show_default=True,
              help="Of the grid.")  # fmt: skip
@click.option("--workers", default=2, show_default=True, help="Processes that make phantoms.")
def slices(
    out: Path, purpose: str, count: int, kinds: tuple[str, ...], slices: int, grid_pixels: int,
    pixel_spacing_mm: float, slices_per_item: str, workers: int,
) -> None:  # fmt: skip
    """Write phantoms on the grid of a repository into the file OUT.

    `ichexport build --slices OUT` compares engines on them, `--calibration OUT` calibrates with
    them. No head is one that `ichtrain starter` trains, fits or tests on.
    """
    from ichcore import Grid
    from ichtrain.slices import MIXED_KINDS, SlicesPlan, write_slices

    plan = SlicesPlan(purpose, count, kinds or MIXED_KINDS, slices)
    grid = Grid(grid_pixels, grid_pixels, pixel_spacing_mm, slices_per_item=int(slices_per_item))
    columns = (TextColumn("phantoms"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bars:
        task = bars.add_task("phantoms", total=count)
        write_slices(
            out, plan, grid, workers=workers,
            progress=lambda done, total: bars.update(task, completed=done, total=total),
        )  # fmt: skip
    click.echo(f"{out}: {count} phantoms of {slices} slices to {purpose} with.")
