"""The command `ichclient`: options are read, one call is made, its answer is printed.

Answers go to stdout as JSON with --json; progress, tables beside it and errors go to stderr.
Heavy imports wait inside the functions, so that --help is quick.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from ichclient.accept_cli import accept
from ichclient.audit_cli import audit
from ichclient.delivery_cli import deliver, deliver_for_option, delivered, store_to_option
from ichclient.ending_cli import json_option, told
from ichclient.server_cli import begun, server_options
from ichclient.station_cli import listen, rerun, status, watch
from ichclient.study_cli import (
    rules_options,
    series_option,
    slab_option,
    source_options,
    studies_argument,
    study_argument,
)
from ichclient.worklist_cli import mark, worklist

_DIRECTORY = click.Path(path_type=Path)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="ich-triton", prog_name="ichclient")
def main() -> None:
    """Find intracranial haemorrhage on head CT with a Triton ensemble.

    A research demonstration, not a medical device.
    """


main.add_command(accept)


@main.command()
@studies_argument
@click.option("--each", is_flag=True, help="Judge every study within STUDY, such as an archive.")
@click.option("--out", type=_DIRECTORY, metavar="DIR",
              help="Write result.json, slices.csv and report.html here; of several studies each "
                   "into a folder of its own, beside summary.csv.")  # fmt: skip
@click.option("--resume", is_flag=True,
              help="Of several studies, skip those whose result in DIR is of the same files, rules "
                   "and bundle.")  # fmt: skip
@click.option("--dicom", is_flag=True,
              help="Write SR, segmentation and key images into DIR/dicom too.")  # fmt: skip
@store_to_option
@deliver_for_option
@series_option
@slab_option
@source_options
@json_option
@told
@server_options
@rules_options
def infer(
    studies: tuple[str, ...], each: bool, out: Path | None, resume: bool, dicom: bool,
    store_to: tuple[Any, ...], deliver_for: float,
    series: str | None, slab: float | None, as_json: bool, source: Any, book: Any, server: Any,
) -> None:  # fmt: skip
    """Judge the head CT in STUDY, or of several studies each.

    STUDY is a folder or file of DICOM, a zip, tar, tar.gz or tar.zst, a DICOMDIR, or a study on a
    PACS: dicomweb:https://HOST/PATH?AccessionNumber=N or dimse:CALLED_AET@HOST:PORT?... with one
    of StudyInstanceUID, SeriesInstanceUID and AccessionNumber.

    Several studies are judged in turn on one server. One that fails does not stop the others, and
    gives its exit code at the end.
    """
    if store_to and out is None:
        raise click.UsageError("--store-to keeps what it delivers: add --out DIR.")
    dicom = dicom or bool(store_to)
    if dicom and out is None:
        raise click.UsageError("--dicom needs a folder for its objects: add --out DIR.")
    if dicom and slab is not None:
        raise click.UsageError("Objects name scanned images, and a slab is none: leave --slab out.")
    if each or len(studies) > 1:
        from ichclient.several.run import Wishes
        from ichclient.several_cli import infer_several

        if series is not None:
            raise click.UsageError("--series names a series of one study: give that study alone.")
        with delivered(out, store_to, source, deliver_for) as queue:
            code = infer_several(
                studies, server, Wishes(source, book, slab, dicom, queue), out, each=each,
                resume=resume, as_json=as_json,
            )  # fmt: skip
            if code:
                sys.exit(code)
        return
    if resume:
        raise click.UsageError("--resume is for several studies: add --each, or leave it out.")
    with begun(server, studies[0]) as judge, delivered(out, store_to, source, deliver_for) as queue:
        from ichclient.infer import result_from_path
        from ichclient.result import result_to_json
        from ichclient.terminal import console, print_result, progress_bar

        stderr = console(stderr=True)
        with progress_bar(stderr) as progress:
            result = result_from_path(
                studies[0], judge, source=source, series_uid=series, book=book, slab_mm=slab,
                out=out, dicom=dicom, written=queue, progress=progress,
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
@json_option
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
@study_argument
@source_options
@json_option
@told
@rules_options
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
@study_argument
@series_option
@slab_option
@source_options
@json_option
@told
@rules_options
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
@json_option
@told
def server_command(version_text: str, as_json: bool, **given: Any) -> None:
    """Print the hardened command line of a Triton server, for a container or a host of your own."""
    from ichclient.container_command import command_as_asked, exec_text, shell_text
    from ichclient.flags import version_from_text

    command = command_as_asked(version_from_text(version_text), **given)
    click.echo(exec_text(command) if as_json else shell_text(command))


for command in (audit, deliver, listen, mark, rerun, status, watch, worklist):
    main.add_command(command)
