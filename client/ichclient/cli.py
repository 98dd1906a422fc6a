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
            from ichclient.terminal import printable

            click.echo(f"Error: {printable(error)}", err=True)
            sys.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            sys.exit(_INTERRUPTED)

    return run  # type: ignore[return-value]


def _address(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    host, _colon, port = (value or "").rpartition(":")
    if value is not None and (not host or "/" in value or not port.isdigit()):
        raise click.BadParameter("give HOST:PORT of a gRPC endpoint, for example 10.0.0.5:8001.")
    return value


def _server_options(command: _F) -> _F:
    """Options of every command that speaks to a server."""
    for option in (
        click.option("--url", callback=_address, metavar="HOST:PORT",
                     help="Use the Triton server there (gRPC) instead of an embedded one."),
        click.option("--repository", type=_DIRECTORY, metavar="DIR",
                     help="Model repository, instead of the one that comes with ichclient."),
        click.option("--golden", type=_DIRECTORY, metavar="FILE",
                     help="Golden slices that prove the server, instead of the repository's."),
        click.option("--timeout", type=click.FloatRange(min=0.1), default=60.0, metavar="S",
                     show_default=True, help="Seconds that one request may take."),
    ):  # fmt: skip
        command = option(command)
    return command


_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="ich-triton", prog_name="ichclient")
def main() -> None:
    """Find intracranial haemorrhage on head CT with a Triton ensemble.

    A research demonstration, not a medical device.
    """


@main.command()
@click.argument("study", type=_DIRECTORY)
@click.option("--out", type=_DIRECTORY, metavar="DIR", help="Write result.json and a picture here.")
@click.option("--series", metavar="UID", help="Judge this SeriesInstanceUID.")
@_server_options
@_json_option
@told
def infer(
    study: Path, out: Path | None, series: str | None, as_json: bool, timeout: float, **server: Any
) -> None:
    """Judge the head CT in STUDY, a folder or file of DICOM."""
    from ichclient.connect import ServerOptions
    from ichclient.infer import result_from_path
    from ichclient.result import result_to_json
    from ichclient.terminal import console, print_result, progress_bar

    stderr = console(stderr=True)
    options = ServerOptions(timeout_s=timeout, **server)
    with progress_bar(stderr) as progress:
        result = result_from_path(study, options, series_uid=series, out=out, progress=progress)
    if as_json:
        click.echo(result_to_json(result), nl=False)
    else:
        print_result(stderr, result)


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
@_server_options
@_json_option
@told
def doctor(as_json: bool, timeout: float, **server: Any) -> None:
    """Say what is there and what is missing; exit code 9 if the embedded server lacks something."""
    from dataclasses import asdict

    from ichclient.connect import ServerOptions
    from ichclient.doctor import checks_of_this_machine
    from ichclient.errors import EmbeddedServerError
    from ichclient.terminal import console, print_checks

    checks = checks_of_this_machine(ServerOptions(timeout_s=timeout, **server))
    if as_json:
        click.echo(json.dumps([asdict(check) for check in checks], indent=2))
    else:
        print_checks(console(stderr=False), checks)
    if not all(check.ok for check in checks if check.needed):
        sys.exit(EmbeddedServerError.exit_code)


@main.command()
@click.argument("study", type=_DIRECTORY)
@_json_option
@told
def series(study: Path, as_json: bool) -> None:
    """List the series in STUDY, with why each would be judged or not."""
    from dataclasses import asdict

    from ichclient.infer import considered_from_path
    from ichclient.terminal import console, print_candidates

    considered = considered_from_path(study)
    if as_json:
        click.echo(json.dumps([asdict(item) for item in considered], indent=2, allow_nan=False))
    else:
        print_candidates(console(stderr=False), considered)


@main.command("server-command")
@click.option("--version", "version_text", default="2.71", show_default=True, metavar="X.Y",
              help="Version of Triton that will run it.")  # fmt: skip
@click.option("--model-repository", metavar="DIR", help="Where the server finds the repository.")
@click.option("--model-config-name", metavar="NAME",
              help="configs/NAME.pbtxt of each model: onnxruntime for the processor.")  # fmt: skip
@click.option("--address", metavar="IP", help="Where it listens: 0.0.0.0 if not given.")
@click.option("--tls-cert", metavar="FILE", help="Certificate of the server, as it sees it.")
@click.option("--tls-key", metavar="FILE", help="Key of that certificate.")
@click.option("--client-ca", metavar="FILE", help="Authority of the clients' certificates.")
@click.option("--no-tls", is_flag=True, help="gRPC in the clear, behind a proxy that ends TLS.")
@click.option("--client-token", is_flag=True, help="Ask clients for the token ICH_CLIENT_TOKEN.")
@click.option("--otlp-url", metavar="URL", help="Send traces there (OTLP over HTTP).")
@click.option("--flag", "more", multiple=True, metavar="NAME=VALUE", help="One more flag.")
@_json_option
@told
def server_command(version_text: str, as_json: bool, **given: Any) -> None:
    """Print the hardened command line of a Triton server, for a container or a host of your own."""
    from ichclient.container_command import command_as_asked, exec_text, shell_text
    from ichclient.flags import version_from_text

    command = command_as_asked(version_from_text(version_text), **given)
    click.echo(exec_text(command) if as_json else shell_text(command))
