"""Series on the grid <-> a folder that training reads without decoding anything.

    PREPARED/
      grid.json                 the grid
      series.jsonl              one line a series: identity, split, labels, volume
      arrays/<SeriesInstanceUID>/hu.npy, lesion.npy, brain.npy

A series appears whole or not at all: its line is written after its arrays, and a line that a
killed run left unfinished counts as not written. Arrays are opened as memory maps, so a folder may
be larger than memory.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ichcore import Grid
from ichcore.errors import ContractError
from ichtrain.data.series import LabelledSeries
from ichtrain.errors import DataError

GRID_FILE = "grid.json"
INDEX_FILE = "series.jsonl"
_ARRAYS = ("hu", "lesion", "brain")
_UID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")  # becomes a folder name, so nothing that climbs


class PreparedWriter:
    """Adds series to a prepared folder; one that exists is continued on the same grid."""

    def __init__(self, folder: Path, grid: Grid) -> None:
        self.folder = folder
        self.grid = grid
        text = json.dumps(asdict(grid), sort_keys=True) + "\n"
        try:
            (folder / "arrays").mkdir(parents=True, exist_ok=True)
            path = folder / GRID_FILE
            if not path.is_file():
                write_whole(path, text)
            if path.read_text() != text:
                raise DataError(f"{folder} was prepared on another grid; use another folder.")
            _drop_unfinished_line(folder / INDEX_FILE)
            done = Prepared(folder).uids if (folder / INDEX_FILE).is_file() else ()
        except OSError as error:
            raise _unwritable(folder, error) from error
        self.done = set(done)

    def add(self, series: LabelledSeries) -> None:
        """Write one series; raises `DataError` when it is there already or the disk is full."""
        uid = series.SeriesInstanceUID
        if not _UID.fullmatch(uid):
            raise DataError(f"SeriesInstanceUID {uid!r} is no UID; it would name a folder.")
        if uid in self.done:
            raise DataError(f"Series {uid} is in {self.folder} already; a series is added once.")
        home = self.folder / "arrays" / uid
        shutil.rmtree(home, ignore_errors=True)  # what a killed run left behind has no line
        record: dict[str, Any] = {
            name: value for name, value in vars(series).items() if name not in _ARRAYS
        }
        record["labels"] = series.labels.tolist()
        record["position_mm"] = [round(float(mm), 4) for mm in series.position_mm]
        try:
            home.mkdir()
            for name in _ARRAYS:
                array = getattr(series, name)
                if array is not None:
                    np.save(home / f"{name}.npy", array)
            _append_line(self.folder / INDEX_FILE, json.dumps(record, sort_keys=True))
        except OSError as error:
            shutil.rmtree(home, ignore_errors=True)
            raise _unwritable(self.folder, error) from error
        self.done.add(uid)


class Prepared:
    """A prepared folder, read lazily; arrays are memory maps."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            self.grid = Grid(**json.loads((folder / GRID_FILE).read_text()))
            finished = (folder / INDEX_FILE).read_text().rpartition("\n")[0]
            lines = finished.split("\n") if finished else []
            self._records: dict[str, dict[str, Any]] = {}
            for line in lines:
                record = json.loads(line)
                self._records[record["SeriesInstanceUID"]] = record
        except (ContractError, OSError, KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"{folder} is no prepared folder ({error}); make it with `ichtrain prepare` or "
                "`ichtrain phantoms`."
            ) from error

    @property
    def uids(self) -> tuple[str, ...]:
        """SeriesInstanceUIDs in the order in which they were added."""
        return tuple(self._records)

    def __len__(self) -> int:
        return len(self._records)

    @property
    def patients(self) -> tuple[tuple[str, str], ...]:
        """(patient, split) of every series, as `refuse_leak` takes them; reads no array."""
        return tuple((one["patient"], one["split"]) for one in self._records.values())

    def record(self, uid: str) -> dict[str, Any]:
        """What `series.jsonl` says of a series: every field but the arrays, as plain values."""
        return dict(self._records[uid])

    def series(self, uid: str) -> LabelledSeries:
        """One series by its SeriesInstanceUID."""
        record = dict(self._records[uid])
        record["SOPInstanceUID"] = tuple(record["SOPInstanceUID"])
        record["labels"] = np.asarray(record["labels"], dtype=np.int8)
        record["position_mm"] = np.asarray(record["position_mm"], dtype=np.float32)
        home = self.folder / "arrays" / uid
        try:
            for name in _ARRAYS:
                path = home / f"{name}.npy"
                record[name] = np.load(path, mmap_mode="r") if path.is_file() else None
            return LabelledSeries(**record)
        except (OSError, TypeError, ValueError) as error:
            raise DataError(f"{home} cannot be read ({error}); prepare the data again.") from error

    def split(self, name: str) -> Iterator[LabelledSeries]:
        """The series of one split, in order."""
        for uid, record in self._records.items():
            if record["split"] == name:
                yield self.series(uid)


def write_whole(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _append_line(path: Path, text: str) -> None:
    """Append one line; where that fails half-way the file is as before."""
    line = (text + "\n").encode()
    with path.open("ab", buffering=0) as index:
        before = index.tell()
        try:
            if index.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(index.fileno())
        except OSError:
            os.truncate(path, before)
            raise


def _drop_unfinished_line(path: Path) -> None:
    """Cut what stands after the last newline: the line of a series that a kill interrupted."""
    if not path.is_file():
        return
    content = path.read_bytes()
    finished = content.rfind(b"\n") + 1
    if finished != len(content):
        os.truncate(path, finished)


def _unwritable(folder: Path, error: OSError) -> DataError:
    return DataError(
        f"{folder} cannot be written ({error.strerror or error}); free some space or choose "
        "another folder, and run the same command again: what is done is kept."
    )
