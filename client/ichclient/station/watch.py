"""A folder that other programs write into -> the shelf: whatever has come to rest is copied.

A file is taken when its size and time have stood still and its pixels are all there, so a copy
that is under way is left alone. Nothing in the folder is changed, unless it is to be removed.
"""

from __future__ import annotations

import os
import stat
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ichclient.dicom import headers_from_path
from ichclient.errors import NothingFound, RefusedInput, StationError
from ichclient.headers import SliceHeader
from ichclient.sources.storage import PLAIN
from ichclient.station.arriving import data_set_offset
from ichclient.station.events import Events
from ichclient.station.run import Running
from ichclient.station.shelf import NoRoom, Shelf
from ichclient.station.state import Station, Taken

_CHUNK_BYTES = 1 << 20
_START_BYTES = 256
_TAIL_BYTES = 1 << 16
_END_OF_SEQUENCE = b"\xfe\xff\xdd\xe0\x00\x00\x00\x00"
_DEFLATED = "1.2.840.10008.1.2.1.99"
_BIG_ENDIAN = "1.2.840.10008.1.2.2"
_FROM = "watch"


@dataclass(frozen=True)
class WatchOptions:
    """How a folder is watched: a file has come to rest after `still_s` seconds."""

    folder: Path
    still_s: float = 5.0
    look_every_s: float = 2.0
    remove: bool = False


class Watch:
    """Looks at a folder again and again."""

    def __init__(
        self, options: WatchOptions, station: Station, shelf: Shelf, events: Events,
        stopping: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._options = options
        self._station = station
        self._shelf = shelf
        self._events = events
        self._stopping = stopping
        self._clock = clock
        self._seen = station.seen()
        self._resting: dict[str, tuple[tuple[int, int], float]] = {}
        self._told = ""

    def look(self) -> None:
        """Take what has come to rest since the last look."""
        came: Counter[str] = Counter()
        problem = False
        there = {name: (path, is_now) for name, path, is_now in _files_below(self._options.folder)}
        self._forget(there.keys())
        for name, (path, is_now) in there.items():
            if self._stopping():
                break
            if self._seen.get(name) == is_now or not self._rests(name, is_now):
                continue
            try:
                code = self._taken(path, is_now)
            except NoRoom as error:
                problem = True
                self._tell_once("no_room", str(error))
                break
            except OSError as error:  # it is gone, or may not be read yet
                problem = True
                self._tell_once("unreadable", error.strerror or type(error).__name__)
                continue
            came[code] += 1
            if code == "not_whole":
                self._resting[name] = (is_now, self._clock())
                continue
            self._seen[name] = is_now
            self._station.saw(name, *is_now)
        self._told = self._told if problem else ""
        if came.keys() - {"not_whole"}:
            self._events.told("watched", **came)

    def _forget(self, there: Collection[str]) -> None:
        """Forget files that are gone; a folder without any known file may be a share that is."""
        self._resting = {name: rest for name, rest in self._resting.items() if name in there}
        gone = self._seen.keys() - there
        if len(gone) < len(self._seen):
            for name in gone:
                self._station.gone(name)
                del self._seen[name]

    def _rests(self, name: str, is_now: tuple[int, int]) -> bool:
        before, since = self._resting.get(name, (None, 0.0))
        if before != is_now:
            self._resting[name] = (is_now, self._clock())
            return self._options.still_s == 0
        return self._clock() - since >= self._options.still_s

    def _taken(self, path: Path, is_now: tuple[int, int]) -> str:
        """What became of a file."""
        try:
            (header, *_) = headers_from_path(path).headers
        except NothingFound:
            return "not_dicom"
        if not header.is_ct_image:
            return "not_ct"
        if not is_whole(header):
            return "not_whole"
        arriving = self._shelf.arriving()
        try:
            with path.open("rb") as file:
                start = file.read(_START_BYTES)
                offset = data_set_offset(start)
                file.seek(0)
                arriving.head(file.read(offset))
                while chunk := file.read(_CHUNK_BYTES):
                    arriving.write(chunk)
            if _state_of(path.lstat()) != is_now:
                return "not_whole"
            kept = self._shelf.take(arriving, _FROM)
        except RefusedInput as error:
            return error.code
        finally:
            arriving.discard()
        if kept.taken is Taken.OTHER:
            self._events.told("other_bytes", key=kept.key, peer=_FROM)
            return "other_bytes"
        if self._options.remove:
            path.unlink()
        return "images" if kept.taken is Taken.NEW else "there_already"

    def _tell_once(self, event: str, reason: str) -> None:
        if self._told != event:
            self._told = event
            self._events.told(event, reason=reason)


@contextmanager
def watching(options: WatchOptions, running: Running) -> Iterator[None]:
    """Look again and again as long as the block lasts."""
    ended = threading.Event()
    watch = Watch(options, running.station, running.shelf, running.events, ended.is_set)

    def look() -> None:
        told = False
        while not ended.wait(options.look_every_s):
            try:
                watch.look()
                told = False
            except Exception as error:  # a share that is away comes back; a bug is told as one
                if not told:
                    running.events.say("folder_not_read", error=type(error).__name__)
                told = True

    thread = threading.Thread(target=look, name="ichclient-watch")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def refuse_folder(folder: Path, state: Path) -> None:
    """Raise StationError for what is no folder, and where folder and station hold each other."""
    if not folder.is_dir():
        raise StationError(f"There is no folder {folder} to watch.")
    watched, own = folder.resolve(), state.resolve()
    if watched.is_relative_to(own) or own.is_relative_to(watched):
        raise StationError(
            f"{folder} and the station at {state} lie within each other: name another with --state."
        )


def is_whole(header: SliceHeader) -> bool:
    """Whether a file holds all of its pixels, as far as its size and its end say."""
    if not header.pixel_offset or header.TransferSyntaxUID == _DEFLATED:
        return True
    if header.TransferSyntaxUID in (*PLAIN, _BIG_ENDIAN):
        bits = header.BitsAllocated or 16
        pixels = (header.Rows or 0) * (header.Columns or 0) * header.NumberOfFrames
        needed = pixels * header.SamplesPerPixel * bits // 8
        return header.file_bytes >= header.pixel_offset + needed
    with header.path.open("rb") as file:
        file.seek(max(0, header.file_bytes - _TAIL_BYTES))
        return _END_OF_SEQUENCE in file.read()


def _files_below(folder: Path) -> Iterator[tuple[str, Path, tuple[int, int]]]:
    """Regular files, none hidden: name within the folder, path, state; links are not followed."""
    for where, folders, names in os.walk(folder, onerror=_raised):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for path in [Path(where) / name for name in names if not name.startswith(".")]:
            try:
                status = path.lstat()
            except FileNotFoundError:
                continue
            if stat.S_ISREG(status.st_mode):
                name = path.relative_to(folder).as_posix()
                # A name that is no UTF-8 could not be kept as a text.
                yield os.fsencode(name).decode(errors="backslashreplace"), path, _state_of(status)


def _raised(error: OSError) -> None:
    raise error


def _state_of(status: os.stat_result) -> tuple[int, int]:
    return status.st_size, status.st_mtime_ns
