"""`ichexport build`: options of every route, and the one sentence that says what was built."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click

from ichcore.wire import FUSED_ENGINE_MODEL
from ichexport.errors import IchExportError

TARGETS = ("onnxruntime", "openvino", "tensorrt", "tensorrt-rtx", "torch-tensorrt")
"""Targets by name; the routes themselves load torch, which `--help` should not wait for."""

NEVER_RUN = (
    "Never executed by its authors, for want of a GPU: engines of tensorrt and torch-tensorrt were "
    "not even built, those of tensorrt-rtx were built but not run."
)
"""What `--help` says of the routes that nobody here has seen to the end."""

_GPU_OPTIONS = (
    click.option(
        "--batch",
        type=(int, int, int),
        default=None,
        metavar="MIN LIKELY MAX",
        help="Slices of a request: 1 8 64, if not given. For GPUs.",
    ),
    click.option(
        "--builder-optimisation-level",
        type=int,
        help="How long the builder searches, 0 to 5: 3, if not given. For GPUs.",
    ),
    click.option(
        "--timing-cache",
        type=click.Path(dir_okay=False),
        help="File of kernel timings, read and written. For tensorrt and torch-tensorrt.",
    ),
    click.option(
        "--hardware-compatibility",
        type=click.Choice(("none", "ampere_plus", "same_compute_capability")),
        help="Other GPUs that may load the engine. For tensorrt and torch-tensorrt.",
    ),
    click.option(
        "--version-compatible",
        is_flag=True,
        default=None,
        help="Let newer TensorRTs load the engine. For tensorrt and torch-tensorrt.",
    ),
    click.option(
        "--compute-capability",
        "compute_capabilities",
        multiple=True,
        help="GPUs that the engine is for, as 8.9; all that are covered. For tensorrt-rtx.",
    ),
)


def gpu_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add what the routes to a GPU may be told."""
    for option in reversed(_GPU_OPTIONS):
        command = option(command)
    return command


def options_of_route(route: Any, given: dict[str, Any]) -> Any:
    """A route's `Options` from the options that were given; refuses those it does not have."""
    known = {field.name for field in dataclasses.fields(route.Options)}
    given = {name: value for name, value in given.items() if value not in (None, ())}
    for name in given:
        if name not in known:
            target = route.Options.target
            option = f"--{name.replace('_', '-')}"
            raise IchExportError(f"{option} means nothing to the target {target}; leave it out.")
    return route.Options(**given)


def repeatable_command() -> str:
    """The command line as it was typed, without the folder of the program."""
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])


def build_all(
    repository: Path,
    target: str,
    models: tuple[str, ...],
    slices: Path | None,
    calibration: Path | None,
    cache: Path | None,
    given: dict[str, Any],
) -> str:
    """Build the engines and write the manifest; gives its digest."""
    from ichexport.engine import build_engine, workshop_from_repository
    from ichexport.entry import place, scratch_in
    from ichexport.golden import GOLDEN_FILE
    from ichexport.repository import check_repository, write_manifest
    from ichexport.routes import ROUTES
    from ichexport.studies import studies_from_file

    route = ROUTES[target]
    options = options_of_route(route, given)
    spec = check_repository(repository)
    engines = (*spec.member_names, FUSED_ENGINE_MODEL)
    for model in models:
        if model not in engines:
            raise IchExportError(
                f"'{model}' is no engine of {repository}; it has {', '.join(engines)}."
            )
    golden = repository / GOLDEN_FILE
    studies = studies_from_file(slices or golden, spec)
    calibrating = studies_from_file(calibration or slices or golden, spec)
    command = repeatable_command()
    workshop = workshop_from_repository(repository, spec, studies, calibrating, cache, command)
    with scratch_in(repository) as scratch:
        say = partial(click.echo, err=True)
        proven = [
            build_engine(workshop, model, route, options, scratch, say)
            for model in models or engines
        ]
        # Only when all of them are proven, so that a failure leaves the repository as it was.
        for each in proven:
            place(repository, each)
    return write_manifest(repository)
