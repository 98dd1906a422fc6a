"""Result -> its file, whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks.errors import BenchmarkError


def write_whole(path: Path, text: str) -> None:
    """Write a file whole or not at all; raises BenchmarkError where it cannot be written."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise BenchmarkError(f"{path} cannot be written ({error.strerror}).") from error
