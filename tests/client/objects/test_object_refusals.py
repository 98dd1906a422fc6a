"""A refused study gets a report that says so, wherever such a report can be honest."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import highdicom as hd
import pytest
from click.testing import CliRunner
from pydicom import dcmread

from ichclient.cli import main
from ichclient.errors import RefusedInput

REPORT = "dicom/report.dcm"


@pytest.fixture
def refused(tmp_path: Path) -> Callable[..., Path]:
    """Ask for the study in a folder, which is refused; returns the folder of the answer."""

    def asked(folder: Path, *options: str) -> Path:
        out = tmp_path / "out"
        where = [str(folder), "--out", str(out), "--dicom", *options]
        # Nobody listens there: a refusal is known before any server is needed.
        answer = CliRunner().invoke(main, ["infer", *where, "--url", "127.0.0.1:9"])
        assert answer.exit_code == RefusedInput.exit_code, answer.stderr
        return out

    return asked


def test_a_refused_study_gets_a_valid_report_without_a_word_on_presence(
    make_series: Callable[..., Path], refused: Callable[..., Path], tmp_path: Path
) -> None:
    folder = make_series(
        tmp_path / "study", ContrastBolusAgent="IOHEXOL", PatientName="DOE^JANE", StudyID="7"
    )
    out = refused(folder)
    assert [path.name for path in (out / "dicom").iterdir()] == ["report.dcm"]
    assert [path.name for path in out.iterdir()] == ["dicom"]
    report = hd.sr.srread(out / REPORT)
    assert (report.CompletionFlag, report.PatientName) == ("PARTIAL", "DOE^JANE")
    assert "contrast" in report.CompletionFlagDescription
    (group,) = report.content.get_image_measurement_groups()
    (answer,) = group.get_qualitative_evaluations()
    assert (answer.name.value, answer.value.value) == ("111064", "111245")
    assert group.get_measurements() == []
    assert len(report.get_evidence(current_procedure_only=True)) == 20
    dciodvfy = Path(sys.executable).parent / "dciodvfy"
    said = subprocess.run([dciodvfy, out / REPORT], capture_output=True, text=True, check=False)
    assert "Error" not in said.stdout + said.stderr


def test_a_study_without_geometry_is_reported_too(
    make_series: Callable[..., Path], refused: Callable[..., Path], tmp_path: Path
) -> None:
    folder = make_series(tmp_path / "study", PixelSpacing=None)
    report = dcmread(refused(folder) / REPORT)
    assert report.CompletionFlag == "PARTIAL"
    assert report.CompletionFlagDescription.startswith("Not judged: ")


def test_refused_again_it_is_the_same_report(
    make_series: Callable[..., Path], refused: Callable[..., Path], tmp_path: Path
) -> None:
    folder = make_series(tmp_path / "study", ContrastBolusAgent="IOHEXOL")
    first = (refused(folder) / REPORT).read_bytes()
    assert (refused(folder) / REPORT).read_bytes() == first


@pytest.mark.parametrize("changed", [{"StudyInstanceUID": "1.2.99"}, {"PatientID": "ANOTHER"}])
def test_nobody_gets_a_report_of_mixed_files(
    make_series: Callable[..., Path],
    refused: Callable[..., Path],
    tmp_path: Path,
    changed: dict[str, str],
) -> None:
    make_series(tmp_path / "study" / "a")
    make_series(tmp_path / "study" / "b", SeriesInstanceUID="1.2.3.9", **changed)
    assert not refused(tmp_path / "study").exists()


def test_a_series_that_is_not_there_is_no_refusal_of_the_study(
    make_series: Callable[..., Path], refused: Callable[..., Path], tmp_path: Path
) -> None:
    assert not refused(make_series(tmp_path / "study"), "--series", "1.2.9").exists()


def test_images_without_uids_get_no_report(
    make_series: Callable[..., Path], refused: Callable[..., Path], tmp_path: Path
) -> None:
    folder = make_series(tmp_path / "study", ContrastBolusAgent="IOHEXOL", FrameOfReferenceUID=None)
    assert not refused(folder).exists()
