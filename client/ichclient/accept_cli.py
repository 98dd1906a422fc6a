"""`ichclient accept`: a site's own labelled studies, its operating point, and a signature.

Heavy imports wait inside the functions, so that --help is quick.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from ichclient.ending_cli import told
from ichclient.server_cli import server_options
from ichclient.study_cli import rules_options, slab_option, source_options

_PATH = click.Path(path_type=Path)
_FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)
_SHARE = click.FloatRange(0, 1)
_RUN = "run"


class _LabelsOrVerb(click.Group):
    """`accept LABELS` is `accept run LABELS`; a table that is named as a verb is `./set`."""

    def parse_args(self, ctx: click.Context, args: Sequence[str]) -> list[str]:
        """Put the verb in that is understood."""
        first = next(iter(args), "--help")
        known = first in self.commands or first in ("-h", "--help")
        return super().parse_args(ctx, list(args) if known else [_RUN, *args])


@click.group(cls=_LabelsOrVerb, options_metavar="", subcommand_metavar="LABELS --out DIR | VERB")
def accept() -> None:
    """Judge a site's own labelled studies, and hold them beside the model card.

    LABELS is a table of commas with the columns `study` and `haemorrhage` (yes or no), and where
    they are known `case`, `subtypes` and `volume_ml`. See `ichclient accept run --help`.

    A research demonstration, not a medical device.
    """


@accept.command(_RUN)
@click.argument("labels", type=_PATH)
@click.option("--out", type=_PATH, metavar="DIR", required=True,
              help="Where results, acceptance.json and acceptance.html go. A run that was ended "
                   "goes on there.")  # fmt: skip
@slab_option
@source_options
@click.option("--json", "as_json", is_flag=True, help="Print acceptance.json on stdout.")
@told
@server_options
@rules_options
def run(
    labels: Path, out: Path, slab: float | None, as_json: bool, source: Any, book: Any, server: Any
) -> None:
    """Judge every study of LABELS on the server that will be used, and write the report.

    A study that intake refuses counts against sensitivity and specificity, and is named.
    """
    from ichclient.acceptance.labels import labels_from_file
    from ichclient.acceptance.record import acceptance_to_json
    from ichclient.acceptance.run import Asked, acceptance_from_labels
    from ichclient.terminal import console, print_acceptance, progress_bar

    table = labels_from_file(labels)
    stderr = console(stderr=True)
    with progress_bar(stderr) as progress:
        acceptance = acceptance_from_labels(
            table, out, server, Asked(source, book, slab), lambda n, of: progress("studies", n, of)
        )
    if as_json:
        click.echo(acceptance_to_json(acceptance), nl=False)
    else:
        print_acceptance(stderr, acceptance, out)


@accept.command("set")
@click.argument("folder", metavar="DIR", type=_FOLDER)
@click.option("--threshold", type=_SHARE, metavar="T", help="This threshold on the study score.")
@click.option("--sensitivity", type=click.FloatRange(0, 1, min_open=True), metavar="S",
              help="The highest threshold that finds this share of DIR's bleeds.")  # fmt: skip
@click.option("--point", metavar="NAME", help="The threshold of the bundle's operating point NAME.")
@told
def set_(
    folder: Path, threshold: float | None, sensitivity: float | None, point: str | None
) -> None:
    """Set this site's own operating point by the acceptance in DIR, and write DIR/site.toml.

    The server goes on deciding as released. `ichclient infer --rules DIR/site.toml` tells the
    site's decision beside the server's, and refuses a bundle with another spec. What DIR holds has
    to be signed anew.
    """
    from ichclient.acceptance import point as points
    from ichclient.terminal import console, print_acceptance

    if sum(value is not None for value in (threshold, sensitivity, point)) != 1:
        raise click.UsageError("give one of --threshold, --sensitivity and --point.")
    acceptance = points.acceptance_of(folder)
    if threshold is not None:
        site = points.point_by_threshold(acceptance, threshold)
    elif sensitivity is not None:
        site = points.point_by_sensitivity(acceptance, sensitivity)
    else:
        site = points.point_by_name(acceptance, str(point))
    points.set_point(folder, acceptance, site)
    print_acceptance(console(stderr=True), points.acceptance_of(folder), folder)
    click.echo(folder / points.SITE_FILE)


@accept.command()
@click.argument("folder", metavar="DIR", type=_FOLDER)
@click.option("--key", type=_PATH, metavar="FILE", required=True,
              help="Private Ed25519 key (PEM): openssl genpkey -algorithm ed25519.")  # fmt: skip
@click.option("--name", required=True, help="Who accepts.")
@told
def sign(folder: Path, key: Path, name: str) -> None:
    """Sign the acceptance in DIR: who accepts it, when, and the hash of every file."""
    from ichclient.acceptance.signature import sign as signed_by
    from ichclient.acceptance.signed import STATEMENT_FILE

    signed_by(folder, key, name)
    click.echo(folder / STATEMENT_FILE)


@accept.command()
@click.argument("folder", metavar="DIR", type=_FOLDER)
@click.option("--key", type=_PATH, metavar="FILE", required=True,
              help="Public Ed25519 key (PEM) of whom you believe to have signed.")  # fmt: skip
@told
def verify(folder: Path, key: Path) -> None:
    """Say who signed the acceptance in DIR; exit code 17 where a byte of it was changed since."""
    from ichclient.acceptance.signature import verify as verified

    signed = verified(folder, key)
    click.echo(f"Signed by {signed.name} at {signed.when}: {', '.join(signed.files)}.")
    if signed.absent_results:
        absent = ", ".join(signed.absent_results)
        click.echo(f"No longer there, so not verified: the results of {absent}.")
