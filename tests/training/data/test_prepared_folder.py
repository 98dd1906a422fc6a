"""A prepared folder survives kills and full disks, and never writes outside itself."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ichcore import Grid
from ichtrain.data import LabelledSeries, Prepared, PreparedWriter, refuse_leak
from ichtrain.data.prepared import GRID_FILE, INDEX_FILE
from ichtrain.errors import DataError, SplitLeak

GRID = Grid(32, 32, 8.0)


def series(uid: str = "1.2.3", patient: str = "A", split: str = "train") -> LabelledSeries:
    return LabelledSeries(
        SeriesInstanceUID=uid,
        SOPInstanceUID=(f"{uid}.1", f"{uid}.2"),
        patient=patient,
        site="here",
        split=split,
        annotation="slice",
        labels=np.array([[0] * 6, [1, 1, 0, -1, 0, 0]], dtype=np.int8),
        lesion_ml=None,
        hu=np.zeros((2, 32, 32), dtype=np.float16),
        position_mm=np.array([0, 5], dtype=np.float32),
    )


def test_a_series_comes_back_as_it_was_added(tmp_path: Path) -> None:
    PreparedWriter(tmp_path, GRID).add(series())
    back = Prepared(tmp_path).series("1.2.3")
    for name, value in vars(series()).items():
        assert np.array_equal(getattr(back, name), value), name


@pytest.mark.parametrize("kept_bytes", [0, 1, 40, -1])
def test_a_line_that_a_kill_tore_counts_as_not_written(tmp_path: Path, kept_bytes: int) -> None:
    writer = PreparedWriter(tmp_path, GRID)
    writer.add(series("1.1"))
    whole = (tmp_path / INDEX_FILE).read_bytes()
    (tmp_path / INDEX_FILE).write_bytes(whole + whole.replace(b"1.1", b"1.2")[:kept_bytes])
    assert Prepared(tmp_path).uids == ("1.1",)
    again = PreparedWriter(tmp_path, GRID)
    assert again.done == {"1.1"}
    again.add(series("1.2"))
    assert Prepared(tmp_path).uids == ("1.1", "1.2")
    assert len(list(Prepared(tmp_path).split("train"))) == 2


def test_a_line_that_a_full_disk_cut_short_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = PreparedWriter(tmp_path, GRID)
    writer.add(series("1.1"))

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match="No space left"):
        writer.add(series("1.2"))
    monkeypatch.undo()
    assert Prepared(tmp_path).uids == ("1.1",)
    assert [path.name for path in (tmp_path / "arrays").iterdir()] == ["1.1"]
    writer.add(series("1.2"))
    assert Prepared(tmp_path).uids == ("1.1", "1.2")


@pytest.mark.parametrize("uid", ["../escape", "", ".", "a/b", "/tmp/x"])
def test_a_uid_that_would_leave_the_folder_is_refused(tmp_path: Path, uid: str) -> None:
    writer = PreparedWriter(tmp_path / "p", GRID)
    with pytest.raises(DataError, match="is no UID"):
        writer.add(series(uid))
    assert [path.name for path in tmp_path.iterdir()] == ["p"]


def test_patients_are_told_without_reading_an_array(tmp_path: Path) -> None:
    for name, split in (("one", "train"), ("two", "test")):
        PreparedWriter(tmp_path / name, GRID).add(series(f"1.{len(name)}.{split}", split=split))
    pairs = [pair for name in ("one", "two") for pair in Prepared(tmp_path / name).patients]
    assert pairs == [("A", "train"), ("A", "test")]
    with pytest.raises(SplitLeak, match="Patient A is in train and in test"):
        refuse_leak(pairs)


def test_a_record_is_everything_but_the_arrays(tmp_path: Path) -> None:
    PreparedWriter(tmp_path, GRID).add(replace(series(), lesion_ml=1.5))
    record = Prepared(tmp_path).record("1.2.3")
    assert record["lesion_ml"] == 1.5
    assert record["labels"][1] == [1, 1, 0, -1, 0, 0]
    assert "hu" not in record


@pytest.mark.parametrize("content", [None, "{", "[]", '{"rows": 31}'])
def test_a_folder_that_was_not_prepared_is_refused(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / GRID_FILE).write_text(content)
        (tmp_path / INDEX_FILE).write_text("")
    with pytest.raises(DataError, match="no prepared folder"):
        Prepared(tmp_path)
