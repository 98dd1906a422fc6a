"""The RSNA 2019 layout: six lines an image, one flat folder, headers with little in them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from ichtrain.data.prepare import prepare_series
from ichtrain.data.readers.rsna import LABEL_OF, RsnaOptions, rows_from_rsna
from ichtrain.data.rows import checked
from ichtrain.errors import DataError, ManifestError

ABSENT = (
    "SliceThickness", "SeriesDescription", "ConvolutionKernel", "Manufacturer", "RescaleType",
    "SOPClassUID", "FrameOfReferenceUID", "ImageType", "SpacingBetweenSlices", "SliceLocation",
    "InstanceNumber", "AcquisitionNumber", "SeriesNumber", "BodyPartExamined", "PatientPosition",
)  # fmt: skip


def table(images: Sequence[tuple[str, str]]) -> list[str]:
    return [
        f"{image}_{kind},{int(kind in (found, 'any') and found != '')}"
        for image, found in images
        for kind in LABEL_OF
    ]


def write_table(folder: Path, lines: Sequence[str]) -> None:
    (folder / "stage_2_train.csv").write_text("\n".join(["ID,Label", *lines]) + "\n")


@pytest.fixture
def rsna(tmp_path: Path, make: type) -> Path:
    """One patient with an epidural bleed in two slices, in the true layout."""
    names = [f"ID_{index:02d}ab{index:05x}" for index in range(12)]
    tags = {
        "SOPInstanceUID": lambda index: names[index],
        "StudyInstanceUID": "ID_dd37ba3adb",
        "SeriesInstanceUID": "ID_15dcd6057a",
        "PatientID": "ID_0002cd41",
        "WindowCenter": ["00040", "00040"],
        **dict.fromkeys(ABSENT),
    }
    datasets = make.datasets(make.phantom("edh"), **tags)
    make.files(datasets, lambda index, _: tmp_path / "stage_2_train" / f"{names[index]}.dcm")
    write_table(
        tmp_path, table([(n, "epidural" if i in (5, 6) else "") for i, n in enumerate(names)])
    )
    return tmp_path


def test_rows_carry_slice_labels_and_identities_of_the_headers(rsna: Path) -> None:
    rows = checked(rows_from_rsna(rsna).rows)
    assert len(rows) == 12
    assert [row.labels for row in rows if 1 in row.labels] == [(1, 0, 0, 1, 0, 0)] * 2
    assert {row.patient for row in rows} == {"ID_0002cd41"}
    assert {row.SeriesInstanceUID for row in rows} == {"ID_15dcd6057a"}
    assert all(row.series.name == f"{row.SOPInstanceUID}.dcm" for row in rows)
    assert {(row.annotation, row.site) for row in rows} == {("slice", "rsna")}


def test_a_series_of_single_files_can_be_prepared(rsna: Path, tmp_path: Path) -> None:
    from ichtrain.data import Prepared

    rows = rows_from_rsna(rsna, RsnaOptions(split="train")).rows
    prepare_series(tmp_path / "prepared", rows)
    series = Prepared(tmp_path / "prepared").series("ID_15dcd6057a")
    assert series.labels[:, 0].tolist() == [0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0]
    assert series.lesion is None
    assert series.annotation == "slice"


def test_repeated_lines_count_once_and_are_noted(rsna: Path) -> None:
    lines = (rsna / "stage_2_train.csv").read_text().splitlines()[1:]
    write_table(rsna, [*lines, *lines[6:12]])
    reading = rows_from_rsna(rsna)
    assert len(reading.rows) == 12
    assert reading.notes == ("6 line(s) repeat another and count once",)


def test_lines_that_contradict_each_other_are_refused(rsna: Path) -> None:
    lines = (rsna / "stage_2_train.csv").read_text().splitlines()[1:]
    write_table(rsna, [*lines, lines[0].replace(",0", ",1")])
    with pytest.raises(ManifestError, match=r"row 73, Label: ID_\w+_any is 1, but 0 in row 1"):
        rows_from_rsna(rsna)


def test_the_corrupt_image_is_left_out_with_a_note(rsna: Path) -> None:
    lines = (rsna / "stage_2_train.csv").read_text().splitlines()[1:]
    write_table(rsna, [*lines, *table([("ID_6431af929", "")])])
    reading = rows_from_rsna(rsna)
    assert len(reading.rows) == 12
    assert "ID_6431af929" in reading.notes[0]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("ID_0a_subdural,2", "row 73, Label: 2 is neither 0 nor 1"),
        ("ID_0a_tumour,1", "row 73, ID: .* is no ID_<image>_<type>,label"),
        ("ID_0a_subdural,1", "row 73, ID: ID_0a has no line for any, subarachnoid"),
    ],
)
def test_a_bad_line_is_named(rsna: Path, line: str, told: str) -> None:
    with (rsna / "stage_2_train.csv").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(ManifestError, match=told):
        rows_from_rsna(rsna)


def test_an_image_without_a_file_is_named_or_left_out(rsna: Path) -> None:
    gone = sorted((rsna / "stage_2_train").iterdir())[3]
    gone.unlink()
    with pytest.raises(DataError, match=f"{gone.stem}.*does not exist"):
        rows_from_rsna(rsna)
    reading = rows_from_rsna(rsna, RsnaOptions(skip_broken=True))
    assert len(reading.rows) == 11
    assert gone.stem in reading.notes[0]
