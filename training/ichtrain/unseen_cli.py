"""`ichtrain unseen`: judge a released repository on phantom seeds that nobody trained on."""

from __future__ import annotations

import platform
from pathlib import Path

import click
from rich.console import Console
from rich.progress import track

from ichtrain.items import items_from_options, phantom_pool
from ichtrain.phantom import KINDS, PhantomOptions


@click.command()
@click.option("--repository", type=click.Path(exists=True, file_okay=False, path_type=Path),
              default=Path("model_repository"), show_default=True)  # fmt: skip
@click.option("--per-kind", default=20, show_default=True, help="Phantoms of each kind.")
@click.option("--slices", default=28, show_default=True, help="Slices of each phantom.")
@click.option("--matrix", default=512, show_default=True, help="Pixels a side as scanned.")
@click.option("--workers", default=2, show_default=True, help="Processes that make phantoms.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path),
              help="Write every phantom's outcome as JSON.")  # fmt: skip
def unseen(
    repository: Path, per_kind: int, slices: int, matrix: int, workers: int, out: Path | None
) -> None:
    """Print sensitivity, specificity and Dice of a repository over unseen phantoms.

    A research demonstration, not a medical device: phantoms say nothing about patients.
    """
    from ichexport.repository import spec_of_repository
    from ichtrain.unseen import (
        UNSEEN_FIRST_SEED,
        figures_from_judged,
        judged_from_items,
        runners_from_repository,
        table_from_figures,
        write_unseen,
    )

    spec = spec_of_repository(repository)
    runners = runners_from_repository(repository, spec)
    options = unseen_options(UNSEEN_FIRST_SEED, per_kind, slices, matrix)
    judged = []
    with phantom_pool(workers) as pool:
        made = pool.map(items_from_options, options)
        total = len(options)
        for one, items in track(
            zip(options, made, strict=True), "unseen", total, console=Console(stderr=True)
        ):
            judged.append(judged_from_items(items, one.seed, runners, spec))
    if out is not None:
        conditions = {
            "per_kind": per_kind,
            "slices": slices,
            "matrix": matrix,
            "first_seed": UNSEEN_FIRST_SEED,
            "processor": platform.processor() or platform.machine(),
            "command": f"ichtrain unseen --per-kind {per_kind} --slices {slices} --matrix {matrix}",
        }
        write_unseen(out, judged, spec, conditions)
    click.echo(table_from_figures(figures_from_judged(judged, spec), spec), nl=False)


def unseen_options(
    first_seed: int, per_kind: int, slices: int, matrix: int
) -> list[PhantomOptions]:
    """`per_kind` phantoms of every kind, each with a seed of its own."""
    return [
        PhantomOptions(
            kind=kind, slices=slices, matrix=matrix, seed=first_seed + offset * len(KINDS) + number
        )
        for offset in range(per_kind)
        for number, kind in enumerate(KINDS)
    ]
