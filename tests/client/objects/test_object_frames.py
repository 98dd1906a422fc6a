"""Frames of enhanced images are named by their numbers, in every object and to every reader."""

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
from pydicom import Dataset, dcmread

from ichclient.errors import RefusedInput
from ichclient.infer import study_from_path
from ichclient.objects.files import KEY_OBJECTS_FILE, MASK_FILE, PROBABILITY_FILE, REPORT_FILE
from ichclient.objects.judgement import Judgement
from ichclient.objects.references import frames_of, instances, reference
from ichclient.objects.refused import refusals_reported
from ichclient.objects.sources import SourceStudy
from ichclient.output import write_files
from ichclient.rules import DEFAULT_BOOK

BIN = Path(sys.executable).parent


def errors(path: Path) -> list[str]:
    """What dciodvfy calls an error."""
    said = subprocess.run([BIN / "dciodvfy", path], capture_output=True, text=True, check=False)
    return [line for line in (said.stdout + said.stderr).splitlines() if line.startswith("Error")]


def place_of(dataset: Any) -> tuple[str, int]:
    return str(dataset.ReferencedSOPInstanceUID), int(dataset.ReferencedFrameNumber)


@pytest.fixture(params=[1, 2], ids=["one file", "two files"])
def enhanced(
    request: pytest.FixtureRequest,
    make_series: Callable[..., Path],
    make_legacy_converted: Callable[..., Path],
    judge: Callable[..., Any],
    tmp_path: Path,
) -> tuple[Any, Path]:
    """A judged stack of 20 frames in one enhanced file or in two, and its objects."""
    single = make_series(tmp_path / "single", PatientBirthDate="19500102", StudyDate="20260101")
    halves = [slice(None)] if request.param == 1 else [slice(10), slice(10, None)]
    for number, half in enumerate(halves):
        target = tmp_path / "study" / f"{number}.dcm"
        make_legacy_converted(single, target, series_uid="1.2.3.9", files=half)
    study, out = judge(tmp_path / "study"), tmp_path / "out"
    out.mkdir()
    write_files(out, study.files(out))
    return study, out


def frame_of_slice(study: Any, index: int) -> tuple[str, int]:
    one = study.result.slices[index]
    return one.SOPInstanceUID, one.frame_number


def test_validators_and_readers_find_no_error(enhanced: tuple[Any, Path], tmp_path: Path) -> None:
    _, out = enhanced
    written = sorted((out / "dicom").iterdir())
    assert len(written) == 9
    assert {path.name: errors(path) for path in written if errors(path)} == {}
    reader = shutil.which("tid1500reader", path=f"{BIN}{os.pathsep}{os.environ['PATH']}")
    dsrdump = shutil.which("dsrdump")
    if reader is None or dsrdump is None:
        pytest.skip("dcmqi or DCMTK is not installed")
    command = [reader, "--inputDICOM", out / REPORT_FILE, "--outputMetadata", tmp_path / "m.json"]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(json.loads((tmp_path / "m.json").read_text())["Measurements"]) == 3
    for name in (REPORT_FILE, KEY_OBJECTS_FILE):
        done = subprocess.run([dsrdump, out / name], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "E: " not in done.stderr


def test_the_report_points_at_the_frame_of_the_top_slice(enhanced: tuple[Any, Path]) -> None:
    study, out = enhanced
    (group,) = hd.sr.srread(out / REPORT_FILE).content.get_planar_roi_measurement_groups()
    (image,) = [item for item in group[0].ContentSequence if item.ValueType == "SCOORD"]
    named = image.ContentSequence[0].ReferencedSOPSequence[0]
    assert place_of(named) == frame_of_slice(study, study.result.top_slices[0])
    report = dcmread(out / REPORT_FILE)
    (series,) = report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    evidence = [item.ReferencedSOPInstanceUID for item in series.ReferencedSOPSequence]
    assert len(set(evidence)) == len(evidence)
    assert set(evidence) == {one.SOPInstanceUID for one in study.result.slices}


def test_each_frame_of_a_segmentation_names_the_frame_that_it_lies_on(
    enhanced: tuple[Any, Path],
) -> None:
    study, out = enhanced
    by_frame = {
        (header.SOPInstanceUID, header.frame_number): (index, header)
        for index, header in enumerate(study.series.slices)
    }
    told = Judgement(study.series, study.judged, study.result, None, None)  # type: ignore[arg-type]
    for name in (PROBABILITY_FILE, MASK_FILE):
        segmentation = hd.seg.segread(out / name)
        (series,) = segmentation.ReferencedSeriesSequence
        uids = [item.ReferencedSOPInstanceUID for item in series.ReferencedInstanceSequence]
        assert sorted(uids) == sorted({uid for uid, _ in by_frame})
        met = set()
        for frame in segmentation.PerFrameFunctionalGroupsSequence:
            named = place_of(frame.DerivationImageSequence[0].SourceImageSequence[0])
            index, header = by_frame[named]
            position = frame.PlanePositionSequence[0].ImagePositionPatient
            assert np.allclose([float(value) for value in position], header.ImagePositionPatient)
            pixels = segmentation.get_pixels_by_source_frame(
                named[0], [named[1]], combine_segments=False, rescale_fractional=False
            )[0, ..., 0]
            mask = told.mask(index)
            expected = mask if name == PROBABILITY_FILE else mask >= 0.5 * 255
            np.testing.assert_array_equal(pixels, expected)
            met.add(index)
        assert met == set(range(20))


def test_key_objects_and_key_images_name_the_top_frames(enhanced: tuple[Any, Path]) -> None:
    study, out = enhanced
    top = [frame_of_slice(study, index) for index in study.result.top_slices]
    found = []
    for item in dcmread(out / KEY_OBJECTS_FILE).ContentSequence:
        for named in item.get("ReferencedSOPSequence", []):
            numbers = named.get("ReferencedFrameNumber", [])
            numbers = [numbers] if isinstance(numbers, int) else numbers
            found += [(str(named.ReferencedSOPInstanceUID), int(number)) for number in numbers]
    assert sorted(found) == sorted(top)
    for number, place in enumerate(top, start=1):
        image = dcmread(out / "dicom" / f"key_image_{number}.dcm")
        assert place_of(image.SourceImageSequence[0]) == place


def test_a_real_head_in_one_file_is_marked_where_its_slices_are(
    head_ct_ge: Path,
    make_legacy_converted: Callable[..., Path],
    judge: Callable[..., Any],
    tmp_path: Path,
) -> None:
    make_legacy_converted(head_ct_ge, tmp_path / "study" / "one.dcm")
    write_files(tmp_path, judge(tmp_path / "study").files(tmp_path))
    found = {path.name: errors(path) for path in (tmp_path / "dicom").iterdir()}
    assert {name: said for name, said in found.items() if said} == {}


def test_a_refused_enhanced_study_gets_a_report_too(
    make_series: Callable[..., Path], make_legacy_converted: Callable[..., Path], tmp_path: Path
) -> None:
    single = make_series(tmp_path / "single", [0.0, 5.0])
    path = make_legacy_converted(single, tmp_path / "study" / "one.dcm")
    (tmp_path / "out").mkdir()
    with (
        pytest.raises(RefusedInput),
        refusals_reported(path, tmp_path / "out", None, DEFAULT_BOOK),
    ):
        study_from_path(path)
    assert errors(tmp_path / "out" / REPORT_FILE) == []


def image(uid: str, frames: int | None) -> Dataset:
    made = Dataset()
    made.SOPClassUID, made.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2.1", uid
    if frames is not None:
        made.NumberOfFrames = frames
    return made


def test_a_reference_names_frames_only_where_it_does_not_mean_all_of_them() -> None:
    images = (image("1.1", None), image("1.2", 3), image("1.2", 3), image("1.3", 2))
    source = SourceStudy((*images, images[3]), (None, 3, 1, 1, 2), Dataset())
    everything = range(5)
    assert [each.SOPInstanceUID for each in instances(source)] == ["1.1", "1.2", "1.3"]
    assert frames_of(source, images[0], everything) is None
    assert frames_of(source, images[1], everything) == [3, 1], "its second frame was not judged"
    assert frames_of(source, images[3], everything) is None, "every frame of it was judged"
    assert frames_of(source, images[3], [3]) == [1]
    assert "ReferencedFrameNumber" not in reference(source, 0)
    assert reference(source, 1).ReferencedFrameNumber == 3
