"""`ichtrain fit`: train one member on prepared folders."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

_ENCODERS = ("densenet121", "inceptionresnetv2", "mobilenet_v2", "vgg19")


@click.command()
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path), nargs=-1,
                required=True)  # fmt: skip
@click.argument("run", type=click.Path(file_okay=False, path_type=Path))
@click.option("--name", required=True, help="Name of the member, such as ich_sdh.")
@click.option("--encoder", type=click.Choice(_ENCODERS), default="mobilenet_v2", show_default=True)
@click.option("--subset", type=click.Choice(("all", "sdh", "sah", "small")), default="all",
              show_default=True,
              help="Its own subtype and normals; small is 5 mL or less.")  # fmt: skip
@click.option("--annotation", type=click.Choice(("strong", "weak")), default="strong",
              show_default=True, help="Learn from masks, or from labels of slices.")  # fmt: skip
@click.option("--start", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="Weights (safetensors) to begin from.")  # fmt: skip
@click.option("--brain/--no-brain", "with_brain", default=None,
              help="Give BRAIN as an output. [default: a strong member of subset "
                   "all does]")  # fmt: skip
@click.option("--slices-per-item", type=click.Choice(("1", "3")),
              help="Give the network the neighbours too. [default: as the grid says]")  # fmt: skip
@click.option("--epochs", default=10, show_default=True)
@click.option("--steps-per-epoch", default=100, show_default=True)
@click.option("--batch-size", default=12, show_default=True, help="Half of it shows blood.")
@click.option("--learning-rate", default=2e-3, show_default=True, help="Peak of the one cycle.")
@click.option("--crop-pixels", type=int, help="Rows and columns of a crop. [default: the grid]")
@click.option("--crop-rows", type=int, help="Rows alone; columns with --crop-columns.")
@click.option("--crop-columns", type=int)
@click.option("--seed", default=0, show_default=True, help="Of first weights and batches.")
@click.option("--patience", default=5, show_default=True,
              help="Epochs without a better validation before it stops.")  # fmt: skip
@click.option("--precision", type=click.Choice(("auto", "32", "bf16", "16")), default="auto",
              show_default=True, help="Auto is mixed on a GPU and 32 on a processor.")  # fmt: skip
@click.option("--device", type=click.Choice(("auto", "cpu", "cuda")), default="auto",
              show_default=True)  # fmt: skip
@click.option("--workers", default=1, show_default=True, help="Processes that make batches.")
@click.option("--resume/--no-resume", default=True, show_default=True,
              help="Go on with a run that was killed.")  # fmt: skip
def fit(
    data: tuple[Path, ...], run: Path, slices_per_item: str | None, crop_pixels: int | None,
    crop_rows: int | None, crop_columns: int | None, resume: bool, **given: Any,
) -> None:  # fmt: skip
    """Train one member on prepared folders DATA, into the folder RUN.

    DATA come from `ichtrain prepare` or `ichtrain phantoms`; their train split is learnt and their
    validation split chooses the epoch. RUN gets NAME.safetensors, NAME.json (the record),
    NAME.curves.csv and NAME.png. A run that was killed goes on where it was.

    A research demonstration, not a medical device.
    """
    from ichtrain.fit import FitOptions, fit_member

    options = FitOptions(
        slices_per_item=None if slices_per_item is None else int(slices_per_item),
        crop_rows=crop_rows or crop_pixels,
        crop_columns=crop_columns or crop_pixels,
        **given,
    )
    columns = (
        TextColumn("{task.description:10}"), BarColumn(), MofNCompleteColumn(),
        TimeElapsedColumn(), TimeRemainingColumn(), TextColumn("{task.fields[figures]}"),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True)) as bars:
        task = bars.add_task(options.name, total=None, figures="")

        def show(done: int, total: int, figures: Mapping[str, float]) -> None:
            text = ", ".join(f"{name} {value:.3f}" for name, value in figures.items())
            bars.update(task, completed=done, total=total, figures=text)

        record = fit_member(data, run, options, show, resume=resume)
    best = record.best
    slices = "" if best.slice_auc is None else f", over slices {best.slice_auc:.3f}"
    click.echo(
        f"{run / record.name}.safetensors: AUC over validation studies {best.study_auc:.3f}"
        f"{slices} (epoch {best.epoch}). Loader {record.loader_slices_per_second:g}, trainer "
        f"{record.trainer_slices_per_second:g} slices/s. Research demonstration, not a medical "
        "device."
    )
