"""A manifest comes back as it was written, and every mistake in one is told by row and column."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ichtrain.data.manifest import refuse_missing_files, rows_from_manifest, write_manifest
from ichtrain.data.rows import COLUMNS, SliceRow, checked
from ichtrain.errors import ManifestError, SplitLeak


def row(number: int, folder: Path = Path("/data"), **values: Any) -> SliceRow:
    own = SliceRow(
        series=folder / f"series {number}",
        StudyInstanceUID=f"1.{number}",
        SeriesInstanceUID=f"1.{number}.1",
        SOPInstanceUID=f"1.{number}.1.1",
        labels=(1, 0, None, 0, 1, 0) if number % 2 else (0,) * 6,
        patient=f"P{number}",
        annotation="slice",
        site="here, and there",
        split="train",
    )
    return replace(own, **values)


@pytest.mark.parametrize("name", ["m.csv", "m.parquet"])
def test_rows_come_back_as_they_were_written(tmp_path: Path, name: str) -> None:
    masked = {"mask": tmp_path / "masks" / "a.nii.gz", "annotation": "mask", "lesion_ml": 2.25}
    rows = (row(1, tmp_path, **masked), row(2, tmp_path, split="", site=""), row(3, tmp_path))
    write_manifest(rows, tmp_path / "sub" / name)
    assert rows_from_manifest(tmp_path / "sub" / name) == rows


@pytest.mark.parametrize("name", ["m.csv", "m.parquet"])
def test_a_manifest_may_be_moved_together_with_its_data(tmp_path: Path, name: str) -> None:
    (tmp_path / "before").mkdir()
    write_manifest([row(1, tmp_path / "before")], tmp_path / "before" / name)
    (tmp_path / "before").rename(tmp_path / "after")
    (read,) = rows_from_manifest(tmp_path / "after" / name)
    assert read.series == tmp_path / "after" / "series 1"


@pytest.mark.parametrize("name", ["m.csv", "m.parquet"])
def test_what_pandas_writes_can_be_read(tmp_path: Path, name: str) -> None:
    import pandas as pd

    write_manifest([row(1), row(2)], tmp_path / "own.csv")
    table = pd.read_csv(tmp_path / "own.csv")
    assert table["sah"].dtype == float  # an empty cell makes 0 a 0.0
    table.to_csv(tmp_path / "m.csv", index=False)
    table.to_parquet(tmp_path / "m.parquet", index=False)
    assert [one.labels for one in rows_from_manifest(tmp_path / name)] == [
        row(1).labels,
        row(2).labels,
    ]


MISTAKES = {
    "a label of 2": ({"labels": (1, 2, 0, 0, 0, 0)}, "row 2, sdh: 2 is neither 0 nor 1"),
    "a subtype without any": ({"labels": (0, 0, 0, 1, 0, 0)}, "row 2, any: is 0 although edh is 1"),
    "an unknown split": ({"split": "holdout"}, "row 2, split: 'holdout' is none of train"),
    "an unknown annotation": ({"annotation": "box"}, "row 2, annotation: 'box' is none of mask"),
    "no mask": ({"annotation": "mask"}, "row 2, mask: is empty although annotation is mask"),
    "no patient": ({"patient": ""}, "row 2, patient: is empty"),
    "a volume below nothing": ({"lesion_ml": -1.0}, "row 2, lesion_ml: -1.0 is no volume"),
    "a slice twice": ({"SOPInstanceUID": "1.1.1.1"}, "row 2, SOPInstanceUID: 1.1.1.1 is in row 1"),
    "two patients in a series": (
        {"SeriesInstanceUID": "1.1.1", "StudyInstanceUID": "1.1"},
        "row 2, patient: 'P2' but 'P1' in row 1 of the same series",
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_by_row_and_column(mistake: str) -> None:
    values, told = MISTAKES[mistake]
    with pytest.raises(ManifestError, match=told):
        checked([row(1), row(2, **values)])


def test_labels_of_a_study_are_the_same_on_every_slice() -> None:
    study = {"annotation": "study", "SeriesInstanceUID": "1.1.1", "StudyInstanceUID": "1"}
    rows = [row(1, **study, patient="P"), row(2, **study, patient="P", SOPInstanceUID="1.2")]
    with pytest.raises(ManifestError, match="row 2, any: differs from row 1"):
        checked(rows)


def test_the_first_ten_mistakes_are_told_and_the_rest_counted() -> None:
    rows = [row(number, annotation="box") for number in range(1, 24)]
    with pytest.raises(ManifestError, match=r"23 mistake\(s\)") as caught:
        checked(rows)
    assert str(caught.value).count("annotation: 'box'") == 10
    assert str(caught.value).endswith("and 13 more")


def test_a_patient_in_two_splits_is_refused_by_name() -> None:
    with pytest.raises(SplitLeak, match="Patient P1 is in train and in test"):
        checked([row(1), row(2, patient="P1", split="test"), row(3, split="")])


@pytest.mark.parametrize("cell", ["x", "0.5", "inf", "-1", "2"])
def test_a_cell_that_is_no_label_is_told(tmp_path: Path, cell: str) -> None:
    write_manifest([row(1), row(2)], tmp_path / "m.csv")
    text = (tmp_path / "m.csv").read_text().replace("1.2.1.1,0,0", f"1.2.1.1,0,{cell}")
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(ManifestError, match=r"m\.csv has 1 mistake.*\n  row 2, sdh: .*neither"):
        rows_from_manifest(tmp_path / "m.csv")


@pytest.mark.parametrize(
    ("head", "told"),
    [
        (",".join(COLUMNS).replace("lesion_ml", "volume"), "lacks lesion_ml and has volume too"),
        (",".join([*COLUMNS, "any"]), "has any too much"),
        ("", "lacks series"),
    ],
)
def test_wrong_columns_are_named(tmp_path: Path, head: str, told: str) -> None:
    (tmp_path / "m.csv").write_text(head + "\n")
    with pytest.raises(ManifestError, match=told):
        rows_from_manifest(tmp_path / "m.csv")


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("m.csv", (",".join(COLUMNS) + "\na,b\n").encode(), "row 1: 2 cells"),
        ("m.csv", (",".join(COLUMNS) + "\n").encode(), "no rows"),
        ("m.csv", b"\xff\xfe\x00", "cannot be read|no .csv file"),
        ("m.parquet", b"PAR1 and then nothing", "no .parquet file"),
        ("m.json", b"{}", "must end in .parquet or .csv"),
    ],
)
def test_a_file_that_is_no_manifest_is_refused(
    tmp_path: Path, name: str, content: bytes, told: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ManifestError, match=told):
        rows_from_manifest(tmp_path / name)


def test_a_manifest_with_a_mistake_is_never_written(tmp_path: Path) -> None:
    write_manifest([row(1)], tmp_path / "m.csv")
    before = (tmp_path / "m.csv").read_bytes()
    with pytest.raises(ManifestError):
        write_manifest([row(1), row(1)], tmp_path / "m.csv")
    assert (tmp_path / "m.csv").read_bytes() == before


@pytest.mark.parametrize("name", ["m.csv", "m.parquet"])
def test_a_full_disk_leaves_the_old_manifest(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_manifest([row(1)], tmp_path / name)
    before = (tmp_path / name).read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(ManifestError, match="No space left"):
        write_manifest([row(1), row(2)], tmp_path / name)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [before]


def test_paths_that_lead_nowhere_are_named(tmp_path: Path) -> None:
    (tmp_path / "series 1").mkdir()
    rows = [row(1, tmp_path), row(2, tmp_path, mask=tmp_path / "gone.nii")]
    with pytest.raises(ManifestError, match=r"row 2, series: .*\n  row 2, mask: .*gone\.nii"):
        refuse_missing_files(rows, "m.csv")
