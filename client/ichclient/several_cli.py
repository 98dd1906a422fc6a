"""`ichclient infer` of several studies: a line of each as it is done, and one exit code."""

from __future__ import annotations

from pathlib import Path

import click

from ichclient.connect import ServerOptions
from ichclient.several.rows import exit_code_of_rows
from ichclient.several.run import Judged, Wishes, judged_studies
from ichclient.several.summary import line_from_row
from ichclient.terminal import console, print_judged, print_run, progress_bar


def infer_several(
    studies: tuple[str, ...],
    server: ServerOptions,
    wishes: Wishes,
    out: Path | None,
    *,
    each: bool,
    resume: bool,
    as_json: bool,
) -> int:
    """Judge studies in turn; the exit code is `exit_code_of_rows`."""
    if resume and out is None:
        raise click.UsageError("--resume needs the folder to go on in: add --out DIR.")
    stderr = console(stderr=True)

    def heard(done: Judged) -> None:
        if as_json:
            click.echo(line_from_row(done.row))
        else:
            print_judged(stderr, done)

    with progress_bar(stderr) as progress:
        rows = judged_studies(
            studies, server, each=each, wishes=wishes, out=out, resume=resume,
            progress=progress, heard=heard,
        )  # fmt: skip
    if not as_json:
        print_run(stderr, rows, out)
    return exit_code_of_rows(rows)
