"""What is to be sent where, kept in SQLite: a queue that outlives whoever works on it.

    add -> waiting -> sending -> sent
              ^          |  `--> refused --(again)--> waiting
              `---later--'

An object is marked `sending` before its first byte leaves, so whoever finds it so later knows that
the target may have it, and asks the target first. `later` keeps an object `sending` where that is
not known, and gives it back to `waiting` where it is known that nothing was stored.

Nothing here waits or looks at a clock. An outbox belongs to one thread, and is filled by anybody;
only one process at a time may deliver from it, which `folder.py` and the station each see to.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

from ichclient.delivery.instances import instance_from_file
from ichclient.errors import CannotWrite

WAITING, SENDING, SENT, REFUSED = "waiting", "sending", "sent", "refused"

_SCHEMA = (
    """
    CREATE TABLE IF NOT EXISTS outbox (
        target TEXT NOT NULL,
        SOPInstanceUID TEXT NOT NULL,
        SOPClassUID TEXT NOT NULL,
        StudyInstanceUID TEXT NOT NULL,
        SeriesInstanceUID TEXT NOT NULL,
        "group" TEXT NOT NULL,
        file TEXT NOT NULL,
        sha256 TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('waiting', 'sending', 'sent', 'refused')),
        replaced INTEGER NOT NULL DEFAULT 0,
        attempts INTEGER NOT NULL DEFAULT 0,
        next_attempt_at REAL NOT NULL DEFAULT 0,
        sent_at REAL,
        reason TEXT NOT NULL DEFAULT '',
        PRIMARY KEY (target, SOPInstanceUID)
    )
    """,
    """
    CREATE INDEX IF NOT EXISTS outbox_unsent ON outbox (next_attempt_at)
    WHERE state IN ('waiting', 'sending')
    """,
    'CREATE INDEX IF NOT EXISTS outbox_group ON outbox ("group")',
)
_THIS = "WHERE target = ? AND SOPInstanceUID = ?"
_BUSY_S = 30.0


@dataclass(frozen=True)
class Queued:
    """One object for one target; `file` is relative to the outbox's folder where it lies below it.

    `replaced` marks an object that a newer generation of its group no longer has, and of which it
    is not known whether the target has it: it is asked for, and never sent again. `attempts` counts
    those that failed. Times are seconds since the epoch. `reason` says why it waits or was refused,
    or what the target remarked.
    """

    target: str
    SOPInstanceUID: str
    SOPClassUID: str
    StudyInstanceUID: str
    SeriesInstanceUID: str
    group: str
    file: str
    sha256: str
    state: str
    replaced: bool
    attempts: int
    next_attempt_at: float
    sent_at: float | None
    reason: str


@dataclass(frozen=True)
class Added:
    """What `add` did: new objects, those it had already, and older ones that no longer count."""

    new: int
    known: int
    replaced: int


@dataclass(frozen=True)
class Summary:
    """How many objects are in each state, when the next attempt is due, and the refusals."""

    waiting: int
    sending: int
    sent: int
    refused: int
    next_attempt_at: float | None
    refusals: tuple[Queued, ...]

    @property
    def unsent(self) -> int:
        """How many are still to be sent."""
        return self.waiting + self.sending


_COLUMNS = tuple(field.name for field in fields(Queued))


class Outbox:
    """The queue in an open database, whose relative files are meant from `folder`.

    The connection is in autocommit (`isolation_level=None`). A method that is called within a
    transaction of the caller becomes part of it; any other commits before it returns. Raises
    CannotWrite where the database does not take a change.
    """

    def __init__(self, connection: sqlite3.Connection, folder: Path) -> None:
        self._connection = connection
        self._folder = folder.resolve()

    def prepare(self) -> None:
        """Make the table where it is not there yet."""
        with self.together():
            for statement in _SCHEMA:
                self._connection.execute(statement)

    @contextmanager
    def together(self) -> Iterator[None]:
        """All changes within as one transaction, or as a part of the caller's."""
        with _told(self._folder):
            if self._connection.in_transaction:
                yield
                return
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):  # a full disk has rolled back already
                    self._connection.execute("ROLLBACK")
                raise

    def path(self, row: Queued) -> Path:
        """Where the object of a row lies."""
        return self._folder / row.file

    def add(self, target: str, files: Iterable[Path], group: str) -> Added:
        """Queue the objects of one generation of a group; those that are known stay as they are.

        What an older generation left unsent is taken out, for its files are gone. Raises
        DeliveryError for a file that holds no object.
        """
        instances = [instance_from_file(file) for file in files]
        wanted = {each.SOPInstanceUID for each in instances}
        with self.together():
            before = {row.SOPInstanceUID: row for row in self._rows("target = ?", target)}
            for each in instances:
                self._connection.execute(
                    """
                    INSERT INTO outbox (target, SOPInstanceUID, SOPClassUID, StudyInstanceUID,
                                        SeriesInstanceUID, "group", file, sha256, state)
                    VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'waiting')
                    ON CONFLICT DO UPDATE SET file = excluded.file, sha256 = excluded.sha256,
                                              "group" = excluded."group", replaced = 0
                    WHERE state != 'sent'
                    """,
                    (target, each.SOPInstanceUID, each.SOPClassUID, each.StudyInstanceUID,
                     each.SeriesInstanceUID, group, self._relative(each.file), each.sha256),
                )  # fmt: skip
            replaced = 0
            for uid, row in before.items():
                if row.group != group or uid in wanted or row.state == SENT:
                    continue
                replaced += not row.replaced
                if row.state == SENDING:
                    self._update(row, "replaced = 1")
                else:
                    self.drop(row)
        known = len(wanted & before.keys())
        return Added(len(wanted) - known, known, replaced)

    def due(self, now: float, target: str | None = None) -> tuple[Queued, ...]:
        """What may be attempted now, by target and group, in the order in which it was added."""
        return self._rows(
            "state IN ('waiting', 'sending') AND next_attempt_at <= ? "
            'AND target = ifnull(?, target) ORDER BY target, "group", rowid',
            now,
            target,
        )

    def sending(self, row: Queued) -> bool:
        """Mark that bytes of an object are about to leave; False where it is no longer wanted."""
        return bool(
            self._execute(
                f"UPDATE outbox SET state = 'sending' {_THIS} "
                "AND sha256 = ? AND replaced = 0 AND state IN ('waiting', 'sending')",
                row.target,
                row.SOPInstanceUID,
                row.sha256,
            )
        )

    def sent(self, row: Queued, at: float, remark: str = "") -> None:
        """The target has it; `remark` is what it said beside."""
        self._update(row, "state = 'sent', replaced = 0, sent_at = ?, reason = ?", at, remark)

    def later(
        self, row: Queued, reason: str, at: float, *, unsure: bool, failed: bool = True
    ) -> None:
        """Attempt it at a time; `unsure` where the target may have it in spite of all.

        With `failed` an attempt is counted, without it was never made.
        """
        self._update(
            row,
            "state = ?, reason = ?, next_attempt_at = ?, attempts = attempts + ?",
            SENDING if unsure else WAITING,
            reason,
            at,
            int(failed),
        )

    def refused(self, row: Queued, reason: str) -> None:
        """The target does not take it, and will not until somebody changes something."""
        self._update(row, "state = 'refused', reason = ?", reason)

    def drop(self, row: Queued) -> None:
        """Forget an object that nobody wants any more."""
        self._execute(f"DELETE FROM outbox {_THIS}", row.target, row.SOPInstanceUID)

    def again(self, group: str | None = None) -> int:
        """Let what was refused be attempted as if it were new; how many there are."""
        return self._execute(
            "UPDATE outbox SET state = 'waiting', attempts = 0, next_attempt_at = 0 "
            'WHERE state = \'refused\' AND "group" = ifnull(?, "group")',
            group,
        )

    def hasten(self, group: str | None = None) -> int:
        """Let what waits for its next attempt be due at once; how many there are."""
        return self._execute(
            "UPDATE outbox SET next_attempt_at = 0 "
            "WHERE state IN ('waiting', 'sending') AND \"group\" = ifnull(?, \"group\")",
            group,
        )

    def rows(self, group: str | None = None) -> tuple[Queued, ...]:
        """Everything, or everything of one group, in the order in which it was added."""
        return self._rows('"group" = ifnull(?, "group") ORDER BY rowid', group)

    def summary(self, group: str | None = None) -> Summary:
        """How it stands with everything, or with one group."""
        rows = self.rows(group)
        counts = Counter(row.state for row in rows)
        times = [row.next_attempt_at for row in rows if row.state in (WAITING, SENDING)]
        return Summary(
            counts[WAITING],
            counts[SENDING],
            counts[SENT],
            counts[REFUSED],
            min(times, default=None),
            tuple(row for row in rows if row.state == REFUSED),
        )

    def _rows(self, where: str, *values: object) -> tuple[Queued, ...]:
        names = ", ".join(f'"{name}"' for name in _COLUMNS)
        with _told(self._folder):
            found = self._connection.execute(
                f"SELECT {names} FROM outbox WHERE {where}", values
            ).fetchall()
        named = (dict(zip(_COLUMNS, row, strict=True)) for row in found)
        return tuple(Queued(**{**row, "replaced": bool(row["replaced"])}) for row in named)

    def _update(self, row: Queued, change: str, *values: object) -> None:
        statement = f"UPDATE outbox SET {change} {_THIS}"
        self._execute(statement, *values, row.target, row.SOPInstanceUID)

    def _execute(self, statement: str, *values: object) -> int:
        """One change; how many rows it met."""
        with self.together():
            return self._connection.execute(statement, values).rowcount

    def _relative(self, file: Path) -> str:
        file = file.resolve()
        below = file.is_relative_to(self._folder)
        return (file.relative_to(self._folder) if below else file).as_posix()


@contextmanager
def opened_outbox(file: Path) -> Iterator[Outbox]:
    """The queue in a database file of its own, made where it is absent; closed at the end."""
    with _told(file.parent):
        connection = sqlite3.connect(file, timeout=_BUSY_S, isolation_level=None)
    with contextlib.closing(connection):
        with _told(file.parent):
            connection.execute("PRAGMA synchronous = FULL")
        outbox = Outbox(connection, file.parent)
        outbox.prepare()
        yield outbox


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise CannotWrite(
            f"The queue of deliveries in {folder} cannot be used ({error}): free space there, or "
            "see who else holds it. [outbox]"
        ) from error
