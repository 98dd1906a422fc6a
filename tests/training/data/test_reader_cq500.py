"""The CQ500 layout: reads.csv of three readers, folders with blanks, several series a study."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from ichtrain.data.readers.cq500 import rows_from_cq500
from ichtrain.data.rows import checked
from ichtrain.errors import DataError, ManifestError

FINDINGS = ("ICH", "IPH", "IVH", "SDH", "EDH", "SAH", "BleedLocation-Left", "Fracture")
READS = {
    # study: what each of the three readers saw
    "CQ500-CT-7": (("ICH", "SDH", "SAH"), ("ICH", "SDH"), ("Fracture",)),
    "CQ500-CT-12": ((), ("ICH", "IPH"), ()),
    "CQ500-CT-70": ((), (), ()),
}


def write_reads(path: Path, reads: dict[str, tuple[tuple[str, ...], ...]]) -> None:
    head = ["name", "Category", *(f"R{one}:{name}" for one in (1, 2, 3) for name in FINDINGS)]
    with path.open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(head)
        for name, by_reader in reads.items():
            lines.writerow([name, "B1", *(int(f in seen) for seen in by_reader for f in FINDINGS)])


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, make: type) -> Path:
    """Two studies of the three: one plain, one with a contrast series beside the plain one."""
    source = tmp_path_factory.mktemp("cq500")
    write_reads(source / "reads.csv", READS)
    for number, kind in ((7, "sdh"), (12, "normal")):
        study = source / f"CQ500CT{number} CQ500CT{number}" / "Unknown Study"
        own = {"PatientID": f"CQ500-CT-{number}", "StudyInstanceUID": f"1.2.{number}"}
        plain = make.datasets(
            make.phantom(kind, number), SeriesDescription="CT Plain", **own,
            SeriesInstanceUID=f"1.2.{number}.1",
            SOPInstanceUID=lambda index, number=number: f"1.2.{number}.1.{index}",
        )  # fmt: skip
        make.files(plain, lambda index, _, s=study: s / "CT Plain" / f"CT{index:06d}.dcm")
    contrast = make.datasets(
        make.phantom("normal", 99), SeriesDescription="CT POST CONTRAST", **own,
        SeriesInstanceUID="1.2.12.2", SOPInstanceUID=lambda i: f"1.2.12.2.{i}",
    )  # fmt: skip
    make.files(contrast, lambda index, _: study / "CT POST CONTRAST" / f"CT{index:06d}.dcm")
    return source


def test_the_majority_of_three_readers_labels_the_whole_study(source: Path) -> None:
    rows = checked(rows_from_cq500(source).rows)
    by_patient = {row.patient: row.labels for row in rows}
    assert by_patient == {"CQ500-CT-7": (1, 1, 0, 0, 0, 0), "CQ500-CT-12": (0, 0, 0, 0, 0, 0)}
    assert {row.annotation for row in rows} == {"study"}
    assert len(rows) == 24


def test_the_series_is_the_clients_own_choice(source: Path) -> None:
    rows = rows_from_cq500(source).rows
    assert {row.series.name for row in rows} == {"CT Plain"}
    assert {row.SeriesInstanceUID for row in rows} == {"1.2.7.1", "1.2.12.1"}


def test_a_study_without_a_folder_is_noted(source: Path) -> None:
    assert rows_from_cq500(source).notes == ("no folder for 1 studies, such as CQ500-CT-70",)


def test_a_read_that_is_no_answer_is_named(tmp_path: Path) -> None:
    write_reads(tmp_path / "reads.csv", READS)
    text = (tmp_path / "reads.csv").read_text().replace("CQ500-CT-12,B1,0", "CQ500-CT-12,B1,?")
    (tmp_path / "reads.csv").write_text(text)
    with pytest.raises(ManifestError, match="row 2, R1:ICH: '\\?' is neither 0 nor 1"):
        rows_from_cq500(tmp_path)


def test_a_table_without_the_third_reader_is_refused(tmp_path: Path) -> None:
    (tmp_path / "reads.csv").write_text("name,Category,R1:ICH\n")
    with pytest.raises(ManifestError, match=r"lacks the column\(s\) R1:SDH"):
        rows_from_cq500(tmp_path)


def test_reads_without_any_folder_are_refused(tmp_path: Path) -> None:
    write_reads(tmp_path / "reads.csv", READS)
    with pytest.raises(DataError, match="no folder of a study"):
        rows_from_cq500(tmp_path)
