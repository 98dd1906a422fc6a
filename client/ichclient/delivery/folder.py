"""The folder of a result -> its objects queued, and delivered from there.

The queue lies in the folder as `outbox.sqlite3`, and goes where the folder goes. In the folder of a
station it is a table of the station's database, and the station delivers as long as it runs.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ichclient.delivery.deliver import Told, deliver_for
from ichclient.delivery.outbox import REFUSED, SENT, Added, Queued, opened_outbox
from ichclient.delivery.targets import Target
from ichclient.errors import CannotWrite, DeliveryError, NothingFound
from ichclient.sources.options import SourceOptions

OUTBOX_FILE, _LOCK_FILE = "outbox.sqlite3", ".outbox.lock"
_STATION_FILE, _STATION_LOCK_FILE = "station.sqlite3", "lock"
_LOOK_AGAIN_S = 0.1


def queue_objects(folder: Path, targets: Iterable[Target], files: Sequence[Path]) -> Added:
    """Queue the objects of the newest result of a study for every target; the sum for all.

    The result lies in `folder`, or in one of the folders below it where these are several. Raises
    CannotWrite and DeliveryError.
    """
    group = files[0].parent.parent.relative_to(folder).as_posix() if files else "."
    with opened_outbox(folder / OUTBOX_FILE) as outbox:
        added = [outbox.add(str(target), files, group) for target in targets]
    return Added(
        sum(each.new for each in added),
        sum(each.known for each in added),
        sum(each.replaced for each in added),
    )


def queued_in(folder: Path) -> tuple[Queued, ...]:
    """Everything that the queue of a folder knows; raises NothingFound where there is none."""
    with opened_outbox(_database(folder)) as outbox:
        return outbox.rows()


def deliver_folder(
    folder: Path,
    options: SourceOptions,
    for_s: float,
    *,
    again: bool = False,
    told: Told = lambda *_: None,
) -> tuple[Queued, ...]:
    """Go on with the queue of a folder for `for_s` seconds; everything that it knows afterwards.

    With `again` also with what was refused. Raises NothingFound where there is no queue, and
    DeliveryError where another process delivers from it all the time.
    """
    with opened_outbox(_database(folder)) as outbox:
        if again:
            outbox.again()
        outbox.hasten()
        with _alone(folder, for_s):
            deliver_for(outbox, options, for_s, told=told)
        return outbox.rows()


def refuse_unsent(folder: Path, rows: Iterable[Queued]) -> None:
    """Raise DeliveryError, naming object and reason, where something waits or was refused."""
    unsent = [row for row in rows if row.state != SENT]
    if not unsent:
        return
    waiting = [row for row in unsent if row.state != REFUSED]
    refused = [row for row in unsent if row.state == REFUSED]
    said = [f"{row.file} was refused by {row.target}: {row.reason}." for row in refused]
    for target in dict.fromkeys(row.target for row in waiting):
        rows_ = [row for row in waiting if row.target == target]
        reason = f": {rows_[0].reason}" if rows_[0].reason else ""
        count = f"{len(rows_)} object{'s' if len(rows_) > 1 else ''}"
        said.append(f"{count} still for {target}{reason.rstrip('.')}.")
    on = f"'ichclient deliver {folder}'"
    on += " goes on" if waiting else " --again tries again"
    on += ", with --again also with what was refused" if waiting and refused else ""
    raise DeliveryError(
        f"The objects are written to {folder}, and not all are delivered. {' '.join(said)} {on}."
    )


def _database(folder: Path) -> Path:
    for name in (OUTBOX_FILE, _STATION_FILE):
        if (folder / name).is_file():
            return folder / name
    raise NothingFound(
        f"{folder} has no queue of deliveries; 'ichclient infer --store-to' makes one."
    )


@contextmanager
def _alone(folder: Path, for_s: float) -> Iterator[None]:
    """Be the one process that delivers from a folder; wait for another one to end."""
    station = _database(folder).name == _STATION_FILE
    end = time.monotonic() + (0 if station else for_s)
    try:
        descriptor = os.open(
            folder / (_STATION_LOCK_FILE if station else _LOCK_FILE),
            os.O_RDWR | os.O_CREAT | os.O_CLOEXEC,
            0o600,
        )
    except OSError as error:
        raise CannotWrite(f"{folder} cannot be written ({error.strerror}).") from error
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() >= end:
                    raise DeliveryError(
                        f"Another process delivers from {folder} and goes on with all of it: "
                        "look again later. [locked]"
                    ) from error
                time.sleep(_LOOK_AGAIN_S)
        yield
    finally:
        os.close(descriptor)
