"""Files and folders -> headers: what is read, and what is said of everything else."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ichclient.dicom import headers_from_path
from ichclient.errors import NothingFound
from ichclient.frames import pixel_digest
from ichclient.hounsfield import hu_from_header

Make = Callable[..., Path]
MR_CLASS = "1.2.840.10008.5.1.4.1.1.4"


def codes(path: Path) -> dict[str, str]:
    return {verdict.path: verdict.code for verdict in headers_from_path(path).skipped}


def test_every_slice_is_read_with_paths_relative_to_the_study(
    tmp_path: Path, make_series: Make
) -> None:
    make_series(tmp_path / "b")
    scan = headers_from_path(tmp_path)
    assert len(scan.headers) == 20
    assert scan.headers[0].relative_path == "b/000.dcm"
    assert scan.headers[3].ImagePositionPatient == (-16.0, -16.0, 15.0)
    assert scan.headers[0].PixelSpacing == (6.0, 6.0)


def test_one_file_is_a_study_too(tmp_path: Path, make_slice: Make) -> None:
    make_slice(tmp_path / "one.dcm")
    assert headers_from_path(tmp_path / "one.dcm").headers[0].relative_path == "one.dcm"


def test_what_is_no_image_is_skipped_with_a_reason(tmp_path: Path, make_slice: Make) -> None:
    make_slice(tmp_path / "good.dcm")
    whole = (tmp_path / "good.dcm").read_bytes()
    (tmp_path / "empty.dcm").touch()
    (tmp_path / "notes.txt").write_text("a text that is long enough to be taken for more" * 9)
    with zipfile.ZipFile(tmp_path / "viewer.zip", "w") as archive:
        archive.writestr("a", "b" * 500)
    (tmp_path / "cut.dcm").write_bytes(whole[:700])
    make_slice(
        tmp_path / "report.dcm",
        SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11",
        Modality="SR",
        Rows=None,
        Columns=None,
        PixelData=None,
    )
    assert codes(tmp_path) == {
        "cut.dcm": "truncated_header",
        "empty.dcm": "empty_file",
        "notes.txt": "not_dicom",
        "report.dcm": "not_image",
        "viewer.zip": "not_dicom",
    }


@pytest.mark.parametrize("kept", [140, 300, 500, 600, 700, 800])
def test_a_header_cut_anywhere_is_never_taken_for_a_slice(
    tmp_path: Path, make_slice: Make, kept: int
) -> None:
    make_slice(tmp_path / "a.dcm")
    whole = (tmp_path / "a.dcm").read_bytes()
    pixels = headers_from_path(tmp_path).headers[0].pixel_offset
    assert kept < pixels < len(whole)
    (tmp_path / "cut.dcm").write_bytes(whole[:kept])
    assert codes(tmp_path) == {"cut.dcm": "truncated_header"}


def test_a_file_that_ends_where_its_pixels_begin_is_truncated(
    tmp_path: Path, make_slice: Make
) -> None:
    make_slice(tmp_path / "a.dcm")
    whole = (tmp_path / "a.dcm").read_bytes()
    pixels = headers_from_path(tmp_path).headers[0].pixel_offset
    for extra in (0, 4, 8, 12):
        (tmp_path / f"cut{extra}.dcm").write_bytes(whole[: pixels + extra])
    assert set(codes(tmp_path).values()) == {"truncated_header"}


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (lambda path: None, "does not exist"),
        (lambda path: path.mkdir(), "is an empty folder"),
        (lambda path: (path.mkdir(), (path / "a.txt").write_text("a")), "none of them DICOM"),
        (lambda path: (path.mkdir(), (path / "a").touch()), "no readable DICOM image"),
    ],
)
def test_nothing_found_says_what_was_there(
    tmp_path: Path, prepare: Callable[[Path], object], said: str
) -> None:
    prepare(tmp_path / "study")
    with pytest.raises(NothingFound, match=said) as caught:
        headers_from_path(tmp_path / "study")
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1"])
@pytest.mark.parametrize("kept", ["meta", "dataset"])
def test_files_without_preamble_or_meta_are_read_as_they_are_written(
    tmp_path: Path, make_slice: Make, made_hu: NDArray[np.int16], syntax: str, kept: str
) -> None:
    make_slice(tmp_path / "a.dcm", TransferSyntaxUID=syntax)
    path = tmp_path / "a.dcm"
    whole = path.read_bytes()
    meta_bytes = int.from_bytes(whole[140:144], "little")
    path.write_bytes(whole[132 if kept == "meta" else 144 + meta_bytes :])
    (header,) = headers_from_path(tmp_path).headers
    assert (header.TransferSyntaxUID, header.forced) == (syntax, True)
    assert (hu_from_header(header).hu == made_hu).all()


@pytest.mark.parametrize("start", [b"\2\0", b"\10\0", b"\0\10"])
def test_what_only_begins_as_dicom_does_is_not_forced(
    tmp_path: Path, make_slice: Make, start: bytes
) -> None:
    make_slice(tmp_path / "a.dcm")
    (tmp_path / "b.bin").write_bytes(start + b"text that is no DICOM at all, and long" * 99)
    (tmp_path / "c.bin").write_bytes(start)
    assert codes(tmp_path) == {"b.bin": "not_dicom", "c.bin": "not_dicom"}


@pytest.mark.parametrize(
    "tags", [{"StudyInstanceUID": None}, {"Modality": "MR", "SOPClassUID": MR_CLASS}]
)
def test_without_the_mark_only_ct_of_a_study_is_believed(
    tmp_path: Path, make_slice: Make, tags: dict[str, str | None]
) -> None:
    make_slice(tmp_path / "a.dcm")
    make_slice(tmp_path / "b.dcm", **tags)
    (tmp_path / "b.dcm").write_bytes((tmp_path / "b.dcm").read_bytes()[132:])
    assert codes(tmp_path) == {"b.dcm": "not_dicom"}


def test_a_loop_of_links_ends(tmp_path: Path, make_series: Make) -> None:
    make_series(tmp_path / "a")
    (tmp_path / "a" / "again").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "a" / "broken").symlink_to(tmp_path / "nowhere")
    assert len(headers_from_path(tmp_path).headers) == 20
    assert codes(tmp_path) == {"a/broken": "unreadable"}


def test_a_broken_optional_tag_costs_only_itself(tmp_path: Path, make_slice: Make) -> None:
    make_slice(tmp_path / "a.dcm", SliceThickness="5.000")
    path = tmp_path / "a.dcm"
    path.write_bytes(path.read_bytes().replace(b"5.000", b"5,0xy"))
    header = headers_from_path(path).headers[0]
    assert header.SliceThickness is None
    assert header.malformed == ("SliceThickness",)
    assert header.Rows == 32


def test_no_text_of_the_patient_is_kept(tmp_path: Path, make_slice: Make) -> None:
    make_slice(tmp_path / "a.dcm", PatientID="SECRET77", PatientName="Doe^Jane")
    header = headers_from_path(tmp_path).headers[0]
    kept = "".join(str(getattr(header, name)) for name in header.__dataclass_fields__)
    assert "SECRET77" not in kept
    assert "Doe" not in kept


def test_pixels_are_compared_undecoded(tmp_path: Path, make_slice: Make) -> None:
    make_slice(tmp_path / "a.dcm", SeriesDescription="ONE")
    make_slice(tmp_path / "b.dcm", SeriesDescription="ANOTHER")
    make_slice(tmp_path / "c.dcm", PixelData=b"\1" * 2048)
    one, same, other = (pixel_digest(header) for header in headers_from_path(tmp_path).headers)
    assert one == same != other


def test_directory_files_of_a_real_study_are_indexes_not_images(head_ct_philips: Path) -> None:
    scan = headers_from_path(head_ct_philips)
    assert {verdict.code for verdict in scan.skipped} == {"dicomdir"}
    assert len(scan.headers) == 61
