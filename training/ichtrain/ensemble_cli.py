"""`ichtrain ensemble`: the ensemble spec, fitted on patients that no member trained on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command()
@click.argument("run", type=_FOLDER)
@click.argument("data", type=_FOLDER, nargs=-1, required=True)
@click.option("--split", type=click.Choice(("validation", "test")), default="validation",
              show_default=True, help="Split to fit on.")  # fmt: skip
@click.option("--members", default="ich_any,ich_sdh,ich_sah,ich_small", show_default=True,
              help="Names of the members in RUN, with commas.")  # fmt: skip
@click.option("--brain-member", help="Whose BRAIN is used. [default: the first that gives it]")
@click.option("--name", default="ich-triton", show_default=True, help="Name of the ensemble.")
@click.option("--prior-patients", default=10.0, show_default=True,
              help="Patients' worth of evidence that speaks for equal weights.")  # fmt: skip
@click.option("--least-brain-share", type=click.FloatRange(0.0, 1.0), default=0.0,
              show_default=True, help="Study rules leave out slices with less of the largest brain "
              "than this share, or a greater one.")  # fmt: skip
@click.option("--folds", default=5, show_default=True, help="Of the cross-validation.")
@click.option("--seed", default=0, show_default=True, help="Of the folds.")
@click.option("--trained-on", type=_FOLDER, multiple=True,
              help="A prepared folder that members trained on and DATA does not hold.")  # fmt: skip
@click.option("--unchecked", is_flag=True,
              help="Take members of which it cannot be told whom they trained on.")  # fmt: skip
def ensemble(
    run: Path, data: tuple[Path, ...], split: str, members: str, brain_member: str | None,
    name: str, prior_patients: float, least_brain_share: float, folds: int, seed: int,
    trained_on: tuple[Path, ...], unchecked: bool,
) -> None:  # fmt: skip
    """Fit calibration, weights, study rule and operating points for the members in RUN.

    DATA are prepared folders; their split must hold patients that no member trained on. What to
    weight by and which study rule to use is chosen by cross-validation over patients. RUN gets
    ensemble.json (the spec), ensemble.record.json (every figure that a choice was made by),
    ensemble.png and golden_hu.npy; release it with: ichexport release RUN

    A research demonstration, not a medical device.
    """
    from ichcore import StudyRule
    from ichtrain.ensemble import EnsembleOptions, fit_ensemble
    from ichtrain.ensemble.run import RECORD_FILE

    options = EnsembleOptions(
        split=split,
        members=tuple(each.strip() for each in members.split(",") if each.strip()),
        brain_member=brain_member,
        name=name,
        prior_patients=prior_patients,
        folds=folds,
        seed=seed,
        rule=StudyRule(minimum_brain_share=least_brain_share),
    )
    with _shown() as progress:
        spec = fit_ensemble(
            run, data, options, progress, trained_on=trained_on, unchecked=unchecked
        )
    for note in json.loads((run / RECORD_FILE).read_text(encoding="utf-8"))["notes"]:
        click.echo(f"Note: {note}", err=True)
    for point in spec.operating_points:
        click.echo(
            f"{point.name}: threshold {point.threshold:g}, sensitivity {point.sensitivity:.3f} and "
            f"specificity {point.specificity:.3f} on the split it was chosen on"
        )
    click.echo(
        f"{run / 'ensemble.json'}: study rule {spec.study_rule.name}. Research demonstration, not "
        "a medical device."
    )


@contextmanager
def _shown() -> Iterator[Callable[[str, int, int], None]]:
    """One bar a stage, on stderr."""
    columns = (TextColumn("{task.description:12}"), BarColumn(), MofNCompleteColumn(),
               TimeRemainingColumn())  # fmt: skip
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, TaskID] = {}

        def show(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield show
