"""The quick reader of headers says what pydicom says of a file, or nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from ichclient import dicom
from ichclient.dicom import headers_from_path
from ichclient.elements import elements_from_bytes
from ichclient.errors import NothingFound
from ichclient.headers import Scan

Make = Callable[..., Any]


def is_quick(path: Path) -> bool:
    """Whether a file's header is read without pydicom."""
    start = path.read_bytes()[: dicom._FIRST_READ_BYTES]
    return elements_from_bytes(start, dicom._wanted()) is not None


def scanned(path: Path) -> Scan | str:
    try:
        return headers_from_path(path)
    except NothingFound as error:
        return str(error)


def both(path: Path) -> tuple[Scan | str, Scan | str]:
    """What is read with the quick reader, and without it."""
    quick = scanned(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dicom, "elements_from_bytes", lambda start, wanted: None)
        return quick, scanned(path)


def test_real_headers_are_read_quickly_and_as_pydicom_reads_them(
    head_ct_ge: Path, head_ct_philips: Path
) -> None:
    for folder in (head_ct_ge, head_ct_philips):
        quick, slow = both(folder)
        assert quick == slow
        assert isinstance(quick, Scan)
        short = [one for one in quick.headers if one.pixel_offset < dicom._FIRST_READ_BYTES]
        assert len(short) >= 28
        assert all(is_quick(header.path) for header in short)


def item(depth: int) -> Dataset:
    dataset = Dataset()
    dataset.CodeMeaning = "x" * depth
    if depth:
        dataset.ReferencedImageSequence = Sequence([item(depth - 1)])
        dataset["ReferencedImageSequence"].is_undefined_length_sequence_item = True
    return dataset


@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_sequences_are_stepped_over_however_they_end(
    tmp_path: Path, make_slice: Make, syntax: str, undefined: bool
) -> None:
    dataset = make_slice(tmp_path / "a.dcm", TransferSyntaxUID=syntax)
    dataset.ReferencedImageSequence = Sequence([item(3), item(0), Dataset()])
    for one in dataset.ReferencedImageSequence:
        one.is_undefined_length_sequence_item = undefined
    dataset["ReferencedImageSequence"].is_undefined_length = undefined
    dataset.save_as(tmp_path / "a.dcm")
    quick, slow = both(tmp_path)
    assert quick == slow
    assert is_quick(tmp_path / "a.dcm")


@pytest.mark.parametrize(
    "tags",
    [
        {"SpecificCharacterSet": "ISO_IR 100", "SeriesDescription": "Schädel", "PatientName": "Ü"},
        {"SpecificCharacterSet": "ISO_IR 192", "SeriesDescription": "頭", "PatientName": "山^太"},
        {"PatientName": "Doe^Jane^^^", "PatientID": " 7 "},
        {"PatientName": "", "PatientAge": "045Y", "PatientBirthDate": "19700101"},
        {"PixelPaddingValue": -2000, "SliceThickness": "5.0 ", "ConvolutionKernel": ["Hr40", "3"]},
        {"TransferSyntaxUID": ImplicitVRLittleEndian, "PixelPaddingValue": -2000},
        {"TransferSyntaxUID": ImplicitVRLittleEndian, "PixelRepresentation": 0},
    ],
)  # fmt: skip
def test_values_are_those_of_pydicom(tmp_path: Path, make_slice: Make, tags: Any) -> None:
    make_slice(tmp_path / "a.dcm", **tags)
    quick, slow = both(tmp_path)
    assert quick == slow
    assert is_quick(tmp_path / "a.dcm")


@pytest.mark.parametrize(
    "tags",
    [
        {"TransferSyntaxUID": ExplicitVRBigEndian},
        {"SpecificCharacterSet": ["", "ISO 2022 IR 87"], "SeriesDescription": "HEAD"},
    ],
)
def test_what_is_unusual_is_left_to_pydicom(tmp_path: Path, make_slice: Make, tags: Any) -> None:
    syntax = tags.pop("TransferSyntaxUID", ExplicitVRLittleEndian)
    dataset = make_slice(tmp_path / "a.dcm", **tags)
    dataset.file_meta.TransferSyntaxUID = syntax
    big = syntax == ExplicitVRBigEndian
    pydicom.dcmwrite(tmp_path / "a.dcm", dataset, little_endian=not big, implicit_vr=False)
    assert not is_quick(tmp_path / "a.dcm")
    assert isinstance(scanned(tmp_path), Scan)


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(place=st.integers(132, 1100), bytes_=st.binary(min_size=1, max_size=4), cut=st.booleans())
@example(place=163, bytes_=b"\0", cut=False)
@example(place=140, bytes_=b"\0", cut=True)
@example(place=163, bytes_=b"\0", cut=False)
def test_broken_bytes_are_never_read_otherwise_than_by_pydicom(
    tmp_path: Path, make_slice: Make, place: int, bytes_: bytes, cut: bool
) -> None:
    path = tmp_path / "a.dcm"
    if not (tmp_path / "whole").exists():
        make_slice(tmp_path / "whole", ReferencedImageSequence=[item(1)], PatientName="Doe^Jane")
    whole = (tmp_path / "whole").read_bytes()
    path.write_bytes(
        whole[:place] if cut else whole[:place] + bytes_ + whole[place + len(bytes_) :]
    )
    quick, slow = both(path)
    assert quick == slow
