"""Studies and images in SQLite, and every way in which a study goes on: one transaction each.

    receiving -> waiting -> judging -> judged | refused | failed
        ^                      |
        +-- further images ----+--- a rerun, a pause before the next attempt: waiting

Times are given by the caller, in seconds since 1970, so that nothing here waits on a clock.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple
from enum import Enum

from ichclient.errors import NothingFound
from ichclient.station.folder import StationFolder
from ichclient.station.schema import connection_to_read, connection_to_write, transaction
from ichclient.station.studies import (
    Identity,
    Outcome,
    Phase,
    StationImage,
    StationStudy,
    image_from_row,
    study_from_row,
)

__all__ = ["Identity", "Outcome", "Phase", "Station", "StationImage", "StationStudy", "Taken"]


class Taken(Enum):
    """What became of an image that came."""

    NEW = "new"
    SAME = "same"
    """It was there already, with the same bytes."""
    OTHER = "other"
    """One of this SOPInstanceUID was there with other bytes, which stay."""


class Station:
    """The state of a station; threads may share it. `reading` opens it so that nothing changes."""

    def __init__(self, folder: StationFolder, *, read_only: bool = False) -> None:
        """Raises StationError for a file that is no station's, or of another version."""
        opened = connection_to_read if read_only else connection_to_write
        self.folder = folder
        self._connection = opened(folder.database)
        self._lock = threading.RLock()

    @classmethod
    def reading(cls, folder: StationFolder) -> Station:
        """The same, to look at only, also while another process writes."""
        return cls(folder, read_only=True)

    def __enter__(self) -> Station:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    # What there is.

    def studies(self, *phases: Phase) -> tuple[StationStudy, ...]:
        """Every study in one of these phases, all without one, the first received first."""
        where = f"WHERE phase IN ({','.join('?' * len(phases))})" if phases else ""
        rows = self._all(f"SELECT * FROM study {where} ORDER BY received_at, key", *phases)
        return tuple(map(study_from_row, rows))

    def study(self, key: str) -> StationStudy | None:
        """The study of that key."""
        rows = self._all("SELECT * FROM study WHERE key = ?", key)
        return study_from_row(rows[0]) if rows else None

    def images(self, key: str) -> tuple[StationImage, ...]:
        """The images of a study, the first received first."""
        rows = self._all("SELECT * FROM image WHERE key = ? ORDER BY received_at, file", key)
        return tuple(map(image_from_row, rows))

    def holds(self, key: str, file: str) -> bool:
        """Whether a file of a study has its row."""
        return bool(self._all("SELECT 1 FROM image WHERE key = ? AND file = ?", key, file))

    def image(self, key: str, SOPInstanceUID: str) -> StationImage | None:
        """An image of a study."""
        rows = self._all(
            "SELECT * FROM image WHERE key = ? AND SOPInstanceUID = ?", key, SOPInstanceUID
        )
        return image_from_row(rows[0]) if rows else None

    def received_bytes(self) -> int:
        """Bytes of all images that are kept."""
        return int(self._all("SELECT coalesce(sum(bytes), 0) AS n FROM image")[0]["n"])

    # What comes in.

    def received(self, image: StationImage, identity: Identity) -> Taken:
        """Note an image whose file lies in its place; a study is made of its first one.

        Images of a study that is being judged, or was, begin its next generation.
        """
        with self.together():
            there = self.image(image.key, image.SOPInstanceUID)
            if there is not None:
                return Taken.SAME if there.sha256 == image.sha256 else Taken.OTHER
            at = image.received_at
            self._connection.execute(
                "INSERT INTO study (key, StudyInstanceUID, PatientName, PatientID, "
                "AccessionNumber, StudyDate, StudyTime, StudyDescription, phase, received_at, "
                "last_image_at, images, generation, generation_at) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'receiving', ?, ?, 0, 1, ?) "
                "ON CONFLICT (key) DO NOTHING",
                (image.key, *astuple(identity), at, at, at),
            )
            self._connection.execute(
                "INSERT INTO image VALUES (?, ?, ?, ?, ?, ?, ?)", astuple(image)
            )
            # A study that waits is received further: its quiet time begins again.
            self._connection.execute(
                """
                UPDATE study SET images = images + 1, last_image_at = max(last_image_at, :at),
                    generation = generation + (generation = judging_generation),
                    generation_at = iif(generation = judging_generation, :at, generation_at),
                    attempts = iif(phase = 'judging', attempts, 0),
                    next_attempt_at = iif(phase = 'judging', next_attempt_at, 0),
                    phase = iif(phase = 'judging', phase, 'receiving')
                WHERE key = :key
                """,
                {"key": image.key, "at": at},
            )
            return Taken.NEW

    def complete(self, now: float, quiet_s: float, longest_wait_s: float) -> tuple[str, ...]:
        """Studies without an image for `quiet_s` wait from now on, or after `longest_wait_s`."""
        with self.together():
            rows = self._all(
                "UPDATE study SET phase = 'waiting', waiting_at = :now WHERE phase = 'receiving' "
                "AND (last_image_at <= :now - :quiet_s OR generation_at <= :now - :longest_s) "
                "RETURNING key",
                {"now": now, "quiet_s": quiet_s, "longest_s": longest_wait_s},
            )
        return tuple(row["key"] for row in rows)

    def seen(self) -> dict[str, tuple[int, int]]:
        """Of a watched folder: size and mtime in ns with which each file was looked at."""
        rows = self._all("SELECT * FROM seen")
        return {row["path"]: (row["bytes"], row["modified_ns"]) for row in rows}

    def saw(self, path: str, size: int, modified_ns: int) -> None:
        """A file of a watched folder needs no second look while it stays as it is."""
        with self.together():
            self._all("INSERT OR REPLACE INTO seen VALUES (?, ?, ?)", path, size, modified_ns)

    def gone(self, path: str) -> None:
        """A file is no longer in its watched folder."""
        with self.together():
            self._all("DELETE FROM seen WHERE path = ?", path)

    # What is judged.

    def begin(self, now: float) -> StationStudy | None:
        """The study whose turn it is, being judged from now on: first come, first served."""
        with self.together():
            rows = self._all(
                "UPDATE study SET phase = 'judging', judging_generation = generation, "
                "attempts = attempts + 1 WHERE key = (SELECT key FROM study WHERE "
                "phase = 'waiting' AND next_attempt_at <= ? "
                "ORDER BY waiting_at, last_image_at, key LIMIT 1) RETURNING *",
                now,
            )
        return study_from_row(rows[0]) if rows else None

    def judged(self, key: str, outcome: Outcome, now: float) -> None:
        """A study was judged; if images came meanwhile, it is received further."""
        self._ended(
            key, Phase.JUDGED, judged_at=now, judged_generation=self._judging(key),
            study_score=outcome.study_score, decisions=json.dumps(dict(outcome.decisions)),
            lesion_volume_ml=outcome.lesion_volume_ml, top_finding=outcome.top_finding,
            top_finding_score=outcome.top_finding_score, reason_code=None, reason=None,
        )  # fmt: skip

    def refused(self, key: str, code: str, reason: str, now: float) -> None:
        """A study must not be judged; what an earlier generation was given no longer counts."""
        self._ended(
            key, Phase.REFUSED, judged_at=now, judged_generation=self._judging(key),
            study_score=None, decisions="{}", lesion_volume_ml=None, top_finding=None,
            top_finding_score=None, reason_code=code, reason=reason,
        )  # fmt: skip

    def failed(self, key: str, code: str, reason: str) -> None:
        """A study could not be judged, and nobody tries again by himself; what it had stays."""
        self._ended(key, Phase.FAILED, reason_code=code, reason=reason)

    def later(self, key: str, code: str, reason: str, at: float) -> None:
        """A study could not be judged now, and is tried again at a time."""
        self._set(
            key, "phase = 'waiting', next_attempt_at = :at, reason_code = :code, reason = :reason",
            at=at, code=code, reason=reason,
        )  # fmt: skip

    def put_back(self, key: str) -> None:
        """A study was not judged because the station stops: no attempt was made."""
        self._set(key, "phase = 'waiting', attempts = max(attempts - 1, 0)")

    def found_judging(self, most_attempts: int) -> tuple[str, ...]:
        """After a start: what a station that was killed was judging waits again.

        One that was under way at every one of its attempts is failed: it may be what kills.
        """
        with self.together():
            self._all(
                "UPDATE study SET phase = 'failed', reason_code = 'station_ended', "
                "reason = 'The station ended while it judged this study, at ' || attempts || "
                "' attempts. See what ends it, then: ichclient rerun ' || key "
                "WHERE phase = 'judging' AND attempts >= ?",
                most_attempts,
            )
            rows = self._all(
                "UPDATE study SET phase = 'waiting' WHERE phase = 'judging' RETURNING key"
            )
        return tuple(row["key"] for row in rows)

    def rerun(self, key: str, now: float) -> StationStudy:
        """Have a study judged once more, or now if it waits for images; in its turn.

        Raises NothingFound for a key that the station does not have.
        """
        with self.together():
            # One that is being judged becomes a generation more, and is judged again after it.
            rows = self._all(
                "UPDATE study SET generation = generation + (generation = judging_generation), "
                "generation_at = iif(generation = judging_generation, :now, generation_at), "
                "phase = iif(phase = 'judging', phase, 'waiting'), waiting_at = :now, "
                "attempts = iif(phase = 'judging', attempts, 0), next_attempt_at = 0 "
                "WHERE key = :key RETURNING *",
                {"key": key, "now": now},
            )
        if not rows:
            raise NothingFound(f"The station at {self.folder.path} has no study {key}.")
        return study_from_row(rows[0])

    def forget(self, key: str) -> None:
        """Remove a study and its images from the state."""
        with self.together():
            self._connection.execute("DELETE FROM image WHERE key = ?", (key,))
            self._connection.execute("DELETE FROM study WHERE key = ?", (key,))

    def _judging(self, key: str) -> int:
        study = self.study(key)
        return study.judging_generation if study else 0

    def _ended(self, key: str, phase: Phase, **values: object) -> None:
        setters = ", ".join(f"{name} = :{name}" for name in values)
        self._set(
            key, "phase = iif(generation > judging_generation, 'receiving', :phase), "
            "attempts = iif(generation > judging_generation, 0, attempts), next_attempt_at = 0, "
            f"{setters}",
            phase=phase, **values,
        )  # fmt: skip

    def _set(self, key: str, setters: str, **values: object) -> None:
        with self.together():
            self._connection.execute(
                f"UPDATE study SET {setters} WHERE key = :key AND phase = 'judging'",
                {"key": key, **values},
            )

    def _all(self, statement: str, *values: object) -> list[sqlite3.Row]:
        given = values[0] if values and isinstance(values[0], dict) else values
        with self._lock:
            return self._connection.execute(statement, given).fetchall()

    @contextmanager
    def together(self) -> Iterator[sqlite3.Connection]:
        """All arrows of the block as one, and whatever is done with the connection within it."""
        with self._lock:
            if self._connection.in_transaction:
                yield self._connection
            else:
                with transaction(self._connection):
                    yield self._connection
