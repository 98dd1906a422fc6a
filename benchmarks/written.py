"""Result -> stdout, and its file, whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

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


def hand_over(
    document: dict[str, Any], table: Callable[[Any], object], *, as_json: bool, out: Path | None
) -> None:
    """Print a result as JSON or as its table, and write its file if there is one."""
    text = json.dumps(document, indent=2, allow_nan=False) + "\n"
    if as_json:
        click.echo(text, nl=False)
    else:
        table(document)
    if out is not None:
        write_whole(out, text)
