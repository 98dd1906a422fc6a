"""Texts in a header: hostile ones do nothing, identities are compared and never kept or mixed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom
import pytest
from click.testing import CliRunner, Result

from ichclient.cli import main
from ichclient.dicom import headers_from_path
from ichclient.errors import RefusedInput
from ichclient.series import chosen_series, series_from_scan

Make = Callable[..., Path]
HOSTILE = (
    "\x1b]0;owned\x07\x1b[2J\x1b[31mRED",
    "<script>alert(1)</script>",
    "[bold red]{0} %s $(reboot) `reboot`",
    "../../etc/passwd\0",
    "\u202egnirts\u2066",
    "x" * 5000,
)
TEXT_TAGS = (
    "SeriesDescription", "StudyDescription", "Manufacturer", "ConvolutionKernel",
    "BodyPartExamined", "PatientName", "PatientID", "ContrastBolusAgent",
)  # fmt: skip


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.mark.filterwarnings("ignore")  # pydicom dislikes these values while they are written
@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_text_in_every_tag_is_shown_and_does_nothing(
    tmp_path: Path, make_series: Make, text: str
) -> None:
    code = text.encode("ascii", "replace").decode()  # a code string has no other letters
    tags = {**dict.fromkeys(TEXT_TAGS, text), "BodyPartExamined": code}
    tags["SpecificCharacterSet"] = "ISO_IR 192"
    make_series(tmp_path, [0.0, 5.0], **tags)
    for command in ("series", "validate"):
        shown = run(command, tmp_path)
        assert shown.exit_code in (0, 4)
        assert "Traceback" not in shown.output
        assert all(char.isprintable() or char == "\n" for char in shown.output)
        told = json.loads(run(command, tmp_path, "--json").stdout)
        assert told


def test_a_hostile_series_uid_is_shown_in_a_refusal_and_does_nothing(
    tmp_path: Path, make_series: Make
) -> None:
    make_series(tmp_path)
    answer = run("infer", tmp_path, "--series", "1.2\x1b[2J")
    assert answer.exit_code == 4
    assert "\x1b" not in answer.output


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "label", ["ISO_IR 192", "ISO_IR 100", "\\ISO 2022 IR 87", "NONSENSE", None]
)
def test_text_in_any_character_set_never_stops_a_study(
    tmp_path: Path, make_series: Make, label: str | None
) -> None:
    """The same bytes under labels that are right, wrong, multi-valued, unknown and absent."""
    make_series(tmp_path, SeriesDescription="KOPF NATUERLICH")
    for path in tmp_path.iterdir():
        dataset: Any = pydicom.dcmread(path)
        dataset.add_new("SpecificCharacterSet", "CS", (label or "").split("\\"))
        if label is None:
            del dataset.SpecificCharacterSet
        dataset.save_as(path)
        whole = path.read_bytes().replace(b"NATUERLICH", b"NAT\xc3\x9c\xffLICH")
        path.write_bytes(whole)
    (candidate,) = series_from_scan(headers_from_path(tmp_path))
    assert candidate.accepted
    assert candidate.verdict.facts["SeriesDescription"].startswith("KOPF NAT")  # type: ignore[union-attr]


def test_two_patients_in_a_folder_are_never_merged(tmp_path: Path, make_series: Make) -> None:
    make_series(tmp_path / "a")
    make_series(tmp_path / "b", StudyInstanceUID="1.9", SeriesInstanceUID="1.9.1", PatientID="B")
    for command in (["infer"], ["validate"]):
        answer = run(*command, tmp_path)
        assert answer.exit_code == 4
        assert "2 studies of 2 patient" in answer.output
        assert "mixed_studies" in answer.output
    assert run("validate", tmp_path, "--series", "1.9.1").exit_code == 0


@pytest.mark.parametrize(
    "other",
    [{"PatientName": "ROE^RICHARD"}, {"PatientBirthDate": "19600102"}, {"PatientID": "OTHER"}],
)
def test_one_study_whose_files_name_two_patients_is_refused(
    tmp_path: Path, make_series: Make, other: dict[str, str]
) -> None:
    same = {"PatientName": "DOE^JANE", "PatientBirthDate": "19500102"}
    make_series(tmp_path / "a", **same)
    make_series(tmp_path / "b", SeriesInstanceUID="1.2.3.9", **{**same, **other})
    with pytest.raises(RefusedInput, match="patient_mismatch"):
        chosen_series(series_from_scan(headers_from_path(tmp_path)))


def test_one_patient_written_in_two_ways_is_one_patient(tmp_path: Path, make_series: Make) -> None:
    """Case, empty parts, and files that are read by pydicom instead of the quick scan."""
    make_series(tmp_path / "a", PatientName="DOE^JANE")
    tags: dict[str, Any] = {
        "SeriesDescription": "NAT\u00dcRLICH",
        "SpecificCharacterSet": "ISO_IR 100",
    }
    make_series(tmp_path / "b", SeriesInstanceUID="1.7", PatientName="Doe^Jane^^", **tags)
    deflated = pydicom.uid.DeflatedExplicitVRLittleEndian
    make_series(
        tmp_path / "c", SeriesInstanceUID="1.8", PatientName="DOE^JANE", TransferSyntaxUID=deflated
    )
    assert len({header.patient_key for header in headers_from_path(tmp_path).headers}) == 1


@pytest.mark.parametrize(
    ("name", "phantom"),
    [
        ("PHANTOM^HEAD", True),
        ("QA^DAILY", True),
        ("Test^Patient", True),
        ("WATERS^ANN", False),
        ("DAILY^JOHN", False),
        ("QAZI^ANN", False),
        ("TESTINO^ANN", False),
    ],
)
def test_a_phantom_is_known_by_the_beginning_of_its_name(
    tmp_path: Path, make_slice: Any, name: str, phantom: bool
) -> None:
    make_slice(tmp_path / "a.dcm", PatientName=name)
    assert headers_from_path(tmp_path).headers[0].named_phantom is phantom


@pytest.mark.parametrize(
    ("age", "years"), [("045Y", 45.0), ("018M", 1.5), ("010D", 10 / 365.25), ("45", None)]
)
def test_an_age_is_read_with_its_unit(
    tmp_path: Path, make_slice: Any, age: str, years: float | None
) -> None:
    make_slice(tmp_path / "a.dcm", PatientAge="000Y")
    path = tmp_path / "a.dcm"
    path.write_bytes(path.read_bytes().replace(b"000Y", age.encode().ljust(4)))
    assert headers_from_path(tmp_path).headers[0].age_years == years


@pytest.mark.parametrize(
    ("texts", "accepted"),
    [
        ({"BodyPartExamined": "HEAD", "StudyDescription": "CHEST AND HEAD"}, True),
        ({"BodyPartExamined": "HEADNECK"}, True),
        (
            {"BodyPartExamined": None, "SeriesDescription": "BRAIN", "StudyDescription": "CHEST"},
            True,
        ),
        ({"BodyPartExamined": "", "SeriesDescription": "", "StudyDescription": "CT NECK"}, False),
        ({"BodyPartExamined": "CSPINE", "SeriesDescription": "HEAD"}, False),
        ({"BodyPartExamined": None, "SeriesDescription": "", "StudyDescription": ""}, True),
    ],
)
def test_the_body_part_comes_from_its_tag_first_and_from_texts_else(
    tmp_path: Path, make_series: Make, texts: dict[str, Any], accepted: bool
) -> None:
    (candidate,) = series_from_scan(headers_from_path(make_series(tmp_path, **texts)))
    assert candidate.accepted is accepted
