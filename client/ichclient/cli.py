"""The command `ichclient`: options are read, one call is made, its answer is printed.

Answers go to stdout as JSON with --json; progress, tables beside it and errors go to stderr.
Heavy imports wait inside the functions, so that --help is quick.
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from ichclient.server_cli import server_options
from ichcore.errors import IchError

_F = TypeVar("_F", bound=Callable[..., Any])
_INTERRUPTED = 130
_DIRECTORY = click.Path(path_type=Path)


def told(command: _F) -> _F:
    """End a command with one sentence on stderr and the error's own exit code, no traceback."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except IchError as error:
            from ichclient.plain import printable

            click.echo(f"Error: {printable(error)}", err=True)
            sys.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            sys.exit(_INTERRUPTED)

    return run  # type: ignore[return-value]


def _rules_options(command: _F) -> _F:
    """Options of every command that judges a study; the command gets them as `book`."""

    @functools.wraps(command)
    def run(*args: Any, allow: tuple[str, ...], rules: Path | None, **kwargs: Any) -> Any:
        from ichclient.rules_file import book_from_options

        return command(*args, book=book_from_options(rules, allow), **kwargs)

    for option in (
        click.option("--allow", multiple=True, metavar="CODE",
                     help="Let this refusal through with a warning, for example gap; repeatable."),
        click.option("--rules", type=_DIRECTORY, metavar="FILE",
                     help="A site's own words, kernels and limits (TOML)."),
    ):  # fmt: skip
        run = option(run)
    return run  # type: ignore[return-value]


def _study(_: click.Context, __: click.Parameter, value: str) -> str:
    from ichclient.sources.address import address_from_text

    try:
        address_from_text(value)
    except ValueError as error:
        raise click.BadParameter(f"{error}.") from error
    return value


_study_argument = click.argument("study", callback=_study)


def _source_options(command: _F) -> _F:
    """Options of every command that reads a study; the command gets them as `source`."""

    @functools.wraps(command)
    def run(
        *args: Any, max_files: int, max_mib: int, max_ratio: int, fetch_timeout: float,
        ca: Path | None, ae_title: str, move_port: int | None, **kwargs: Any,
    ) -> Any:  # fmt: skip
        from ichclient.sources import Limits, SourceOptions

        limits = Limits(max_files, max_mib << 20, max_ratio)
        try:
            source = SourceOptions(limits, fetch_timeout, ca, ae_title, move_port)
        except ValueError as error:
            raise click.UsageError(f"{error}.") from error
        return command(*args, source=source, **kwargs)

    for option in (
        click.option("--move-port", type=click.IntRange(1, 65535), metavar="PORT",
                     help="Have a DIMSE study moved to this port (C-MOVE) instead of C-GET."),
        click.option("--ae-title", default="ICHCLIENT", metavar="AET", show_default=True,
                     help="The name by which a DIMSE node knows this client."),
        click.option("--ca", type=_DIRECTORY, metavar="FILE",
                     help="Certificates (PEM) to trust, instead of the system's."),
        click.option("--fetch-timeout", type=click.FloatRange(min=0.1), default=60.0, metavar="S",
                     show_default=True, help="Seconds that a PACS may be silent."),
        click.option("--max-ratio", type=click.IntRange(1), default=100, metavar="N",
                     show_default=True, help="Most bytes unpacked for each byte of an archive."),
        click.option("--max-mib", type=click.IntRange(1), default=8192, metavar="N",
                     show_default=True, help="Most MiB that a study may unpack or fetch."),
        click.option("--max-files", type=click.IntRange(1), default=20000, metavar="N",
                     show_default=True, help="Most files that a study may unpack or fetch."),
    ):  # fmt: skip
        run = option(run)
    return run  # type: ignore[return-value]


_series_option = click.option(
    "--series", metavar="UID", help="Judge this SeriesInstanceUID, whatever its texts say."
)
_slab_option = click.option(
    "--slab", type=click.FloatRange(min=0.5, max=20), metavar="MM",
    help="Average thin slices to slabs every MM; a warning says what was done.",
)  # fmt: skip
_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="ich-triton", prog_name="ichclient")
def main() -> None:
    """Find intracranial haemorrhage on head CT with a Triton ensemble.

    A research demonstration, not a medical device.
    """


@main.command()
@_study_argument
@click.option("--out", type=_DIRECTORY, metavar="DIR",
              help="Write result.json, slices.csv and report.html here.")  # fmt: skip
@click.option("--dicom", is_flag=True,
              help="Write SR, segmentation and key images into DIR/dicom too.")  # fmt: skip
@_series_option
@_slab_option
@_source_options
@_json_option
@told
@server_options
@_rules_options
def infer(
    study: str, out: Path | None, dicom: bool, series: str | None, slab: float | None,
    as_json: bool, source: Any, book: Any, server: Any,
) -> None:  # fmt: skip
    """Judge the head CT in STUDY.

    STUDY is a folder or file of DICOM, a zip, tar, tar.gz or tar.zst, a DICOMDIR, or a study on a
    PACS: dicomweb:https://HOST/PATH?AccessionNumber=N or dimse:CALLED_AET@HOST:PORT?... with one
    of StudyInstanceUID, SeriesInstanceUID and AccessionNumber.
    """
    from ichclient.infer import result_from_path
    from ichclient.result import result_to_json
    from ichclient.terminal import console, print_result, progress_bar

    if dicom and out is None:
        raise click.UsageError("--dicom needs a folder for its objects: add --out DIR.")
    if dicom and slab is not None:
        raise click.UsageError("Objects name scanned images, and a slab is none: leave --slab out.")
    stderr = console(stderr=True)
    with progress_bar(stderr) as progress:
        result = result_from_path(
            study, server, source=source, series_uid=series, book=book, slab_mm=slab, out=out,
            dicom=dicom,
            progress=progress,
        )  # fmt: skip
    if as_json:
        click.echo(result_to_json(result), nl=False)
    else:
        print_result(stderr, result)


@main.command()
@click.argument("result", type=_DIRECTORY)
@click.argument("study", type=_DIRECTORY, required=False)
@click.option("--out", type=_DIRECTORY, metavar="FILE",
              help="Where the page goes, instead of report.html beside the result.")  # fmt: skip
@told
def report(result: Path, study: Path | None, out: Path | None) -> None:
    """Draw the page of RESULT (result.json or its folder) again; with its STUDY also pictures."""
    from ichclient.report.redraw import report_from_file

    click.echo(report_from_file(result, study, out))


@main.command()
@click.option("--port", type=click.IntRange(1, 65535), help="gRPC port; a free one if not given.")
@click.option("--repository", type=_DIRECTORY, metavar="DIR",
              help="Model repository, instead of the one that comes with ichclient.")  # fmt: skip
@click.option("--golden", type=_DIRECTORY, metavar="FILE",
              help="Golden slices that prove the server, instead of the repository's.")  # fmt: skip
@click.option("--log", type=_DIRECTORY, metavar="FILE", help="Log of the server.")
@told
def serve(port: int | None, repository: Path | None, golden: Path | None, log: Path | None) -> None:
    """Run the embedded server on this machine until Ctrl-C."""
    from ichclient.connect import ServerOptions
    from ichclient.serve import serve_until_interrupted

    options = ServerOptions(repository=repository, golden=golden, log_path=log, grpc_port=port)
    serve_until_interrupted(options, click.echo)


@main.command()
@_json_option
@told
@server_options
def doctor(as_json: bool, server: Any) -> None:
    """Say what is there and what is missing; exit code 9 if the embedded server lacks something."""
    from dataclasses import asdict

    from ichclient.doctor import checks_of_this_machine
    from ichclient.errors import EmbeddedServerError
    from ichclient.terminal import console, print_checks

    checks = checks_of_this_machine(server)
    if as_json:
        click.echo(json.dumps([asdict(check) for check in checks], indent=2))
    else:
        print_checks(console(stderr=False), checks)
    if not all(check.ok for check in checks if check.needed):
        sys.exit(EmbeddedServerError.exit_code)


@main.command()
@_study_argument
@_source_options
@_json_option
@told
@_rules_options
def series(study: str, source: Any, as_json: bool, book: Any) -> None:
    """List the series in STUDY (as for infer), with why each would be judged or not."""
    from dataclasses import asdict

    from ichclient.infer import considered_from_path
    from ichclient.terminal import console, print_candidates, progress_bar

    with progress_bar(console(stderr=True)) as progress:
        considered = considered_from_path(study, book, source=source, progress=progress)
    if as_json:
        click.echo(json.dumps([asdict(item) for item in considered], indent=2, allow_nan=False))
    else:
        print_candidates(console(stderr=False), considered)


@main.command()
@_study_argument
@_series_option
@_slab_option
@_source_options
@_json_option
@told
@_rules_options
def validate(
    study: str, series: str | None, slab: float | None, source: Any, as_json: bool, book: Any
) -> None:
    """Judge whether STUDY (as for infer) may be judged, down to the last pixel, without any server.

    The exit code is that of infer: 0 where nothing speaks against it, 3 and 4 where it does.
    """
    from ichclient.result import result_to_json
    from ichclient.terminal import console, print_validation, progress_bar
    from ichclient.validate import validation_from_path

    stderr = console(stderr=True)
    with progress_bar(stderr) as progress:
        validation = validation_from_path(
            study, source=source, series_uid=series, book=book, slab_mm=slab, progress=progress
        )
    if as_json:
        click.echo(result_to_json(validation), nl=False)
    else:
        print_validation(console(stderr=False), validation)
    sys.exit(validation.exit_code)
