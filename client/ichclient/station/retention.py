"""Studies that are done and delivered -> removed after some days, where somebody asked for that."""

from __future__ import annotations

import shutil
import sqlite3

from ichclient.delivery.outbox import SENDING, WAITING
from ichclient.station.events import Events
from ichclient.station.folder import StationFolder
from ichclient.station.queueing import outbox_folder
from ichclient.station.shelf import Shelf
from ichclient.station.state import Phase, Station, StationStudy

DAY_S = 86_400.0
_DONE = (Phase.JUDGED, Phase.REFUSED, Phase.FAILED)


def remove_done(
    station: Station, shelf: Shelf, events: Events, keep_days: float, now: float
) -> tuple[str, ...]:
    """Remove studies that ended `keep_days` ago, unless an object of theirs is still to be sent.

    The state goes first: files without a row are removed at the next start at the latest.
    """
    removed = []
    for study in station.studies(*_DONE):
        ended_at = max(study.last_image_at, study.judged_at or 0.0)
        if ended_at > now - keep_days * DAY_S:
            continue
        size = sum(image.bytes for image in station.images(study.key))
        with station.together() as connection:
            if not _is_still_done(station, study) or _unsent(connection, study.key):
                continue
            connection.execute('DELETE FROM outbox WHERE "group" = ?', (study.key,))
            station.forget(study.key)
        _remove_files(station.folder, study.key)
        shelf.removed(size)
        events.told("removed", key=study.key, images=study.images)
        removed.append(study.key)
    return tuple(removed)


def _is_still_done(station: Station, study: StationStudy) -> bool:
    """Images may have come between the look and the lock."""
    newest = station.study(study.key)
    return newest is not None and newest == study


def _unsent(connection: sqlite3.Connection, key: str) -> bool:
    """Whether something waits; a refusal is the end until somebody says `deliver --again`."""
    row = connection.execute(
        'SELECT count(*) FROM outbox WHERE "group" = ? AND state IN (?, ?)', (key, WAITING, SENDING)
    ).fetchone()
    return bool(row[0])


def _remove_files(folder: StationFolder, key: str) -> None:
    for path in (folder.images_of(key), folder.result_of(key), outbox_folder(folder, key)):
        shutil.rmtree(path, ignore_errors=True)
