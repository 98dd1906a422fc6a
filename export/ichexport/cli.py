"""`ichexport`: weights -> engines in a repository that a server can trust."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ichcore.errors import IchError

_REPOSITORY = click.option(
    "--repository",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("model_repository"),
    show_default=True,
    help="The Triton model repository.",
)


def _one_sentence(command: Callable[..., Any]) -> Callable[..., Any]:
    """End a named failure with its sentence and exit code instead of a traceback."""

    @functools.wraps(command)
    def run(*args: Any, **options: Any) -> Any:
        try:
            return command(*args, **options)
        except IchError as error:
            click.echo(f"Error: {error}", err=True)
            raise SystemExit(error.exit_code) from error

    return run


@click.group()
@click.version_option(package_name="ich-triton")
def main() -> None:
    """Build engines from trained weights, and prove them.

    A research demonstration, not a medical device.
    """


@main.command()
@click.argument("model")
@click.argument("weights", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@_REPOSITORY
@_one_sentence
def build(model: str, weights: Path, repository: Path) -> None:
    """Turn WEIGHTS (safetensors) into the graph of MODEL, prove it, place it.

    Parity is judged on the repository's golden slices.
    """
    import numpy as np

    from ichexport.build import build_onnx
    from ichexport.errors import IchExportError
    from ichexport.golden import GOLDEN_FILE

    golden = repository / GOLDEN_FILE
    if not golden.is_file():
        raise IchExportError(f"{golden} is absent; parity needs its slices.")
    with np.load(golden, allow_pickle=False) as arrays:
        build_onnx(model, weights, repository, arrays["HU"])
    click.echo(f"{repository / model / '1'}: built and proven. Now run: ichexport repository")


@main.command("repository")
@_REPOSITORY
@click.option("--pin", type=click.Path(dir_okay=False, path_type=Path), help="Also write the pin.")
@_one_sentence
def write(repository: Path, pin: Path | None) -> None:
    """Generate configs, adapters, golden answers and the manifest from the released spec."""
    from ichexport.repository import spec_of_repository, write_repository

    digest = write_repository(repository, spec_of_repository(repository))
    if pin is not None:
        pin.write_text(f"{digest}\n")
    click.echo(f"{repository}: manifest {digest}")


@main.command()
@_REPOSITORY
@click.option("--pin", type=click.Path(dir_okay=False, path_type=Path), help="Also check the pin.")
@_one_sentence
def check(repository: Path, pin: Path | None) -> None:
    """Say whether every generated file is what its spec generates."""
    from ichexport.repository import check_repository

    spec = check_repository(repository, pin)
    click.echo(f"{repository}: {spec.name} {spec.version} is whole and unchanged.")
