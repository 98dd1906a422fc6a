"""A whole file in `incoming/` -> `received/<key>/` and its row, or a reason why not.

The row comes last: it exists only for a file that is in its place and on the disk. A file without
a row is what a killed station left, and is removed when the next one starts.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ichclient.audit.keyed import Pseudonyms
from ichclient.errors import RefusedInput
from ichclient.station.arriving import Arriving
from ichclient.station.identity import arrived_from_file
from ichclient.station.state import Station, StationImage, Taken

MIB, GIB = 1 << 20, 1 << 30


class NoRoom(Exception):
    """An image cannot be kept now; its sender may try again later."""


@dataclass(frozen=True)
class Room:
    """How much a station may keep, and what it leaves free on the disk; sizes in bytes."""

    max_received: int = 100 * GIB
    keep_free: int = 2 * GIB
    max_image: int = 1 * GIB

    def __post_init__(self) -> None:
        """Refuse what would take nothing."""
        if self.max_received < 1 or self.max_image < 1 or self.keep_free < 0:
            raise ValueError("limits must be above 0")


@dataclass(frozen=True)
class Kept:
    """An image that was taken, or was there; `first` says that its study is new."""

    key: str
    taken: Taken
    first: bool


class Shelf:
    """Where images that came are kept; threads may share it."""

    def __init__(
        self, station: Station, pseudonyms: Pseudonyms, room: Room, now: Callable[[], float]
    ) -> None:
        self.room = room
        self._station = station
        self._folder = station.folder
        self._pseudonyms = pseudonyms
        self._now = now
        self._lock = threading.Lock()
        self._received_bytes = station.received_bytes()

    def full(self) -> str | None:
        """Why nothing can be taken now, in a sentence; None where there is room."""
        if self._received_bytes >= self.room.max_received:
            return (
                f"Images that were received take {self._received_bytes / GIB:.1f} GiB, as much as "
                "--max-gib allows: raise it, or let --keep-days remove studies that are done."
            )
        free = shutil.disk_usage(self._folder.path).free
        if free < self.room.keep_free:
            return (
                f"The disk of {self._folder.path} has {free / GIB:.1f} GiB free, and "
                f"--keep-free-gib leaves {self.room.keep_free / GIB:.1f}: free space there."
            )
        return None

    def arriving(self) -> Arriving:
        """A file to receive an image into."""
        return Arriving(self._folder.incoming, self.room.max_image, self.full)

    def take(self, arriving: Arriving, from_ae: str, announced: str | None = None) -> Kept:
        """Keep a whole image; its file is gone from `incoming/` then, whatever happens.

        The same image again changes nothing; one with other bytes (`Taken.OTHER`) is not kept.
        `announced` is the SOPInstanceUID that its sender said it would have.
        Raises NoRoom where the disk does not take it, RefusedInput for what is no CT image.
        """
        arriving.finish()
        try:
            if arriving.problem is None and (reason := self.full()):
                raise NoRoom(reason)
            if arriving.problem is not None:
                raise NoRoom(arriving.problem)
            return self._taken(arriving, from_ae, announced)
        except (OSError, sqlite3.Error) as error:
            told = getattr(error, "strerror", None) or str(error)
            raise NoRoom(f"The disk does not take it ({told}).") from error
        finally:
            arriving.discard()

    def removed(self, count: int) -> None:
        """Bytes of images that are no longer kept."""
        with self._lock:
            self._received_bytes -= count

    def _taken(self, arriving: Arriving, from_ae: str, announced: str | None) -> Kept:
        arrived = arrived_from_file(arriving.path)
        if announced not in (None, arrived.SOPInstanceUID):
            raise RefusedInput("It is another image than was announced. [other_uid]")
        key = self._pseudonyms.of(arrived.identity.StudyInstanceUID)
        there = self._station.image(key, arrived.SOPInstanceUID)
        if there is not None:
            same = there.sha256 == arriving.sha256
            return Kept(key, Taken.SAME if same else Taken.OTHER, first=False)
        size = arriving.path.stat().st_size
        path = _placed(arriving.path, self._folder.images_of(key))
        image = StationImage(
            key, arrived.SOPInstanceUID, path.name, size, arriving.sha256, self._now(), from_ae
        )
        try:
            first = self._station.study(key) is None
            taken = self._station.received(image, arrived.identity)
        except BaseException:
            path.unlink()
            raise
        if taken is not Taken.NEW:  # another association was quicker
            path.unlink()
            return Kept(key, taken, first=False)
        with self._lock:
            self._received_bytes += size
        return Kept(key, taken, first)


def swept(station: Station) -> tuple[int, tuple[str, ...]]:
    """Remove what a killed station left: half files, files without a row, results of nobody.

    Gives how many files went, and the keys of studies of which images are missing.
    """
    folder, removed = station.folder, 0
    for path in folder.incoming.iterdir():
        _remove(path)
        removed += 1
    keys = {study.key for study in station.studies()}
    for study in folder.received.iterdir():
        rows = {image.file for image in station.images(study.name)}
        for path in [path for path in study.iterdir() if path.name not in rows]:
            _remove(path)
            removed += 1
        if not rows:
            study.rmdir()
    for path in (*folder.results.iterdir(), *folder.outbox.iterdir()):
        if path.name not in keys:
            _remove(path)
            removed += 1
    return removed, tuple(key for key in sorted(keys) if missing_images(station, key))


def missing_images(station: Station, key: str) -> int:
    """How many images of a study have a row and no file any more."""
    folder = station.folder.images_of(key)
    there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    return len({image.file for image in station.images(key)} - there)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _placed(path: Path, folder: Path) -> Path:
    """Rename a file into a folder, durably."""
    if not folder.is_dir():
        folder.mkdir(mode=0o700, exist_ok=True)
        _sync_folder(folder.parent)
    placed = folder / f"{secrets.token_hex(16)}.dcm"
    path.rename(placed)
    _sync_folder(folder)
    return placed


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
