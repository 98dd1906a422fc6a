"""A station's folder -> a connection to its SQLite file, which is of the one schema known here.

WAL lets status and work list read while the station writes; `synchronous=FULL` means that what was
answered to a sender is on disk.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ichclient.errors import StationError

VERSION = 1
_APPLICATION_ID = 0x49434831  # "ICH1": tells a station from any other SQLite file
_WAIT_FOR_OTHERS_S = 30.0

_TABLES = """
CREATE TABLE study (
    key TEXT PRIMARY KEY,
    StudyInstanceUID TEXT NOT NULL UNIQUE,
    PatientName TEXT NOT NULL, PatientID TEXT NOT NULL, AccessionNumber TEXT NOT NULL,
    StudyDate TEXT NOT NULL, StudyTime TEXT NOT NULL, StudyDescription TEXT NOT NULL,
    phase TEXT NOT NULL CHECK (
        phase IN ('receiving', 'waiting', 'judging', 'judged', 'refused', 'failed')),
    received_at REAL NOT NULL, last_image_at REAL NOT NULL,
    images INTEGER NOT NULL,
    generation INTEGER NOT NULL, generation_at REAL NOT NULL,
    waiting_at REAL,
    judging_generation INTEGER NOT NULL DEFAULT 0, judged_generation INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0, next_attempt_at REAL NOT NULL DEFAULT 0,
    judged_at REAL,
    study_score REAL, decisions TEXT NOT NULL DEFAULT '{}', lesion_volume_ml REAL,
    top_finding TEXT, top_finding_score REAL,
    reason_code TEXT, reason TEXT
) STRICT;
CREATE INDEX study_by_phase ON study (phase, waiting_at);
CREATE TABLE image (
    key TEXT NOT NULL REFERENCES study (key),
    SOPInstanceUID TEXT NOT NULL,
    file TEXT NOT NULL, bytes INTEGER NOT NULL, sha256 TEXT NOT NULL,
    received_at REAL NOT NULL, from_ae TEXT NOT NULL,
    PRIMARY KEY (key, SOPInstanceUID)
) STRICT;
CREATE TABLE seen (
    path TEXT PRIMARY KEY,
    bytes INTEGER NOT NULL, modified_ns INTEGER NOT NULL
) STRICT;
"""


def connection_to_write(database: Path) -> sqlite3.Connection:
    """Open the file, made with an empty schema where there is none.

    The connection commits nothing by itself: use `transaction`. Threads may share it under a lock.
    Raises StationError for a file that is no station's or of another version.
    """
    try:
        connection = sqlite3.connect(
            database, timeout=_WAIT_FOR_OTHERS_S, isolation_level=None, check_same_thread=False
        )
    except sqlite3.Error as error:
        raise _unusable(database, error) from error
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        with transaction(connection):
            if not connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
                for statement in _TABLES.split(";"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id={_APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version={VERSION}")
        _refuse_unknown(connection, database)
        database.chmod(0o600)
    except sqlite3.Error as error:
        connection.close()
        raise _unusable(database, error) from error
    except BaseException:
        connection.close()
        raise
    connection.row_factory = sqlite3.Row
    return connection


def connection_to_read(database: Path) -> sqlite3.Connection:
    """Open the file so that nothing can be changed in it; raises StationError as above."""
    try:
        connection = sqlite3.connect(
            f"{database.resolve().as_uri()}?mode=ro", uri=True, timeout=_WAIT_FOR_OTHERS_S,
            isolation_level=None, check_same_thread=False,
        )  # fmt: skip
    except sqlite3.Error as error:
        raise _unusable(database, error) from error
    try:
        _refuse_unknown(connection, database)
    except sqlite3.Error as error:
        connection.close()
        raise _unusable(database, error) from error
    except BaseException:
        connection.close()
        raise
    connection.row_factory = sqlite3.Row
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of the block or nothing of it; writers wait for each other from the start."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _refuse_unknown(connection: sqlite3.Connection, database: Path) -> None:
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application_id != _APPLICATION_ID:
        raise StationError(f"{database} is no station's: name its folder with --state.")
    if version != VERSION:
        raise StationError(
            f"{database} is of schema {version}, and this ichclient knows {VERSION}: use the "
            "version of ichclient that made it, or start with a new folder (--state)."
        )


def _unusable(database: Path, error: sqlite3.Error) -> StationError:
    return StationError(f"{database} cannot be used as a station's database: {error}.")
