"""Repository folder -> MANIFEST.sha256, in the format of `sha256sum`."""

from __future__ import annotations

import hashlib
from pathlib import Path

MANIFEST_FILE = "MANIFEST.sha256"


def sha256_from_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def manifest_from_repository(repository: Path) -> str:
    """One line per file, sorted by path; bytecode caches and the manifest itself are left out."""
    files = sorted(
        path
        for path in repository.rglob("*")
        if path.is_file() and path.name != MANIFEST_FILE and "__pycache__" not in path.parts
    )
    return "".join(
        f"{sha256_from_file(path)}  {path.relative_to(repository).as_posix()}\n" for path in files
    )
