"""Delivery on the command line: options of `infer`, and the command that goes on with a queue."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ichclient.ending_cli import json_option, told
from ichclient.study_cli import pacs_options

if TYPE_CHECKING:
    from ichclient.delivery.outbox import Queued
    from ichclient.delivery.outcome import Outcome
    from ichclient.delivery.targets import Target
    from ichclient.sources import SourceOptions

_TOLD = ("target", "file", "SOPInstanceUID", "SOPClassUID", "state", "attempts",
         "next_attempt_at", "sent_at", "reason")  # fmt: skip


def _targets(_: click.Context, __: click.Parameter, texts: tuple[str, ...]) -> tuple[Target, ...]:
    from ichclient.delivery.targets import target_from_text

    try:
        targets = [target_from_text(text) for text in texts]
    except ValueError as error:
        raise click.BadParameter(f"{error}.") from error
    return tuple(dict.fromkeys(targets))


store_to_option = click.option(
    "--store-to", multiple=True, callback=_targets, metavar="TARGET",
    help="Deliver the DICOM objects there too: stow:https://HOST/dicom-web, "
         "dimse:CALLED_AET@HOST:PORT or dimse-tls:...; repeatable, needs --out.",
)  # fmt: skip
deliver_for_option = click.option(
    "--deliver-for",
    type=click.FloatRange(min=0),
    default=60.0,
    metavar="S",
    show_default=True,
    help="Seconds to try again where a target gives no answer.",
)


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--again", is_flag=True, help="Send what was refused again, too.")
@deliver_for_option
@pacs_options
@json_option
@told
def deliver(folder: Path, again: bool, deliver_for: float, source: Any, as_json: bool) -> None:
    """Go on with what 'infer --out DIR --store-to' has not delivered.

    Says what was sent, what waits and what was refused. The exit code is 14 while not all is sent.
    """
    from ichclient.delivery.folder import refuse_unsent
    from ichclient.terminal import console, print_queue

    rows = _delivered(folder, source, deliver_for, again=again)
    if as_json:
        said = [{name: getattr(row, name) for name in _TOLD} for row in rows]
        click.echo(json.dumps(said, indent=2))
    else:
        print_queue(console(stderr=False), rows)
    refuse_unsent(folder, rows)


@contextmanager
def delivered(
    folder: Path | None, targets: Sequence[Target], source: SourceOptions, for_s: float
) -> Iterator[Callable[[tuple[Path, ...]], None]]:
    """Queue what the block says is written, and deliver it behind the block.

    Where the block ends with a refusal, or with an exit code of its own, what was written for it is
    delivered too, and the block's end goes on.
    """
    from ichclient.errors import DeliveryError, RefusedInput

    if folder is None or not targets:
        yield lambda _: None
        return
    from ichclient.delivery.deliver import require_routes
    from ichclient.delivery.folder import queue_objects, refuse_unsent

    require_routes(targets, source)
    for target in targets:
        if target.in_the_clear:
            click.echo(f"Warning: {target} is not encrypted, and objects name patients.", err=True)
    queued: list[Path] = []

    def queue(files: tuple[Path, ...]) -> None:
        added = queue_objects(folder, targets, files)
        queued.extend(files)
        if added.replaced:
            click.echo(
                f"{added.replaced} objects of an earlier result were not sent, and are replaced.",
                err=True,
            )

    try:
        yield queue
    except (RefusedInput, SystemExit):
        if queued:
            try:
                refuse_unsent(folder, _delivered(folder, source, for_s))
            except DeliveryError as error:
                click.echo(f"Warning: {error}", err=True)
        raise
    refuse_unsent(folder, _delivered(folder, source, for_s))


def _delivered(
    folder: Path, source: SourceOptions, for_s: float, *, again: bool = False
) -> tuple[Queued, ...]:
    """Deliver from a folder, and show how far it is; everything that its queue knows."""
    from ichclient.delivery.folder import deliver_folder, queued_in
    from ichclient.plain import printable
    from ichclient.terminal import console, progress_bar

    states = ("waiting", "sending", "refused") if again else ("waiting", "sending")
    total = sum(row.state in states for row in queued_in(folder))
    done = 0
    complaints: set[tuple[str, str]] = set()
    stderr = console(stderr=True)
    with progress_bar(stderr) as progress:

        def heard(row: Queued, outcome: Outcome) -> None:
            nonlocal done
            if outcome.kind != "later":
                done += 1
                progress("delivering", done, total)
            elif (complaint := (row.target, outcome.reason)) not in complaints:
                complaints.add(complaint)
                text = f"Waiting for {row.target}: {outcome.reason}"
                stderr.print(printable(text), markup=False, soft_wrap=True)

        progress("delivering", 0, total)
        return deliver_folder(folder, source, for_s, again=again, told=heard)
