"""station.key -> keyed hashes: names for studies and senders that tell nobody who they are.

A plain hash of a UID can be found by trying all UIDs that somebody knows; with a key of 32 random
bytes that stays on the station it cannot.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from ichclient.errors import BadAccess, CannotWrite

KEY_FILE = "station.key"
KEY_BYTES = 32
HASH_DIGITS = 20
"""Of a keyed hash: 80 bits, so that a million studies do not meet by chance."""


@dataclass(frozen=True)
class Pseudonyms:
    """The station's key and what is made with it; it never shows itself."""

    key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        """Refuse a key that is none."""
        if len(self.key) != KEY_BYTES:
            raise BadAccess(f"A station's key has {KEY_BYTES} bytes, this one {len(self.key)}.")

    @classmethod
    def of_folder(cls, folder: Path) -> Pseudonyms:
        """The key in `folder`, made there (0600) if there is none.

        Raises BadAccess for a file that is no key, CannotWrite where none can be made.
        """
        path = folder / KEY_FILE
        if not path.exists():
            _make(path)
        return cls.read(folder)

    @classmethod
    def read(cls, folder: Path) -> Pseudonyms:
        """The key in `folder`; BadAccess where there is none, or others may read it."""
        path = folder / KEY_FILE
        try:
            with path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                key = file.read(KEY_BYTES + 1)
        except OSError as error:
            raise BadAccess(f"{path} cannot be read ({error.strerror}).") from error
        if mode & 0o077:
            raise BadAccess(f"{path} can be read by others: chmod 600 {path}.")
        if len(key) != KEY_BYTES:
            raise BadAccess(f"{path} is no key of a station: it must have {KEY_BYTES} bytes.")
        return cls(key)

    def of(self, text: str) -> str:
        """The keyed hash of an identifier: 20 hexadecimal digits, the same on every call."""
        return self._hash(text.encode("utf-8", "surrogatepass"))[:HASH_DIGITS]

    def seal(self, text: str) -> str:
        """64 hexadecimal digits that show that whoever wrote `text` had the key."""
        return self._hash(b"\0seal\0" + text.encode())

    def is_seal(self, seal: str, text: str) -> bool:
        """Whether `seal` was made of `text` with this key."""
        return hmac.compare_digest(seal.encode("utf-8", "replace"), self.seal(text).encode())

    def _hash(self, content: bytes) -> str:
        return hmac.new(self.key, content, hashlib.sha256).hexdigest()


def _make(path: Path) -> None:
    """Put a new key into place in one step; one that another process put there first stays."""
    waiting = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    try:
        descriptor = os.open(waiting, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(descriptor, secrets.token_bytes(KEY_BYTES))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        try:
            os.link(waiting, path)
        except FileExistsError:
            pass
        finally:
            waiting.unlink()
    except OSError as error:
        raise CannotWrite(f"{path} cannot be made ({error.strerror}).") from error
