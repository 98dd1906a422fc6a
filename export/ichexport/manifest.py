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


def altered_files(repository: Path) -> dict[str, str]:
    """What is wrong with every file that is altered, missing or not listed, sorted by path."""
    listed, told = {}, {}
    manifest = repository / MANIFEST_FILE
    text = manifest.read_text(errors="replace") if manifest.is_file() else ""
    for number, line in enumerate(text.splitlines(), start=1):
        digest, separator, path = line.partition("  ")
        if separator:
            listed[path] = digest
        else:
            told[MANIFEST_FILE] = f"cannot be read at line {number}"
    lines = manifest_from_repository(repository).splitlines()
    present = {path: digest for digest, _, path in (line.partition("  ") for line in lines)}
    for path in listed.keys() | present.keys():
        if path not in present:
            told[path] = "is missing"
        elif path not in listed:
            told[path] = "is not listed"
        elif present[path] != listed[path]:
            told[path] = "is altered"
    return dict(sorted(told.items()))
