"""Events -> audit.jsonl: one line each, behind the newest, on the disk before the call returns.

Several processes may write: each line is written under a lock. No line holds what says who a
patient is; a UID in a text becomes its keyed hash.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from ichclient.audit.chain import (
    BEFORE,
    HEAD_FILE,
    LOG_FILE,
    OF_THE_CHAIN,
    TORN_FILE,
    Fact,
    Head,
    line_from_values,
    read_head,
    values_from_line,
    write_head,
)
from ichclient.audit.keyed import KEY_FILE, Pseudonyms
from ichclient.errors import AuditBroken, BadAccess, CannotWrite

MAX_TEXT = 2000
"""Characters of one fact; what is longer is cut."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_UID = re.compile(r"\d+(?:\.\d+){5,}")
_TAIL_BYTES = 1 << 16


class AuditLog:
    """The audit log of a station's folder; it keeps no file open and may be used by any thread."""

    def __init__(self, folder: Path) -> None:
        """Read the key (made if there is none) and look whether the log can go on.

        Raises AuditBroken for a log that was changed at its end, CannotWrite, BadAccess.
        """
        self._folder = folder
        key = folder / KEY_FILE
        if not key.exists() and self._path.exists() and self._path.stat().st_size:
            raise BadAccess(
                f"{key} is gone, and {self._path} was written with it: bring it back. With a new "
                "key no line could be verified, and every study would be another one."
            )
        self._pseudonyms = Pseudonyms.of_folder(folder)
        with _locked(self._path) as descriptor:
            self._tail(descriptor)

    @property
    def _path(self) -> Path:
        return self._folder / LOG_FILE

    def write(self, event: str, **facts: Fact) -> None:
        """Append an event with its facts.

        Raises AuditBroken where the end of the log was changed, CannotWrite where nothing can be
        written; the log is then as it was.
        """
        for name in (event, *facts):
            if not _NAME.fullmatch(name) or name in OF_THE_CHAIN:
                raise ValueError(f"'{name}' can be no name in the audit log.")
        values = {name: self._readable(value) for name, value in facts.items()}
        with _locked(self._path) as descriptor:
            head, torn = self._tail(descriptor)
            if torn:
                self._set_aside(descriptor, torn)
                told: dict[str, Fact] = {
                    "bytes": len(torn),
                    "sha256": hashlib.sha256(torn).hexdigest(),
                }
                head = self._append(descriptor, head, "torn", told)
            self._append(descriptor, head, event, values)

    def _append(self, descriptor: int, head: Head, event: str, facts: dict[str, Fact]) -> Head:
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        values = {**facts, "n": head.n + 1, "at": at, "event": event, "previous": head.hash}
        line, newest = line_from_values(values, self._pseudonyms)
        end = os.lseek(descriptor, 0, os.SEEK_END)
        content = f"{line}\n".encode("ascii")
        try:
            if os.write(descriptor, content) < len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fdatasync(descriptor)
            write_head(self._folder, newest, self._pseudonyms)
        except OSError:
            os.ftruncate(descriptor, end)
            raise
        return newest

    def _tail(self, descriptor: int) -> tuple[Head, bytes]:
        """The newest whole line as a head, and the bytes of a torn line behind it."""
        size = os.lseek(descriptor, 0, os.SEEK_END)
        block = _TAIL_BYTES
        while True:
            start = max(0, size - block)
            content = os.pread(descriptor, size - start, start)
            whole, _, torn = content.rpartition(b"\n")
            if start == 0 or b"\n" in whole:
                break
            block *= 4
        newest = BEFORE
        if whole:
            values = values_from_line(whole.rpartition(b"\n")[2])
            if values is None or not self._pseudonyms.is_seal(values["seal"], values["hash"]):
                raise self._broken("its last line was changed")
            newest = Head(values["n"], values["hash"])
        head = read_head(self._folder, self._pseudonyms)
        if head is None:
            raise self._broken(f"{HEAD_FILE} was changed")
        if head.n > newest.n or (head.n == newest.n and head != newest):
            raise self._broken(f"it ends at line {newest.n}, and had {head.n}")
        if newest.n - head.n > 1:
            raise self._broken(f"{HEAD_FILE} is missing or an old one")
        return newest, torn

    def _set_aside(self, descriptor: int, torn: bytes) -> None:
        """Move what a crash left of a line out of the log."""
        aside = os.open(self._folder / TORN_FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(aside, torn + b"\n")
            os.fsync(aside)
        finally:
            os.close(aside)
        os.ftruncate(descriptor, os.lseek(descriptor, 0, os.SEEK_END) - len(torn))

    def _readable(self, value: Fact) -> Fact:
        """A fact as it may stand in the log."""
        if not isinstance(value, str):
            return value
        return _UID.sub(lambda uid: self._pseudonyms.of(uid.group()), value)[:MAX_TEXT]

    def _broken(self, why: str) -> AuditBroken:
        return AuditBroken(
            f"{self._path} cannot go on: {why}. Look with 'ichclient audit verify', keep "
            f"{LOG_FILE} and {HEAD_FILE} elsewhere as evidence, and a new log begins."
        )


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    """The log, open and held by one writer at a time; a failure becomes one sentence."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
        finally:
            os.close(descriptor)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise CannotWrite(f"{path} cannot be written ({reason}).") from error
