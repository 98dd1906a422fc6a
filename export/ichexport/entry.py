"""Engines and their build records in a repository: read, and placed only when they were proven."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ichcore.wire import build_record_file
from ichexport.errors import IchExportError
from ichexport.files import written_whole
from ichexport.targets import ONNX_FILE
from ichexport.versions import version_folder

RELEASE_COMMAND = "ichexport release RUN --repository REPOSITORY"
"""What repeats the making of a released graph, and the proof of what serves it."""


@dataclass(frozen=True)
class Proven:
    """An engine that may be placed, with its record.

    `engine` lies in a scratch folder, or is the released graph where that is served as it is.
    """

    model: str
    engine: Path
    engine_file: str
    record: dict[str, Any]


def graph_of(repository: Path, name: str) -> Path:
    """Where a model's released graph of the current version lies."""
    return version_folder(repository, name) / ONNX_FILE


def released_record(repository: Path, name: str) -> dict[str, Any]:
    """The build record of a released graph; raises `IchExportError` where there is none."""
    path = graph_of(repository, name).with_name(build_record_file(ONNX_FILE))
    try:
        return dict(json.loads(path.read_bytes()))
    except (OSError, TypeError, ValueError) as error:
        raise IchExportError(
            f"{path} is no build record ({error}); run `ichexport release`."
        ) from error


@contextmanager
def scratch_in(repository: Path) -> Iterator[Path]:
    """A folder beside the repository, so that what is built there moves into it in one step."""
    with tempfile.TemporaryDirectory(dir=repository.parent, prefix=".build-") as scratch:
        yield Path(scratch)


def place(repository: Path, proven: Proven) -> None:
    """Put an engine and its record in place; a graph served as it is keeps its own record."""
    at = graph_of(repository, proven.model).with_name(proven.engine_file)
    record = proven.record
    if proven.engine == at:
        served = {name: record[name] for name in ("layers", "parity", "versions", "command")}
        note_served(at, f"{record['target']} {record['precision']}", served)
    else:
        proven.engine.replace(at)
        write_record(at, record)


def note_served(graph: Path, how: str, served: Mapping[str, Any]) -> None:
    """Add to a released graph's record how a runtime serves it as it is."""
    released = dict(json.loads(graph.with_name(build_record_file(graph.name)).read_bytes()))
    write_record(graph, {**released, "served": {**released.get("served", {}), how: served}})


def write_record(engine: Path, record: Mapping[str, Any]) -> None:
    """Write the build record beside an engine, whole or not at all."""
    written_whole(engine.with_name(build_record_file(engine.name)), record_bytes(record))


def record_bytes(record: Mapping[str, Any]) -> bytes:
    """A build record as it is written."""
    return (json.dumps(record, indent=2, sort_keys=True) + "\n").encode()
