"""`ichtrain evaluate` and `ichtrain card`: judge a bundle on labelled data, show the figures."""

from __future__ import annotations

import shlex
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_FILE = click.Path(dir_okay=False, path_type=Path)
_CARD = click.option("--card", type=_FILE, help="Write the model card here too.")
_README = click.option(
    "--readme", type=_FILE, help="Put the table between this file's <!-- evaluation --> marks."
)


@click.command()
@click.argument("data", nargs=-1, required=True, type=_FOLDER)
@click.option("--repository", type=_FOLDER, default=Path("model_repository"), show_default=True,
              help="Released repository to judge.")  # fmt: skip
@click.option("--run", type=_FOLDER, help="Judge the torch members of this run instead.")
@click.option("--split", type=click.Choice(["train", "validation", "test"]), default="test",
              show_default=True)  # fmt: skip
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path),
              help="Folder for evaluation.json, evaluation.md and the pictures.")  # fmt: skip
@_CARD
@_README
@click.option("--json", "as_json", is_flag=True, help="Print the record instead of the table.")
def evaluate(
    data: tuple[Path, ...], repository: Path, run: Path | None, split: str, out: Path,
    card: Path | None, readme: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Judge a bundle on the series of prepared folders DATA.

    Areas under the ROC curve with DeLong's intervals and tests, sensitivity and specificity with
    exact intervals, by subtype, volume and site, predictive values, calibration, Dice and volume.

    A research demonstration, not a medical device.
    """
    from ichtrain.evaluate import (
        EvaluateOptions,
        bundle_from_repository,
        bundle_from_run,
    )
    from ichtrain.evaluate import evaluate as evaluated
    from ichtrain.evaluate.record import record_to_json
    from ichtrain.evaluate.shown import write_shown
    from ichtrain.evaluate.tables import readme_table

    bundle = bundle_from_run(run) if run else bundle_from_repository(repository)
    judged = ["--run", _told(run)] if run else ["--repository", _told(repository)]
    words = [*map(_told, data), *judged, "--split", split, "--out", _told(out)]
    options = EvaluateOptions(split, f"ichtrain evaluate {shlex.join(words)}")
    columns = (TextColumn("series"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("series", total=None)
        record = evaluated(
            data, bundle, out, options,
            lambda done, total: bar.update(task, completed=done, total=total),
        )  # fmt: skip
    write_shown(record, card, readme)
    click.echo(record_to_json(record) if as_json else readme_table(record), nl=not as_json)
    click.echo(str(record["notice"]), err=as_json)


def _told(path: Path) -> str:
    """A path as a record may hold it: where somebody keeps the data is nobody's business."""
    return path.name if path.is_absolute() else path.as_posix()


@click.command()
@click.argument("evaluation", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@_CARD
@_README
def card(evaluation: Path, card: Path | None, readme: Path | None) -> None:
    """Write the pages again that show the figures of EVALUATION (an evaluation.json).

    Nothing is judged again: its page and pictures beside it, and the model card and the README's
    table where they are named.
    """
    from ichtrain.evaluate.chain import write_evaluation
    from ichtrain.evaluate.record import record_from_file
    from ichtrain.evaluate.shown import write_shown

    record = record_from_file(evaluation)
    write_shown(record, card, readme)
    write_evaluation(record, evaluation.parent)
    click.echo(f"{evaluation.parent}: written again. {record['notice']}")
