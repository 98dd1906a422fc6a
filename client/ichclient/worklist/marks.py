"""Which studies somebody has read: a table of its own in the station's database.

A mark remembers how many images the study had, so that one that grew afterwards waits again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager

from ichclient.errors import NothingFound, StationError
from ichclient.station.folder import StationFolder
from ichclient.station.schema import connection_to_read, connection_to_write, transaction
from ichclient.worklist.order import Mark

_TABLE = """
CREATE TABLE IF NOT EXISTS reading_mark (
    key TEXT PRIMARY KEY, read_at REAL NOT NULL, images INTEGER NOT NULL
) STRICT
"""


def marks_of(folder: StationFolder) -> Mapping[str, Mark]:
    """Every mark by the key of its study; none where nobody has ever marked one."""
    with _told(folder), closing(connection_to_read(folder.database)) as connection:
        known = connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'reading_mark'")
        if known.fetchone() is None:
            return {}
        rows = connection.execute("SELECT key, read_at, images FROM reading_mark")
        return {key: Mark(read_at, images) for key, read_at, images in rows}


def mark(
    folder: StationFolder,
    key: str,
    read_at: float | None,
    first: Callable[[], object] = lambda: None,
) -> None:
    """Mark a study as read at that time, or as unread where it is None.

    `first` is called before the change holds; where it raises, nothing is changed. Raises
    NothingFound for a study that is not there.
    """
    with (
        _told(folder),
        closing(connection_to_write(folder.database)) as connection,
        transaction(connection),
    ):
        connection.execute(_TABLE)
        connection.execute("DELETE FROM reading_mark WHERE key NOT IN (SELECT key FROM study)")
        row = connection.execute("SELECT images FROM study WHERE key = ?", (key,)).fetchone()
        if row is None:
            raise NothingFound(f"The station at {folder.path} has no study {key}.")
        if read_at is None:
            connection.execute("DELETE FROM reading_mark WHERE key = ?", (key,))
        else:
            connection.execute(
                "INSERT OR REPLACE INTO reading_mark VALUES (?, ?, ?)",
                (key, read_at, row["images"]),
            )
        first()


@contextmanager
def _told(folder: StationFolder) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise StationError(f"{folder.database} cannot be used ({error}).") from error
