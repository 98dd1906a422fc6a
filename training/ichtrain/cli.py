"""The command `ichtrain`: the group, and one way to end with a sentence and an exit code."""

from __future__ import annotations

import sys
from typing import Any

import click

from ichcore.errors import IchError
from ichtrain.data_cli import manifest, prepare
from ichtrain.ensemble_cli import ensemble
from ichtrain.evaluate_cli import card, evaluate
from ichtrain.fit_cli import fit
from ichtrain.phantom_cli import phantom
from ichtrain.reproduce_cli import reproduce
from ichtrain.review_cli import review
from ichtrain.slices_cli import slices
from ichtrain.starter_cli import phantoms, starter


class _Told(click.Group):
    """A group whose commands end on our own errors with one sentence, never a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except IchError as error:
            click.echo(f"Error: {error}", err=True)
            sys.exit(error.exit_code)


@click.group(cls=_Told, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ich-triton", prog_name="ichtrain")
def main() -> None:
    """Make phantoms, train the members of the ensemble, and evaluate them.

    A research demonstration, not a medical device.
    """


main.add_command(phantom)
main.add_command(phantoms)
main.add_command(slices)
main.add_command(manifest)
main.add_command(prepare)
main.add_command(fit)
main.add_command(ensemble)
main.add_command(starter)
main.add_command(evaluate)
main.add_command(card)
main.add_command(review)
main.add_command(reproduce)
