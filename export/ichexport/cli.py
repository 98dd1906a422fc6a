"""`ichexport`: weights -> engines in a repository that a server can trust."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ichcore.errors import IchError
from ichexport.audit import PRECISIONS
from ichexport.build_cli import NEVER_RUN, TARGETS, build_all, gpu_options
from ichexport.cache import default_cache
from ichexport.files import written_whole
from ichexport.tables_cli import plain, tell_inspection, tell_proofs

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)
_REPOSITORY = click.option(
    "--repository",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("model_repository"),
    show_default=True,
    help="The Triton model repository.",
)
_PIN = click.option(
    "--pin",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File that pins the manifest's digest, outside the repository.",
)


_SAY = functools.partial(click.echo, err=True)
"""Progress, on the standard error."""


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
@click.argument("run", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--candidate", is_flag=True, help="Put it beside the version that is served.")
@_REPOSITORY
@_PIN
@_one_sentence
def release(run: Path, candidate: bool, repository: Path, pin: Path | None) -> None:
    """Turn a training RUN (weights, spec, golden slices) into the repository.

    Every graph is compared with its weights in torch, ONNX Runtime and OpenVINO; the old
    repository is replaced, or the candidate put beside what is served, only when all agree.
    """
    from ichexport.promotion import release_candidate
    from ichexport.release import repository_from_run

    if candidate:
        digest = release_candidate(run, repository, pin, _SAY)
    else:
        digest = repository_from_run(run, repository, _SAY)
    _report(repository, digest, pin)


@main.command(epilog=NEVER_RUN)
@click.option("--target", required=True, type=click.Choice(TARGETS), help="What the engine is for.")
@click.option("--precision", type=click.Choice(PRECISIONS), help="Type of arithmetic.")
@click.option(
    "--model",
    "models",
    multiple=True,
    help="Build this one; members and the fused engine, if never given.",
)
@click.option("--slices", type=_FILE, help="Studies to compare on, as `ichtrain slices` writes.")
@click.option("--calibration", type=_FILE, help="Studies to calibrate on; those of --slices.")
@click.option("--cache", type=_FOLDER, help="Folder of engines that were built before.")
@click.option("--no-cache", is_flag=True, help="Build anew, and keep nothing.")
@click.option(
    "--candidate",
    is_flag=True,
    help="Build in the candidate, a copy of the version that is served if there is none.",
)
@gpu_options
@_REPOSITORY
@_PIN
@_one_sentence
def build(
    target: str,
    models: tuple[str, ...],
    slices: Path | None,
    calibration: Path | None,
    cache: Path | None,
    no_cache: bool,
    candidate: bool,
    repository: Path,
    pin: Path | None,
    **given: Any,
) -> None:
    """Build engines of the released graphs for a TARGET, prove them and place them.

    Every engine is audited for its precision and compared with its weights in torch FP32; where
    it cannot run on this machine, its graph is compared instead and the record says so.
    """
    folder = None if no_cache else cache or default_cache()

    def build_in(place: Path) -> str:
        return build_all(place, target, models, slices, calibration, folder, given)

    if candidate:
        from ichexport.promotion import build_candidate

        digest = build_candidate(repository, pin, build_in)
    else:
        digest = build_in(repository)
    _report(repository, digest, pin)


@main.command("repository")
@click.option(
    "--evaluation", type=_FILE, help="evaluation.json of this spec, whose figures shall travel."
)
@_REPOSITORY
@_PIN
@_one_sentence
def write(repository: Path, pin: Path | None, evaluation: Path | None) -> None:
    """Generate configs, adapters, golden answers and the manifest from the released spec."""
    from ichexport.reference import write_reference
    from ichexport.repository import spec_of_repository, write_repository

    spec = spec_of_repository(repository)
    if evaluation is not None:
        write_reference(repository, evaluation, spec)
    digest = write_repository(repository, spec)
    _report(repository, digest, pin)


@main.command()
@_REPOSITORY
@_PIN
@_one_sentence
def check(repository: Path, pin: Path | None) -> None:
    """Say whether every generated file is what its spec generates."""
    from ichexport.repository import check_repository

    spec = check_repository(repository, pin)
    click.echo(f"{repository}: {spec.name} {spec.version} is whole and unchanged.")


@main.command()
@click.option(
    "--target",
    type=click.Choice(TARGETS),
    help="Refuse, unless every engine that this target serves ran and agreed with torch.",
)
@click.option(
    "--on-gpu",
    is_flag=True,
    help="Run the engines that were never run and note the outcome; never executed by the authors.",
)
@_REPOSITORY
@_PIN
@_one_sentence
def verify(repository: Path, pin: Path | None, target: str | None, on_gpu: bool) -> None:
    """Hash everything again, hold every engine against its record, and list what was proven.

    Production serves `tensorrt`: `--target tensorrt` ends with code 8 and names the engines that
    were never run. `--on-gpu` runs them where their GPU is, and writes `passed` into the records
    of those that agree with torch.
    """
    from ichexport.repository import spec_of_repository
    from ichexport.verify import prove_not_run, refuse_unproven, verify_repository
    from ichexport.versions import versions_of

    proofs = verify_repository(repository, pin)
    spec = spec_of_repository(repository)
    if on_gpu:
        _report(repository, prove_not_run(repository, spec, _SAY), pin)
        proofs = verify_repository(repository, pin)
    tell_proofs(proofs)
    if target is not None:
        refuse_unproven(proofs, spec, target, versions_of(repository).current)
    click.echo(f"{repository}: {spec.name} {spec.version}, every file and engine as recorded.")


@main.command()
@_REPOSITORY
@_PIN
@_one_sentence
def promote(repository: Path, pin: Path | None) -> None:
    """Serve the candidate, if it is whole and its engines agree with its weights.

    Every engine that can run here is run on the candidate's golden slices and compared with
    torch; a candidate that is proven for less than the version before it, or holds a plan that
    never ran, is refused. Servers that run serve it when they are started again.
    """
    from ichexport.promotion import promote as promoted

    _report(repository, promoted(repository, pin, _SAY), pin)
    _tell_versions(repository)


@main.command()
@click.option("--candidate", is_flag=True, help="Remove the candidate instead; nothing else moves.")
@_REPOSITORY
@_PIN
@_one_sentence
def rollback(candidate: bool, repository: Path, pin: Path | None) -> None:
    """Serve the version that was served before; a second rollback undoes the first.

    Needs no file of the version that is left: it is removed if a file of it was altered.
    """
    from ichexport.promotion import roll_back, withdraw

    digest = withdraw(repository, pin) if candidate else roll_back(repository, _SAY)
    _report(repository, digest, pin)
    _tell_versions(repository)


@main.command()
@click.argument("engine_or_model")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
@_REPOSITORY
@_one_sentence
def inspect(engine_or_model: str, as_json: bool, repository: Path) -> None:
    """Show layers, precision, size, memory, inputs and outputs of an ENGINE_OR_MODEL.

    A graph is read itself. A plan is read where a GPU can, which its authors never saw; elsewhere
    the record of its build is told.
    """
    from ichexport.inspection import engines_named, inspection_of

    found = [inspection_of(engine) for engine in engines_named(repository, engine_or_model)]
    if as_json:
        click.echo(json.dumps([plain(each) for each in found], indent=2, default=str))
        return
    for each in found:
        tell_inspection(each)


def _tell_versions(repository: Path) -> None:
    from ichexport.versions import versions_of

    versions = versions_of(repository)
    click.echo(
        f"Version {versions.current} is served; before it {versions.former or 'none'}, candidate "
        f"{versions.candidate or 'none'}. Start the servers again."
    )


def _report(repository: Path, digest: str, pin: Path | None) -> None:
    if pin is not None:
        written_whole(pin, f"{digest}\n".encode())
    click.echo(f"{repository}: manifest {digest}")
