"""What the user types is read exactly, or refused with what was expected."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from ichclient.cli import main
from ichclient.sources import SourceOptions
from ichclient.sources.address import (
    DicomwebAddress,
    DimseAddress,
    NodeAddress,
    Query,
    address_from_text,
)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("study", Path("study")),
        ("/a/b.zip", Path("/a/b.zip")),
        ("dicom:1", Path("dicom:1")),
        (
            "dicomweb:https://host/dicom-web/?StudyInstanceUID=1.2",
            DicomwebAddress("https://host/dicom-web", Query(StudyInstanceUID="1.2")),
        ),
        (
            "DICOMweb:http://host:8042/a?AccessionNumber=A%201&SeriesInstanceUID=1.3",
            DicomwebAddress(
                "http://host:8042/a", Query(SeriesInstanceUID="1.3", AccessionNumber="A 1")
            ),
        ),
        (
            "dimse:PACS@host:104?SeriesInstanceUID=1.3",
            DimseAddress(NodeAddress("PACS", "host", 104), Query(SeriesInstanceUID="1.3")),
        ),
        (
            "dimse-tls:MY PACS@[::1]:2762?AccessionNumber=7",
            DimseAddress(NodeAddress("MY PACS", "::1", 2762, tls=True), Query(AccessionNumber="7")),
        ),
    ],
)
def test_an_address_is_read(text: str, address: object) -> None:
    assert address_from_text(text) == address


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("https://host/dicom-web?StudyInstanceUID=1", "put 'dicomweb:' before"),
        ("dicomweb:https://host", "say which study"),
        ("dicomweb:https://host?StudyInstanceUID=", "say which study"),
        ("dicomweb:https://host?PatientName=A", "PatientName is none of"),
        ("dicomweb:https://host?study", "KEYWORD=VALUE"),
        ("dicomweb:https://host?StudyInstanceUID=1&StudyInstanceUID=2", "twice"),
        ("dicomweb:https://host?StudyInstanceUID=../1", "no UID"),
        ("dicomweb:https://host?SeriesInstanceUID=1*", "no UID"),
        ("dicomweb:https://host?AccessionNumber=*", "no wildcard"),
        ("dicomweb:https://host?AccessionNumber=%3F", "no wildcard"),
        ("dicomweb:https://host?AccessionNumber=A%5CB", "no backslash"),
        ("dicomweb:host?StudyInstanceUID=1", "stands a URL"),
        ("dicomweb:ftp://host?StudyInstanceUID=1", "stands a URL"),
        ("dicomweb:https://user:secret@host?StudyInstanceUID=1", "ICHCLIENT_DICOMWEB_PASSWORD"),
        ("dimse:host:104?StudyInstanceUID=1", "CALLED_AE_TITLE@HOST:PORT"),
        ("dimse:PACS@host?StudyInstanceUID=1", "CALLED_AE_TITLE@HOST:PORT"),
        ("dimse:PACS@host:0?StudyInstanceUID=1", "CALLED_AE_TITLE@HOST:PORT"),
        ("dimse:A_TITLE_THAT_IS_TOO_LONG@host:104?StudyInstanceUID=1", "CALLED_AE_TITLE"),
        ("dimse:A\\B@host:104?StudyInstanceUID=1", "CALLED_AE_TITLE"),
    ],
)
def test_a_wrong_address_is_a_wrong_use(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=r"\w") as caught:
        address_from_text(text)
    assert told in str(caught.value)
    answer = CliRunner().invoke(main, ["series", text])
    assert answer.exit_code == 2
    assert "secret" not in answer.stderr


def test_options_that_no_pacs_understands_are_a_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="AE title"):
        SourceOptions(ae_title="a name that is far too long")
    answer = CliRunner().invoke(main, ["series", str(tmp_path), "--ae-title", "\\"])
    assert answer.exit_code == 2
