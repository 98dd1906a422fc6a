"""Folders of `ichtrain phantom` become rows that say what was painted."""

from __future__ import annotations

from pathlib import Path

import pytest

from ichtrain.data.readers.phantoms import PhantomsOptions, rows_from_phantoms
from ichtrain.data.rows import checked, table_from_rows
from ichtrain.errors import DataError


def test_every_slice_is_a_row_with_its_labels(phantoms: Path) -> None:
    rows = checked(rows_from_phantoms(phantoms).rows)
    assert len(rows) == 4 * 12
    bleeding = [row for row in rows if row.patient == "PHANTOM-sdh-0" and row.labels[0]]
    assert [row.labels for row in bleeding] == [(1, 1, 0, 0, 0, 0)] * 2
    assert {row.mask for row in rows} == set(phantoms.rglob("masks.npz"))
    assert bleeding[0].lesion_ml == pytest.approx(2 * 48 * 3.5**2 * 8 / 1000)
    assert {row.annotation for row in rows} == {"mask"}


def test_the_table_counts_patients_series_and_positives(phantoms: Path) -> None:
    rows = rows_from_phantoms(phantoms, PhantomsOptions(split="test")).rows
    assert table_from_rows(rows) == [
        {"split": "test", "patients": 4, "series": 4, "slices": 48, "any": 2, "sdh": 1, "sah": 0,
         "edh": 0, "iph": 1, "ivh": 0}
    ]  # fmt: skip


def test_a_folder_without_phantoms_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no phantom"):
        rows_from_phantoms(tmp_path)


def test_a_broken_phantom_is_named_or_left_out(tmp_path: Path, make: type) -> None:
    make.study(make.phantom("sah"), tmp_path / "good")
    make.study(make.phantom("normal"), tmp_path / "torn")
    (tmp_path / "torn" / "manifest.json").write_text("{")
    with pytest.raises(DataError, match=r"torn.*manifest\.json is broken"):
        rows_from_phantoms(tmp_path)
    reading = rows_from_phantoms(tmp_path, PhantomsOptions(skip_broken=True))
    assert {row.series.name for row in reading.rows} == {"good"}
    assert "torn" in reading.notes[0]
