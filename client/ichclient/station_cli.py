"""`ichclient listen`, `watch`, `status` and `rerun`: a station, and what is known of its studies.

Heavy imports wait inside the functions, so that --help is quick.
"""

from __future__ import annotations

import functools
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from ichclient.ending_cli import json_option, told
from ichclient.server_cli import server_options
from ichclient.state_cli import state_option
from ichclient.study_cli import pacs_options, rules_options

_F = TypeVar("_F", bound=Callable[..., Any])
_FILE = click.Path(path_type=Path)
_INTERRUPTED, _SIGINT = 130, 2


def _targets(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    from ichclient.delivery.targets import target_from_text

    try:
        return tuple(dict.fromkeys(str(target_from_text(value)) for value in values))
    except ValueError as error:
        raise click.BadParameter(f"{error}.") from error


def _peers(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> Any:
    from ichclient.station.peers import peers_from_texts

    try:
        return peers_from_texts(values)
    except ValueError as error:
        raise click.BadParameter(f"{error}.") from error


def station_options(command: _F) -> _F:
    """Options of every command that runs a station; the command gets them as `options`.

    Those of the server, the rules and the PACS are among them. Stands below `told`.
    """

    @functools.wraps(command)
    def run(
        *args: Any, server: Any, book: Any, source: Any, store_to: tuple[str, ...], dicom: bool,
        quiet: float, longest_wait: float, attempts: int, keep_days: float | None,
        max_gib: float, keep_free_gib: float, **kwargs: Any,
    ) -> Any:  # fmt: skip
        from ichclient.objects.extra import require_highdicom
        from ichclient.station.run import StationOptions
        from ichclient.station.shelf import GIB, Room
        from ichclient.station.work import WorkOptions

        if store_to and not dicom:
            raise click.UsageError("--store-to delivers objects: leave --no-dicom out.")
        if dicom:
            require_highdicom()
        try:
            options = StationOptions(
                server=server,
                work=WorkOptions(quiet, longest_wait, attempts),
                room=Room(round(max_gib * GIB), round(keep_free_gib * GIB)),
                targets=store_to,
                delivery=source,
                book=book,
                objects=dicom,
                keep_days=keep_days,
            )  # fmt: skip
        except ValueError as error:
            raise click.UsageError(f"{error}.") from error
        return command(*args, options=options, **kwargs)

    run = server_options(rules_options(pacs_options(run)))
    for option in (
        click.option("--keep-free-gib", type=click.FloatRange(min=0), default=2.0, metavar="N",
                     show_default=True, help="Leave so many GiB of the disk free."),
        click.option("--max-gib", type=click.FloatRange(min=0.001), default=100.0, metavar="N",
                     show_default=True, help="Keep at most so many GiB of received images."),
        click.option("--keep-days", type=click.FloatRange(min=0), metavar="N",
                     help="Remove studies that are done and delivered after N days; never, if not "
                          "given."),
        click.option("--attempts", type=click.IntRange(1), default=10, metavar="N",
                     show_default=True, help="How often a study is tried before it is failed."),
        click.option("--longest-wait", type=click.FloatRange(min=0), default=1800.0, metavar="S",
                     show_default=True,
                     help="Judge a study after so long although images keep coming."),
        click.option("--quiet", type=click.FloatRange(min=0), default=60.0, metavar="S",
                     show_default=True,
                     help="A study is complete when no image came for so long."),
        click.option("--dicom/--no-dicom", default=True, show_default=True,
                     help="Write DICOM objects into each result."),
        click.option("--store-to", multiple=True, callback=_targets, metavar="TARGET",
                     help="Deliver the objects there: stow:URL, dimse:AET@HOST:PORT or "
                          "dimse-tls:AET@HOST:PORT; repeatable."),
    ):  # fmt: skip
        run = option(run)
    return run  # type: ignore[return-value]


@click.command()
@state_option
@click.option("--port", type=click.IntRange(1, 65535), default=11112, metavar="PORT",
              show_default=True, help="Listen for C-STORE there.")  # fmt: skip
@click.option("--address", metavar="IP",
              help="Listen there: everywhere with --peer, else for this machine.")  # fmt: skip
@click.option("--peer", "peers", multiple=True, callback=_peers, metavar="AET[@IP]",
              help="Who may send, by name and if given by address or network; repeatable. "
                   "Without any, every program of this machine may.")  # fmt: skip
@click.option("--tls-cert", type=_FILE, metavar="FILE", help="Take TLS alone, by this certificate.")
@click.option("--tls-key", type=_FILE, metavar="FILE", help="Key (PEM) of --tls-cert.")
@click.option("--client-ca", type=_FILE, metavar="FILE",
              help="Senders must show a certificate of this authority.")  # fmt: skip
@click.option("--max-associations", type=click.IntRange(1), default=8, metavar="N",
              show_default=True, help="So many senders at once.")  # fmt: skip
@click.option("--max-association-gib", type=click.FloatRange(min=0.001), default=16.0,
              metavar="N", show_default=True,
              help="Most that one association may bring.")  # fmt: skip
@told
@station_options
def listen(
    state: Path, options: Any, port: int, address: str | None, peers: Any,
    tls_cert: Path | None, tls_key: Path | None, client_ca: Path | None, max_associations: int,
    max_association_gib: float,
) -> None:  # fmt: skip
    """Take studies by C-STORE, judge each when it is complete, and deliver the result.

    Runs until Ctrl-C or SIGTERM, and goes on where it was when it is started again, however it
    ended. Log goes to stderr, one line an event, without identities.
    """
    from ichclient.station.listen import ListenOptions, listening_station

    if (tls_cert is None) != (tls_key is None) or (client_ca and not tls_cert):
        raise click.UsageError("TLS needs --tls-cert and --tls-key; --client-ca goes with them.")
    tls = (tls_cert, tls_key, client_ca) if tls_cert and tls_key else None
    listens = ListenOptions(
        options.delivery.ae_title,
        port,
        address,
        peers,
        max_associations,
        round(max_association_gib * 2**30),
        tls,
    )
    _run(state, options, listening_station(listens))


@click.command()
@click.argument("folder", type=_FILE)
@state_option
@click.option("--still", type=click.FloatRange(min=0), default=5.0, metavar="S",
              show_default=True, help="Take a file that stood still for so long.")  # fmt: skip
@click.option("--look-every", type=click.FloatRange(min=0.05), default=2.0, metavar="S",
              show_default=True, help="Look at the folder so often.")  # fmt: skip
@click.option("--remove", is_flag=True, help="Remove files from FOLDER once they are taken.")
@told
@station_options
def watch(
    folder: Path, state: Path, options: Any, still: float, look_every: float,
    remove: bool,
) -> None:  # fmt: skip
    """Take studies that other programs write into FOLDER; the rest is as for listen.

    Files are copied when they stand still and are whole, and left where they are. Hidden files
    and links are not looked at. A study's files may lie in any subfolders.
    """
    from ichclient.station.watch import WatchOptions, refuse_folder, watching

    refuse_folder(folder, state)
    watches = WatchOptions(folder, still, look_every, remove)
    _run(state, options, functools.partial(watching, watches))


@click.command()
@state_option
@click.option("--identity", is_flag=True, help="Show whose studies they are.")
@json_option
@told
def status(state: Path, identity: bool, as_json: bool) -> None:
    """List the studies of a station: phase, score, and what became of the objects."""
    from ichclient.station.status import json_from_studies, studies_of
    from ichclient.terminal import console, print_studies

    studies = studies_of(state)
    if as_json:
        click.echo(json_from_studies(studies, identity=identity))
    else:
        print_studies(console(stderr=False), studies, identity=identity)


@click.command()
@click.argument("key")
@state_option
@told
def rerun(key: str, state: Path) -> None:
    """Have the study KEY judged once more, whether its station runs or starts later."""
    from ichclient.audit.log import AuditLog
    from ichclient.station.folder import StationFolder
    from ichclient.station.state import Station

    folder = StationFolder.found(state)
    audit = AuditLog(folder.path)
    with Station(folder) as station:
        study = station.rerun(key, time.time())
    audit.write("rerun", key=key, generation=study.generation)
    click.echo(f"{key} {study.phase.value}")


def _run(state: Path, options: Any, takes_in: Any) -> None:
    from ichclient.station.run import run_station

    # Of pydicom's warnings some quote values, and its threads cannot each keep their own filter.
    warnings.simplefilter("ignore")
    number = run_station(state, options, takes_in, functools.partial(click.echo, err=True))
    if number == _SIGINT:
        sys.exit(_INTERRUPTED)
