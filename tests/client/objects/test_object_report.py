"""The structured report says what was judged, of whom and by what, to more readers than ours."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import FileDataset

from ichclient.objects.files import KEY_OBJECTS_FILE, MASK_FILE, PROBABILITY_FILE, REPORT_FILE
from ichclient.output import write_files

BIN = Path(sys.executable).parent


def items(dataset: Any, name: str) -> list[Any]:
    """Every content item with this concept name, at any depth."""
    found = []
    for item in dataset.get("ContentSequence", []):
        if item.get("ConceptNameCodeSequence", [{}])[0].get("CodeMeaning") == name:
            found.append(item)
        found.extend(items(item, name))
    return found


def valid(path: Path) -> list[str]:
    """What dciodvfy calls an error."""
    said = subprocess.run([BIN / "dciodvfy", path], capture_output=True, text=True, check=False)
    return [line for line in (said.stdout + said.stderr).splitlines() if line.startswith("Error")]


@pytest.fixture
def positive(
    make_series: Callable[..., Path], judge: Callable[..., Any], tmp_path: Path
) -> tuple[Any, Path]:
    folder = make_series(
        tmp_path / "study",
        PatientName="DOE^JANE",
        PatientBirthDate="19500102",
        PatientSex="F",
        IssuerOfPatientID="HOSPITAL",
        StudyDate="20260101",
        StudyTime="101112",
        StudyID="7",
        AccessionNumber="A-1",
        TimezoneOffsetFromUTC="+0100",
    )
    study, out = judge(folder), tmp_path / "out"
    out.mkdir()
    write_files(out, study.files(out))
    return study, out


def test_independent_validators_find_no_error(positive: tuple[Any, Path]) -> None:
    _, out = positive
    written = sorted((out / "dicom").iterdir())
    assert len(written) == 9
    assert {path.name: valid(path) for path in written if valid(path)} == {}


def test_the_report_tells_findings_certainty_and_operating_point(
    positive: tuple[Any, Path],
) -> None:
    study, out = positive
    report = hd.sr.srread(out / REPORT_FILE)
    assert isinstance(report, hd.sr.Comprehensive3DSR)
    flags = (report.CompletionFlag, report.VerificationFlag, report.PreliminaryFlag)
    assert flags == ("COMPLETE", "UNVERIFIED", "PRELIMINARY")
    (point,) = report.content.get_planar_roi_measurement_groups()
    members = report.content.get_image_measurement_groups()
    assert [group.tracking_identifier for group in (point, *members)] == [
        "ICH at balanced", "ich_any", "ich_sdh",
    ]  # fmt: skip
    assert [group.finding_type.value for group in (point, *members)] == [
        "1386000", "1386000", "35486000",
    ]  # fmt: skip
    percents = [group.get_measurements()[0].value for group in (point, *members)]
    scores = [study.result.study_score, *study.result.member_scores.values()]
    assert percents == pytest.approx([100 * score for score in scores], abs=1e-3)
    presences = [
        answer.value.value
        for group in (point, *members)
        for answer in group.get_qualitative_evaluations()
        if answer.name.meaning == "Presence"
    ]
    assert presences == ["52101004"]  # of the point alone: members have no threshold
    (parameters, *_) = items(report, "Algorithm Parameters")
    assert parameters.TextValue.startswith("operating point: balanced; members: ich_any, ich_sdh")
    assert study.result.bundle.provenance in parameters.TextValue
    assert "not a medical device" in parameters.TextValue


def test_every_source_image_is_evidence_of_the_same_study_and_patient(
    positive: tuple[Any, Path],
) -> None:
    study, out = positive
    report = dcmread(out / REPORT_FILE)
    (of_study,) = report.CurrentRequestedProcedureEvidenceSequence
    (of_series,) = of_study.ReferencedSeriesSequence
    named = {item.ReferencedSOPInstanceUID for item in of_series.ReferencedSOPSequence}
    assert named == {header.SOPInstanceUID for header in study.series.slices}
    source = dcmread(study.series.slices[0].path)
    series_uids = {source.SeriesInstanceUID}
    for path in (out / "dicom").iterdir():
        dataset = dcmread(path)
        for keyword in (
            "StudyInstanceUID", "PatientID", "PatientName", "PatientBirthDate", "PatientSex",
            "IssuerOfPatientID", "StudyDate", "StudyTime", "StudyID", "AccessionNumber",
            "TimezoneOffsetFromUTC",
        ):  # fmt: skip
            assert dataset[keyword].value == source[keyword].value, (path.name, keyword)
        series_uids.add(dataset.SeriesInstanceUID)
    assert len(series_uids) == 5  # the source's, and one for each kind of object


def test_the_point_lies_in_the_mask(positive: tuple[Any, Path]) -> None:
    study, out = positive
    (group,) = hd.sr.srread(out / REPORT_FILE).content.get_planar_roi_measurement_groups()
    ((column, row),) = group.roi.value
    (image,) = items(dcmread(out / REPORT_FILE), "Image Region")
    uid = image.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID
    assert uid == study.result.slices[study.result.top_slices[0]].SOPInstanceUID
    pixels = hd.seg.segread(out / PROBABILITY_FILE).get_pixels_by_source_instance([uid])[0, ..., 0]
    assert pixels[int(row), int(column)] == pixels.max() > 0


def test_tid1500reader_reads_it(positive: tuple[Any, Path], tmp_path: Path) -> None:
    reader = shutil.which("tid1500reader", path=f"{BIN}{os.pathsep}{os.environ['PATH']}")
    if reader is None:
        pytest.skip("dcmqi is not installed")
    command = [reader, "--inputDICOM", positive[1] / REPORT_FILE, "--outputMetadata"]
    done = subprocess.run([*command, tmp_path / "m.json"], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    read = json.loads((tmp_path / "m.json").read_text())
    first = read["Measurements"][0]
    assert first["Finding"]["CodeValue"] == "1386000"
    assert first["measurementItems"][0]["quantity"]["CodeValue"] == "111012"
    answers = {item["conceptCode"]["CodeValue"]: item for item in first["qualitativeEvaluations"]}
    assert answers["705057003"]["conceptValue"]["CodeValue"] == "52101004"
    assert len(read["Measurements"]) == 3


def test_dcmtk_reads_it(positive: tuple[Any, Path]) -> None:
    if not (dsrdump := shutil.which("dsrdump")):
        pytest.skip("DCMTK is not installed")
    for name in (REPORT_FILE, KEY_OBJECTS_FILE):
        command = [dsrdump, positive[1] / name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "E: " not in done.stderr
    assert "Measurement Group" in subprocess.run(
        [dsrdump, positive[1] / REPORT_FILE], capture_output=True, text=True, check=False
    ).stdout  # fmt: skip


def test_a_negative_is_reported_absent_and_marks_no_place(
    make_series: Callable[..., Path], judge: Callable[..., Any], tmp_path: Path
) -> None:
    study = judge(make_series(tmp_path / "study"), lesion=False)
    objects = study.objects(tmp_path)
    assert not {PROBABILITY_FILE, MASK_FILE} & set(objects)  # nothing was segmented
    report = objects[REPORT_FILE]
    (presence,) = items(report, "Presence")
    assert presence.ConceptCodeSequence[0].CodeValue == "272519000"
    assert items(report, "Image Region") == []
    assert len(objects) == 7


@pytest.mark.parametrize("charset", ["ISO_IR 100", "ISO_IR 192"])
def test_names_keep_their_letters(
    make_series: Callable[..., Path], judge: Callable[..., Any], tmp_path: Path, charset: str
) -> None:
    name = "Müller^Jörg"
    folder = make_series(tmp_path / "study", SpecificCharacterSet=charset, PatientName=name)
    written: dict[str, FileDataset] = judge(folder).objects(tmp_path)
    assert {str(dataset.PatientName) for dataset in written.values()} == {name}
    assert {dataset.SpecificCharacterSet for dataset in written.values()} == {"ISO_IR 192"}


def test_a_real_tilted_head_has_valid_objects(
    head_ct_ge: Path, judge: Callable[..., Any], tmp_path: Path
) -> None:
    study = judge(head_ct_ge)
    write_files(tmp_path, study.files(tmp_path))
    found = {path.name: valid(path) for path in (tmp_path / "dicom").iterdir()}
    assert {name: errors for name, errors in found.items() if errors} == {}
    segmentation = hd.seg.segread(tmp_path / PROBABILITY_FILE)
    places = [
        [float(value) for value in frame.PlanePositionSequence[0].ImagePositionPatient]
        for frame in segmentation.PerFrameFunctionalGroupsSequence
    ]
    scanned = [header.ImagePositionPatient for header in study.series.slices]
    assert np.allclose(sorted(places, key=lambda place: place[2]), scanned, atol=1e-3)
