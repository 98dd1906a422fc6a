"""Starts of servers that judged every golden slice as recorded -> what this user need not repeat.

A server says which start of it answers (`START`). Where a command has proven that start with all
golden slices, the next command proves it with one of them. The file holds digests and no address;
one that is absent, unreadable, of another form or open to others is as good as empty, and one that
cannot be written costs the next command some time: nothing is trusted for a failure here.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from pathlib import Path

_FILE = "proven.json"
_KEPT = 256
_WRITABLE_BY_OTHERS = 0o022


class ProvenStarts:
    """Digests of proven starts in a file of `folder`, the latest last."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / _FILE

    def knows(self, digest: str) -> bool:
        """Whether this start was proven before."""
        return digest in self._read()

    def add(self, digest: str) -> None:
        """Keep that it was proven; two that write at once may lose one of theirs."""
        kept = [known for known in self._read() if known != digest][-_KEPT + 1 :]
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            # Not by output.py, whose files others may read.
            with tempfile.NamedTemporaryFile("w", dir=self._path.parent, delete=False) as file:
                part = Path(file.name)
                try:
                    json.dump([*kept, digest], file)
                    file.flush()
                    part.replace(self._path)
                finally:
                    part.unlink(missing_ok=True)

    def _read(self) -> list[str]:
        try:
            with self._path.open(encoding="utf-8") as file:
                told = os.fstat(file.fileno())
                if told.st_uid != os.getuid() or told.st_mode & _WRITABLE_BY_OTHERS:
                    return []
                found = json.load(file)
        except (OSError, ValueError, RecursionError):
            return []
        return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []
