"""`ichclient worklist` and `ichclient mark`: which study is read next, and which was read."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import click

from ichclient.ending_cli import told
from ichclient.state_cli import state_option

_FILE = click.Path(path_type=Path)


@click.command()
@state_option
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8080,
    show_default=True,
    help="Port; 0 takes a free one.",
)
@click.option(
    "--address",
    default="127.0.0.1",
    show_default=True,
    metavar="IP",
    help="Where it listens; one that others reach needs a token.",
)
@click.option(
    "--token-file",
    type=_FILE,
    metavar="FILE",
    help="File with the token that is asked for, instead of the environment variable "
    "ICHCLIENT_WORKLIST_TOKEN.",
)
@click.option("--tls-cert", type=_FILE, metavar="FILE", help="Certificate (PEM): serve https.")
@click.option("--tls-key", type=_FILE, metavar="FILE", help="Key (PEM) of --tls-cert.")
@click.option(
    "--name",
    "names",
    multiple=True,
    metavar="HOST",
    help="A name by which browsers know this host, behind a proxy for example.",
)
@click.option(
    "--identity",
    is_flag=True,
    help="Show name, ID, date and description too; without it the accession number.",
)
@click.option("--allow-marking", is_flag=True, help="Let studies be marked as read on the page.")
@click.option(
    "--longest-wait-min",
    type=click.FloatRange(min=1),
    default=60.0,
    metavar="MIN",
    show_default=True,
    help="Whatever has waited longer takes turns with the positive.",
)
@click.option(
    "--operating-point", metavar="NAME", help="The one that decides  [default: positive at any]"
)
@click.option(
    "--hours",
    type=click.FloatRange(min=1),
    default=12.0,
    metavar="H",
    show_default=True,
    help="Where nobody marks studies as read, they leave the list after so long.",
)
@told
def worklist(
    state: Path, token_file: Path | None, tls_cert: Path | None, tls_key: Path | None,
    allow_marking: bool, longest_wait_min: float, hours: float, operating_point: str | None,
    names: tuple[str, ...], **given: Any,
) -> None:  # fmt: skip
    """Serve the station's studies as a web page, in the order in which they should be read.

    Positive studies come first, the highest score first, in turns with what has waited too long.
    Read-only unless --allow-marking is given. The JSON beneath it is at /api/studies.
    """
    from ichclient.access import token_from
    from ichclient.station.folder import StationFolder
    from ichclient.worklist.access import TOKEN_VARIABLE, WorklistOptions
    from ichclient.worklist.order import Rule
    from ichclient.worklist.server import serve_worklist

    token = token_from(token_file, os.environ, TOKEN_VARIABLE)
    folder = StationFolder.found(state)
    options = WorklistOptions(
        **given, token=token, certificate=tls_cert, key=tls_key, marking=allow_marking,
        names=(*names, socket.gethostname()),
        rule=Rule(longest_wait_min * 60, operating_point, shown_s=hours * 3600),
    )  # fmt: skip
    serve_worklist(folder, options, lambda text: click.echo(text, err=True))


@click.command()
@click.argument("keys", nargs=-1, required=True, metavar="KEY...")
@click.option("--unread", is_flag=True, help="Take the mark away.")
@state_option
@told
def mark(keys: tuple[str, ...], unread: bool, state: Path) -> None:
    """Mark the studies KEY... as read, so that they leave the work list.

    For a program that hears of signed reports; people use the page with --allow-marking.
    """
    import time
    from functools import partial

    from ichclient.audit.log import AuditLog
    from ichclient.station.folder import StationFolder
    from ichclient.worklist.marks import mark as mark_study

    folder = StationFolder.found(state)
    audit = AuditLog(folder.path)
    event = "marked_unread" if unread else "marked_read"
    for key in keys:
        at = None if unread else time.time()
        mark_study(folder, key, at, first=partial(audit.write, event, key=key))
