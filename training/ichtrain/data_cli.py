"""`ichtrain manifest` and `ichtrain prepare`: labelled head CT -> what training reads."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from ichtrain.data.series import SPLITS

if TYPE_CHECKING:
    from ichtrain.data.readers.reading import Reading
    from ichtrain.data.rows import SliceRow

_FILE = click.Path(dir_okay=False, path_type=Path)
_MANIFEST = click.argument("manifest", type=_FILE)
_SKIP = click.option("--skip-broken", is_flag=True, help="Leave out what is broken and go on.")
_WORKERS = click.option(
    "--workers", type=click.IntRange(min=1), default=2, show_default=True, help="Processes."
)
_OUT = click.option(
    "--out", type=_FILE, required=True, help="Manifest to write, .parquet or .csv."
)  # fmt: skip


def _reader(site: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Options of every reader, around a command that takes SOURCE."""
    options = (
        click.argument("source", type=click.Path(exists=True, path_type=Path)),
        _OUT,
        click.option("--site", default=site, show_default=bool(site), help="Site of every row."),
        click.option("--split", type=click.Choice(SPLITS), help="Split of every row."),
        _SKIP,
        _WORKERS,
    )  # fmt: skip

    def decorated(function: Callable[..., None]) -> Callable[..., None]:
        for option in reversed(options):
            function = option(function)
        return function

    return decorated


@click.group()
def manifest() -> None:
    """Write, check and split manifests: one row a slice, described in docs/datasets.md."""


@manifest.command()
@_reader("phantom")
def phantoms(source: Path, out: Path, split: str | None, **common: Any) -> None:
    """Read folders that `ichtrain phantom` wrote."""
    from ichtrain.data.readers.phantoms import PhantomsOptions, rows_from_phantoms

    options = PhantomsOptions(split=split or "", **common)
    with _bar("phantoms") as progress:
        reading = rows_from_phantoms(source, options, progress)
    _write(reading, out)


@manifest.command()
@_reader("rsna")
def rsna(source: Path, out: Path, split: str | None, **common: Any) -> None:
    """Read the RSNA 2019 layout: stage_2_train.csv and stage_2_train/ in SOURCE."""
    from ichtrain.data.readers.rsna import RsnaOptions, rows_from_rsna

    options = RsnaOptions(split=split or "", **common)
    with _bar("images") as progress:
        reading = rows_from_rsna(source, options, progress)
    _write(reading, out)


@manifest.command()
@_reader("cq500")
def cq500(source: Path, out: Path, split: str | None, **common: Any) -> None:
    """Read CQ500: reads.csv and the study folders in SOURCE."""
    from ichtrain.data.readers.cq500 import Cq500Options, rows_from_cq500

    options = Cq500Options(split=split or "", **common)
    with _bar("studies") as progress:
        reading = rows_from_cq500(source, options, progress)
    _write(reading, out)


@manifest.command()
@_reader("")
@click.option(
    "--label", "labels", multiple=True, metavar="VALUE=NAME",
    help="What a mask value means: sdh, sah, edh, iph, ivh or lesion. [default: all are lesion]",
)  # fmt: skip
@click.option(
    "--patients", type=click.Choice(["header", "folder"]), default="header", show_default=True,
    help="PatientID of the files, as a code, or the name of the case's folder.",
)  # fmt: skip
@click.option("--no-mask-is-normal", is_flag=True, help="A case without a mask has no blood.")
def masks(source: Path, out: Path, split: str | None, labels: tuple[str, ...], **rest: Any) -> None:
    """Read series with a NIfTI or DICOM SEG mask each.

    SOURCE is a folder with one folder a case, or a CSV table with the columns series and mask.
    """
    from ichtrain.data.readers.masks import MasksOptions, rows_from_masks

    options = MasksOptions(split=split or "", meaning=_meaning(labels), **rest)
    with _bar("cases") as progress:
        reading = rows_from_masks(source, options, progress)
    _write(reading, out)


@manifest.command()
@_MANIFEST
@click.option("--json", "as_json", is_flag=True, help="Print the table as JSON.")
def check(manifest: Path, as_json: bool) -> None:
    """Check a manifest and say what it holds; positives are counted in series."""
    from ichtrain.data.manifest import refuse_missing_files, rows_from_manifest
    from ichtrain.data.rows import table_from_rows

    rows = rows_from_manifest(manifest)
    refuse_missing_files(rows, str(manifest))
    click.echo(json.dumps(table_from_rows(rows), indent=1) if as_json else _told(rows))


@manifest.command()
@_MANIFEST
@_OUT
@click.option(
    "--shares", nargs=3, type=float, default=(0.7, 0.15, 0.15), show_default=True,
    help="Shares of train, validation and test.",
)  # fmt: skip
@click.option("--seed", default=0, show_default=True, help="Another seed, another assignment.")
@click.option("--anew", is_flag=True, help="Assign patients that have a split already, too.")
def split(manifest: Path, out: Path, shares: tuple[float, ...], seed: int, anew: bool) -> None:
    """Give every patient a split, by a hash, positives and negatives apart.

    Patients that have a split keep it, so a test set stays a test set when data are added.
    """
    from ichtrain.data.manifest import rows_from_manifest, write_manifest
    from ichtrain.data.rows import split_rows
    from ichtrain.data.splits import SplitOptions

    rows = split_rows(rows_from_manifest(manifest), SplitOptions(shares, seed, anew))
    click.echo(_told(write_manifest(rows, out)))


@click.command()
@_MANIFEST
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option("--grid-pixels", default=256, show_default=True, help="Rows and columns.")
@click.option("--pixel-spacing-mm", default=1.0, show_default=True, help="Of the grid.")
@_WORKERS
@_SKIP
def prepare(
    manifest: Path, out: Path, grid_pixels: int, pixel_spacing_mm: float,
    workers: int, skip_broken: bool,
) -> None:  # fmt: skip
    """Carry the series of a manifest to the grid, into the prepared folder OUT.

    A run that was ended half-way goes on where it ended.
    """
    from ichcore import Grid
    from ichtrain.data.manifest import rows_from_manifest
    from ichtrain.data.prepare import PrepareOptions, prepare_series
    from ichtrain.data.readers.reading import shortened

    grid = Grid(rows=grid_pixels, columns=grid_pixels, pixel_spacing_mm=pixel_spacing_mm)
    rows = rows_from_manifest(manifest)
    with _bar("series") as progress:
        record = prepare_series(out, rows, PrepareOptions(grid, workers, skip_broken), progress)
    for line in shortened([f"left out: {reason}" for reason in record.skipped.values()]):
        click.echo(line, err=True)
    click.echo(
        f"{out}: {record.written} series written, {record.kept} kept, {len(record.skipped)} left "
        "out. Training data for a research demonstration, not a medical device."
    )


def _meaning(labels: tuple[str, ...]) -> dict[int, str]:
    meaning: dict[int, str] = {}
    for text in labels:
        value, _, name = text.partition("=")
        if not value.strip().isdecimal():
            raise click.BadParameter(f"{text!r} is no VALUE=NAME, such as 1=sdh.")
        meaning[int(value)] = name.strip()
    return meaning


def _write(reading: Reading, out: Path) -> None:
    from ichtrain.data.manifest import write_manifest
    from ichtrain.data.readers.reading import shortened

    rows = write_manifest(reading.rows, out)
    for note in shortened(reading.notes):
        click.echo(note, err=True)
    click.echo(_told(rows))


def _told(rows: tuple[SliceRow, ...]) -> str:
    """What a manifest holds, in aligned columns."""
    from ichtrain.data.rows import table_from_rows

    lines = table_from_rows(rows)
    cells = [[*lines[0]], *([str(value) for value in line.values()] for line in lines)]
    widths = [max(len(line[index]) for line in cells) for index in range(len(cells[0]))]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        for line in cells
    )


@contextmanager
def _bar(name: str) -> Iterator[Callable[[int, int], None]]:
    """One bar on stderr."""
    columns = (TextColumn(name), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bars(*columns, console=Console(stderr=True)) as bars:
        task = bars.add_task(name, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)
