"""Objects of a result -> the outbox: links in `outbox/<key>/<generation>/`, which nothing changes.

`results/<key>/` holds the newest result alone. What waits in the outbox keeps the bytes with which
it was queued, until a newer generation takes its place.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from ichclient.delivery.outbox import Outbox
from ichclient.station.folder import StationFolder, checked_key


def outbox_folder(folder: StationFolder, key: str) -> Path:
    """Where the objects of a study wait."""
    return folder.outbox / checked_key(key)


def queue_objects(
    connection: sqlite3.Connection,
    folder: StationFolder,
    key: str,
    generation: int,
    names: Sequence[str],
    targets: Sequence[str],
) -> int:
    """Queue objects of `results/<key>/dicom` for every target, within the caller's transaction.

    Gives how many are new. Objects that are known, of the same result, are not queued again.
    """
    if not targets or not names:
        return 0
    below = outbox_folder(folder, key) / str(generation)
    below.mkdir(mode=0o700, parents=True, exist_ok=True)
    files = []
    for name in names:
        link = below / name
        link.unlink(missing_ok=True)  # of a station that was killed here
        link.hardlink_to(folder.result_of(key) / "dicom" / name)
        files.append(link)
    outbox = Outbox(connection, folder.path)
    return sum(outbox.add(target, files, key).new for target in targets)


def remove_older(folder: StationFolder, key: str, generation: int) -> None:
    """Remove what was queued before the generation before this one."""
    below = outbox_folder(folder, key)
    if below.is_dir():
        for path in below.iterdir():
            if path.name.isdecimal() and int(path.name) < generation - 1:
                shutil.rmtree(path)
