"""Bytes that come -> a file in `incoming/` by a random name, whole and on the disk or gone.

Whatever goes wrong while bytes come is remembered and not raised, because the sender can be told
only when its whole instance has come; the rest is swallowed without being kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import struct
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

_LOOK_EVERY_BYTES = 16 << 20
_PREFIX_BYTES = 132
_META_LENGTH = struct.Struct("<HH2sHI")


class Arriving:
    """A file that is being received; in the end it was taken from its path, or is discarded.

    `full` says why no more may be written now, if so, and is asked again every 16 MiB.
    """

    def __init__(self, folder: Path, max_bytes: int, full: Callable[[], str | None]) -> None:
        self.path = folder / f"{secrets.token_hex(16)}.part"
        self.bytes = 0
        """Bytes of the data set that came, kept or not."""
        self.problem: str | None = None
        """Why it is not kept: a sentence for the log; None as long as all is well."""
        self._max_bytes = max_bytes
        self._full = full
        self._looked_at = -_LOOK_EVERY_BYTES
        self._hash = hashlib.sha256()
        self._file: IO[bytes] | None = None
        self._attempt(self._open)

    @property
    def sha256(self) -> str:
        """Of the data set, without the file meta information before it."""
        return self._hash.hexdigest()

    def head(self, content: bytes) -> None:
        """Write the preamble and file meta information."""
        self._keep(content)

    def write(self, content: bytes) -> int:
        """Write a piece of the data set."""
        self.bytes += len(content)
        if self.bytes > self._max_bytes:
            self._give_up(f"An image has more than {self._max_bytes >> 20} MiB.")
        elif self.bytes - self._looked_at >= _LOOK_EVERY_BYTES:
            self._looked_at = self.bytes
            if reason := self._full():
                self._give_up(reason)
        self._keep(content)
        self._hash.update(content)
        return len(content)

    def finish(self) -> None:
        """Bring everything to the disk; look at `problem` afterwards."""
        self._attempt(self._sync)

    def discard(self) -> None:
        """Close and remove it, if it is still there."""
        file, self._file = self._file, None
        if file is not None:
            self._quietly(file.close)
        self._quietly(lambda: self.path.unlink(missing_ok=True))

    def _open(self) -> None:
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self._file = os.fdopen(descriptor, "wb", buffering=1 << 18)

    def _keep(self, content: bytes) -> None:
        file = self._file
        if file is not None:
            self._attempt(lambda: file.write(content))

    def _sync(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            with file:
                file.flush()
                os.fsync(file.fileno())

    def _attempt(self, action: Callable[[], Any]) -> None:
        try:
            action()
        except OSError as error:
            self._give_up(f"The disk does not take it ({error.strerror}).")

    def _give_up(self, problem: str) -> None:
        self.problem = self.problem or problem
        self.discard()

    @staticmethod
    def _quietly(action: Callable[[], Any]) -> None:
        """A buffer that cannot be flushed is no loss: the file goes."""
        with contextlib.suppress(OSError):
            action()


def data_set_offset(start: bytes) -> int:
    """Where the data set begins in a file that starts so; 0 where it has no file meta information.

    `start` needs the first 144 bytes.
    """
    if start[_PREFIX_BYTES - 4 : _PREFIX_BYTES] != b"DICM":
        return 0
    first = start[_PREFIX_BYTES : _PREFIX_BYTES + _META_LENGTH.size]
    if len(first) < _META_LENGTH.size:
        return 0
    group, element, vr, _, length = _META_LENGTH.unpack(first)
    if (group, element, vr) != (2, 0, b"UL"):
        return _PREFIX_BYTES
    return int(_PREFIX_BYTES + _META_LENGTH.size + length)
