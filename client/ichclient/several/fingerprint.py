"""The files of a study and the wishes it is judged by -> the hash by which it is known again.

Contents count, names and dates do not: a study that was copied or sorted anew is the same.
"""

from __future__ import annotations

import hashlib
import os
import stat
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ichclient.dicom import files_below


def sha256_of_input(path: Path, wishes: str) -> str:
    """SHA-256 over what the files below `path` hold, the wishes, and the version of this client."""
    digest = hashlib.sha256(f"{wishes}\n{_version()}\n".encode())
    for each in sorted(_sha256_of_file(file) for file in files_below(path)):
        digest.update(each)
    return digest.hexdigest()


def _sha256_of_file(file: Path) -> bytes:
    """The hash of a file; of what cannot be read, or is no file, the same for all."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | getattr(os, "O_BINARY", 0))
        with open(descriptor, "rb") as opened:  # noqa: PTH123 - it is a descriptor
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return b""
            return hashlib.file_digest(opened, "sha256").digest()
    except OSError:
        return b""


def _version() -> str:
    try:
        return version("ich-triton")
    except PackageNotFoundError:
        return "unknown"
