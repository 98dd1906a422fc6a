"""`ichtrain review`: make a blinded reading study of difficult cases, and score it."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_SHARE = click.FloatRange(0, 1)


@click.group()
def review() -> None:
    """Let readers read the difficult cases, blinded, without and with AI.

    A research demonstration, not a medical device.
    """


@review.command()
@click.argument("evaluation", type=_FILE)
@click.argument("data", type=_FOLDER, nargs=-1, required=True)
@click.option(
    "--out",
    "pack",
    type=click.Path(path_type=Path),
    required=True,
    metavar="PACK",
    help="The new folder of the study.",
)
@click.option(
    "--comparator",
    "comparators",
    type=_FILE,
    multiple=True,
    metavar="EVALUATION",
    help="Another model's evaluation of the same series; give as many as there are.",
)
@click.option(
    "--repository",
    type=_FOLDER,
    help="Released model repository that draws the AI's marks. [default: no marks]",
)
@click.option("--run", type=_FOLDER, help="Run folder that draws them, if a run was evaluated.")
@click.option("--readers", type=click.IntRange(1, 99), default=6, show_default=True)
@click.option(
    "--cases",
    type=click.IntRange(1),
    default=40,
    show_default=True,
    help="Cases in all; fewer if fewer are difficult.",
)
@click.option(
    "--controls-share",
    type=_SHARE,
    default=0.25,
    show_default=True,
    help="Share of the cases that are easy controls.",
)
@click.option(
    "--normals-share",
    type=_SHARE,
    default=0.5,
    show_default=True,
    help="Share of the cases without a bleed, as far as there are such cases.",
)
@click.option("--operating-point", "point", default="balanced", show_default=True)
@click.option(
    "--margin",
    type=click.FloatRange(0),
    default=0.5,
    show_default=True,
    help="Logits within which a right score counts as nearly wrong.",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="The same seed gives the same pack.",
)
def make(
    evaluation: Path,
    data: tuple[Path, ...],
    pack: Path,
    comparators: tuple[Path, ...],
    repository: Path | None,
    run: Path | None,
    readers: int,
    cases: int,
    controls_share: float,
    normals_share: float,
    point: str,
    margin: float,
    seed: int,
) -> None:
    """Write a reading study from EVALUATION into the new folder PACK.

    EVALUATION is what `ichtrain evaluate` wrote for the ensemble, DATA the prepared folders it was
    evaluated on. Difficult is a case that the ensemble, or more than half of the comparators, get
    wrong or nearly wrong at the operating point. PACK/README.md says how to run the study.

    Exit codes: 0 written, 4 evaluations and data that make no study, or PACK is not writable.
    """
    from ichtrain.review.pick import PickOptions
    from ichtrain.review.study import StudyOptions, pack_from_options

    pick = PickOptions(cases, controls_share, normals_share, margin, seed)
    options = StudyOptions(evaluation, data, comparators, repository, run, readers, point, pick)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("cases", total=None)
        key = pack_from_options(
            pack, options, lambda done, total: progress.update(task, completed=done, total=total)
        )
    if len(key.cases) < cases:
        click.echo(
            f"Only {len(key.cases)} of {cases} cases could be picked: no more are difficult "
            "or easy enough. A wider --margin finds more.",
            err=True,
        )
    click.echo(
        f"{pack}: {len(key.cases)} cases for {readers} readers. Begin with {pack / 'README.md'}"
    )


@review.command()
@click.argument("pack", type=_FOLDER)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The figures as JSON; .md and .png go beside it. [default: PACK/review.json]",
)
def score(pack: Path, out: Path | None) -> None:
    """Score the answers that readers put into PACK.

    Reports sensitivity, specificity, Fleiss' kappa without and with AI, what AI changed, the
    causes ticked, and the cases most readers missed. Readers who did not finish are reported.

    Exit codes: 0 written, 4 answers that cannot be scored; every mistake is named by row.
    """
    from ichtrain.review.report import summary_from_score
    from ichtrain.review.study import report_from_pack

    path = pack / "review.json" if out is None else out
    click.echo(summary_from_score(report_from_pack(pack, path)))
    click.echo(f"{path.with_suffix('.md')}")
