"""`ichtrain phantom`: synthetic head CT studies with exact lesion masks."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ichtrain.phantom.options import KERNELS, KINDS, PhantomOptions


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--kind",
    type=click.Choice(KINDS),
    default="normal",
    show_default=True,
    help="What bleeds: one subtype, a small lesion (5 mL or less), or several.",
)
@click.option("--slices", default=32, show_default=True, help="Slices over the head.")
@click.option("--seed", default=0, show_default=True, help="The same seed gives the same head.")
@click.option("--tilt", type=float, help="Gantry tilt in degrees. [default: from the seed]")
@click.option("--kernel", type=click.Choice(KERNELS), help="[default: from the seed]")
@click.option("--matrix", default=512, show_default=True, help="Rows and columns.")
@click.option("--compress", is_flag=True, help="Store pixels as JPEG 2000 Lossless.")
@click.option(
    "--count",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Studies to make, in OUT/KIND-SEED/ for successive seeds.",
)
def phantom(
    out: Path, kind: str, slices: int, seed: int, tilt: float | None, kernel: str | None,
    matrix: int, compress: bool, count: int,
) -> None:  # fmt: skip
    """Write a synthetic head CT series into the new folder OUT.

    Beside the DICOM files OUT gets masks.npz (lesion labels and the inside of the skull) and
    manifest.json (labels of every slice). Synthetic images for research, not patient data.

    Exit codes: 0 written, 2 an option no phantom can have, 6 OUT is taken or not writable.
    """
    from ichtrain.phantom import phantom_from_options
    from ichtrain.phantom.study import refuse_taken, write_study

    options = [
        PhantomOptions(kind, slices, number, matrix, tilt_degrees=tilt, kernel=kernel)
        for number in range(seed, seed + count)
    ]
    folders = [out] if count == 1 else [out / f"{kind}-{option.seed}" for option in options]
    for folder in folders:
        refuse_taken(folder)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
               TimeElapsedColumn())  # fmt: skip
    with Progress(*columns, console=Console(stderr=True)) as progress:
        work = list(zip(options, folders, strict=True))
        for option, folder in progress.track(work, description=f"phantom {kind}"):
            write_study(phantom_from_options(option), folder, compress)
    for folder in folders:
        click.echo(folder)
