"""A DICOMDIR is read by its records, and never leads out of its folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom.config import IGNORE
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.fileset import FileSet
from pydicom.uid import ExplicitVRLittleEndian, MediaStorageDirectoryStorage

from ichclient.dicom import headers_from_path
from ichclient.errors import RefusedInput
from ichclient.infer import considered_from_path
from ichclient.sources import Limits, SourceOptions, opened_source


def write_disc(directory: Path, files: list[list[str] | str]) -> Path:
    """Write a DICOMDIR with one image record for each file."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    meta.MediaStorageSOPInstanceUID = "1.2.3.9"
    records = []
    for parts in files:
        record = Dataset()
        record.OffsetOfTheNextDirectoryRecord = 0
        record.RecordInUseFlag = 0xFFFF
        record.DirectoryRecordType = "IMAGE"
        record["ReferencedFileID"] = DataElement(
            "ReferencedFileID", "CS", parts, validation_mode=IGNORE
        )
        records.append(record)
    dataset = FileDataset(str(directory), {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.DirectoryRecordSequence = records
    dataset.save_as(directory, enforce_file_format=True)
    return directory


@pytest.fixture
def disc(make_series: Callable[..., Path], tmp_path: Path) -> Path:
    """The DICOMDIR of a disc with one series of 20 slices, and a file that it does not list."""
    folder = make_series(tmp_path / "disc" / "S1")
    files: list[list[str] | str] = []
    for number, file in enumerate(sorted(folder.iterdir())):
        file.rename(folder / f"I{number:02}")
        files.append(["S1", f"I{number:02}"])
    shutil.copy(folder / "I00", folder.parent / "UNLISTED")
    return write_disc(folder.parent / "DICOMDIR", files)


def refusal(directory: Path, options: SourceOptions | None = None) -> str:
    with pytest.raises(RefusedInput) as caught, opened_source(directory, options):
        pytest.fail("the directory was opened")
    return str(caught.value)


def test_a_dicomdir_gives_the_files_that_it_lists(disc: Path) -> None:
    with opened_source(disc) as path:
        listed = headers_from_path(path)
    in_folder = headers_from_path(disc.parent)
    assert len(listed.headers) == 20
    assert len(in_folder.headers) == 21
    names = {header.relative_path for header in in_folder.headers}
    assert {header.relative_path for header in listed.headers} == names - {"UNLISTED"}
    assert listed.skipped == ()
    assert not path.exists()


def test_its_name_does_not_matter(disc: Path) -> None:
    renamed = disc.rename(disc.with_name("index.dcm"))
    assert [one.facts["slices"] for one in considered_from_path(str(renamed))] == [20]


def test_a_listed_file_that_is_missing_is_told(disc: Path) -> None:
    with opened_source(disc) as path:
        gone = headers_from_path(path).headers[3]
    (disc.parent / gone.relative_path).unlink()
    with opened_source(disc) as path:
        scan = headers_from_path(path)
    assert len(scan.headers) == 19
    assert [(one.code, one.path) for one in scan.skipped] == [("unreadable", gone.relative_path)]


def test_small_letters_on_disk_are_found(disc: Path) -> None:
    for path in sorted(disc.parent.rglob("*"), reverse=True):
        path.rename(path.with_name(path.name.lower()))
    with opened_source(disc.with_name("dicomdir")) as path:
        assert len(headers_from_path(path).headers) == 20


@pytest.mark.parametrize(
    "parts", [["..", "OUTSIDE"], ["S1", "..", "..", "OUTSIDE"], "/etc/passwd", "../OUTSIDE"]
)
def test_a_file_outside_its_folder_is_refused(disc: Path, parts: list[str] | str) -> None:
    shutil.copy(disc.parent / "UNLISTED", disc.parents[1] / "OUTSIDE")
    assert "[unsafe_dicomdir]" in refusal(write_disc(disc, [["S1", "I00"], parts]))


def test_a_link_that_leads_outside_is_refused(disc: Path) -> None:
    shutil.copy(disc.parent / "UNLISTED", disc.parents[1] / "OUTSIDE")
    (disc.parent / "LINK").symlink_to(disc.parents[1] / "OUTSIDE")
    assert "[unsafe_dicomdir]" in refusal(write_disc(disc, ["LINK"]))


def test_more_files_than_allowed_are_refused(disc: Path) -> None:
    assert "[too_many_files]" in refusal(disc, SourceOptions(Limits(max_files=19)))


def test_a_cut_directory_is_refused_and_not_half_a_study(
    tmp_path: Path, make_series: Callable[..., Path]
) -> None:
    folder = make_series(tmp_path / "made", StudyID="1", StudyDate="20260101", StudyTime="10")
    disc = FileSet()
    for file in sorted(folder.iterdir()):
        disc.add(file)
    disc.write(tmp_path / "disc")
    disc._stage["t"].cleanup()  # which pydicom leaves to the garbage collector, with a warning
    directory = tmp_path / "disc" / "DICOMDIR"
    with opened_source(directory) as path:
        assert len(headers_from_path(path).headers) == 20
    data = directory.read_bytes()
    for share in (0.3, 0.5, 0.9):
        directory.write_bytes(data[: int(share * len(data))])
        assert "[damaged_dicomdir]" in refusal(directory)


def test_an_empty_directory_is_refused(tmp_path: Path) -> None:
    assert "lists no files" in refusal(write_disc(tmp_path / "DICOMDIR", []))


def test_a_directory_that_lists_itself_ends(disc: Path) -> None:
    with opened_source(write_disc(disc, ["DICOMDIR", ["S1", "I00"]])) as path:
        assert len(headers_from_path(path).headers) == 1


def test_a_real_disc_whose_directory_lists_directories(head_ct_philips: Path) -> None:
    with opened_source(head_ct_philips / "DICOMDIR") as path:
        scan = headers_from_path(path)
    folder = headers_from_path(head_ct_philips)
    in_folder = {header.relative_path: header.SOPInstanceUID for header in folder.headers}
    listed = {header.relative_path: header.SOPInstanceUID for header in scan.headers}
    assert listed.items() <= in_folder.items()
    assert sum(name.startswith("S21570/S2010/") for name in listed) == 28
    assert "S21610/DIRFILE" in {one.path for one in scan.skipped if one.code == "unreadable"}
