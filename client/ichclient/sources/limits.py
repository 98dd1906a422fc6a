"""How much a study may bring in, and the private folder that takes it in file by file.

Archives and servers are not to be believed: names cannot leave the folder, nothing is written over
anything, and bytes are counted as they come, whatever was announced.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import IO

from ichclient.errors import CannotWrite, RefusedInput

CHUNK_BYTES = 1 << 20
MIB = 1 << 20
# Below this much an archive may be of any ratio: a file of zeros is small and harmless.
_FREE_BYTES = 64 * MIB
_LONGEST_PART_BYTES = 255
_LONGEST_NAME_BYTES = 2000


@dataclass(frozen=True)
class Limits:
    """What one study may bring: files, bytes, and bytes unpacked for each packed byte."""

    max_files: int = 20_000
    max_bytes: int = 8 << 30
    max_ratio: int = 100

    def __post_init__(self) -> None:
        """A limit of nothing would refuse every study."""
        if min(self.max_files, self.max_bytes, self.max_ratio) < 1:
            raise ValueError("limits must be at least 1")

    def bytes_from_archive(self, packed_bytes: int) -> int:
        """How many bytes an archive of `packed_bytes` may unpack to."""
        return min(self.max_bytes, max(_FREE_BYTES, self.max_ratio * packed_bytes))


@dataclass
class Intake:
    """A folder that takes in the files of the study called `name`, up to the limits.

    Safe to share between threads. Raises RefusedInput for a name that is not safe, a second file
    of the same name, and what is over a limit; CannotWrite where the disk does not take it.
    """

    folder: Path
    name: str
    limits: Limits
    byte_limit: int
    taken_files: int = 0
    taken_bytes: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def write(self, relative: str, chunks: Iterable[bytes]) -> None:
        """Write one file; of a file that fails nothing is left, and nothing is counted."""
        path = self.folder / safe_relative(relative, self.name)
        self.count()
        size = 0
        try:
            with self._new_file(path, relative) as file:
                for chunk in chunks:
                    size += len(chunk)
                    self.grow(len(chunk))
                    _write_whole(file, chunk)
        except BaseException:
            with self._lock:
                self.taken_files -= 1
                self.taken_bytes -= size
            raise

    def count(self) -> None:
        """Count one file or folder more."""
        with self._lock:
            self.taken_files += 1
        if self.taken_files > self.limits.max_files:
            raise RefusedInput(
                f"{self.name} holds more than {self.limits.max_files} files. Give one study, or "
                "raise --max-files. [too_many_files]"
            )

    def grow(self, count: int) -> None:
        """Count bytes that come."""
        with self._lock:
            self.taken_bytes += count
        refuse_beyond(self.taken_bytes, self.byte_limit, self.limits, self.name)

    @contextmanager
    def _new_file(self, path: Path, relative: str) -> Iterator[FileIO]:
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except (FileExistsError, NotADirectoryError) as error:
            raise RefusedInput(
                f"{self.name} names {relative!r} twice, so which file is meant is unknown. Pack "
                "the study again. [unsafe_archive]"
            ) from error
        except OSError as error:
            raise _cannot_write(error) from error
        try:
            with FileIO(descriptor, "w") as file:
                yield file
        except BaseException:
            path.unlink(missing_ok=True)
            raise


def safe_relative(name: str, archive: str) -> str:
    """A member's name as a path that stays below its folder; backslashes separate folders."""
    # A name that is no UTF-8 could not be written into a result.
    parts = [part for part in name.replace("\\", "/").split("/") if part != "."]
    clean = [part.encode("utf-8", "replace").decode() for part in parts]
    unsafe = (
        not any(clean)
        or "" in clean
        or ".." in clean
        or "\0" in name
        or re.match(r"[A-Za-z]:", name) is not None
        or len("/".join(clean).encode()) > _LONGEST_NAME_BYTES
        or any(len(part.encode()) > _LONGEST_PART_BYTES for part in clean)
    )
    if unsafe:
        raise RefusedInput(
            f"{archive} holds a file named {name[:200]!r}, which would not stay in its folder or "
            "is no file name. Do not trust it; pack the study again. [unsafe_archive]"
        )
    return "/".join(clean)


def refuse_beyond(count: int, limit: int, limits: Limits, name: str) -> None:
    """Raise RefusedInput where `count` bytes are more than a study may bring."""
    if count <= limit:
        return
    if limit < limits.max_bytes:
        raise RefusedInput(
            f"{name} unpacks to more than {limits.max_ratio} times its size. If it can be trusted, "
            "raise --max-ratio. [unsafe_archive]"
        )
    raise RefusedInput(
        f"{name} holds more than {limit / MIB:.0f} MiB. Give one study, or raise --max-mib. "
        "[too_large]"
    )


def chunks_from_file(file: IO[bytes]) -> Iterator[bytes]:
    """The rest of an open file in pieces."""
    while chunk := file.read(CHUNK_BYTES):
        yield chunk


def _write_whole(file: FileIO, chunk: bytes) -> None:
    rest = memoryview(chunk)
    try:
        while rest:
            rest = rest[file.write(rest) :]
    except OSError as error:
        raise _cannot_write(error) from error


def _cannot_write(error: OSError) -> CannotWrite:
    reason = error.strerror or type(error).__name__
    return CannotWrite(
        f"The study cannot be put into a temporary folder ({reason}): free space there, or name "
        "another folder in the environment variable TMPDIR."
    )
