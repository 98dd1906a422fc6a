"""Objects of the same result are the same bytes; those of another one are new and say so."""

from __future__ import annotations

import importlib.util
import io
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pytest
from click.testing import CliRunner
from pydicom import config, dcmread

from ichclient.cli import main
from ichclient.errors import CannotWrite, ObjectsError
from ichclient.objects.files import (
    KEY_OBJECTS_FILE,
    MASK_FILE,
    PROBABILITY_FILE,
    REPORT_FILE,
    object_files,
)
from ichclient.objects.judgement import uid_from
from ichclient.objects.sources import source_study
from ichclient.output import write_files
from ichclient.result import result_to_json
from ichcore import byte_mask_from_grid

LATER = datetime(2026, 6, 7, 8, 9, 10)


@pytest.fixture
def study(make_series: Callable[..., Path], judge: Callable[..., Any], tmp_path: Path) -> Any:
    return judge(make_series(tmp_path / "study", PatientName="DOE^JANE", PatientID="MRN-4711"))


def uid_of(content: bytes | None) -> str:
    assert content is not None
    return str(dcmread(io.BytesIO(content)).SOPInstanceUID)


def test_uids_are_valid_hashes_of_what_they_name() -> None:
    uids = {uid_from("a", "b"), uid_from("ab"), uid_from("b", "a"), uid_from("a", "b", "")}
    assert len(uids) == 4
    assert uid_from("a", "b") in uids
    assert all(re.fullmatch(r"2\.25\.[1-9]\d{0,38}", uid) for uid in uids)


def test_the_same_result_is_the_same_bytes(study: Any, tmp_path: Path) -> None:
    first = study.files(tmp_path)
    assert study.files(tmp_path) == first
    write_files(tmp_path, first)
    # Judged again later, with other timings, where the objects lie already.
    other = replace(study.result, timings={"total_s": 99.0})
    assert object_files(study.series, study.judged, other, tmp_path, LATER) == first


def test_a_changed_result_is_a_new_instance_that_names_its_predecessor(
    study: Any, tmp_path: Path
) -> None:
    first = study.files(tmp_path)
    write_files(tmp_path, first)
    mask = study.judged.mask.copy()
    mask[0, 0, 0] ^= 1
    changed = replace(study, judged=replace(study.judged, mask=mask))
    second = changed.files(tmp_path, LATER)
    write_files(tmp_path, second)
    shared = {uid_of(each) for each in first.values()} & {uid_of(each) for each in second.values()}
    assert shared == set()
    report = dcmread(tmp_path / REPORT_FILE)
    assert report.ContentDate == "20260607"
    ((of_study),) = report.PredecessorDocumentsSequence
    ((of_series),) = of_study.ReferencedSeriesSequence
    (named,) = of_series.ReferencedSOPSequence
    assert of_study.StudyInstanceUID == report.StudyInstanceUID
    assert named.ReferencedSOPInstanceUID == uid_of(first[REPORT_FILE])
    # Written again it stays what it is, and back at the first result it is a third instance.
    assert changed.files(tmp_path) == second
    third = uid_of(study.files(tmp_path)[REPORT_FILE])
    assert third not in {uid_of(first[REPORT_FILE]), uid_of(second[REPORT_FILE])}


@pytest.mark.parametrize("content", [b"", b"no DICOM", b"\0" * 128 + b"DICM" + b"\xff" * 60])
def test_a_foreign_file_in_the_folder_is_no_predecessor(
    study: Any, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "dicom").mkdir()
    (tmp_path / REPORT_FILE).write_bytes(content)
    report = study.objects(tmp_path)[REPORT_FILE]
    assert "PredecessorDocumentsSequence" not in report


def test_a_report_of_another_study_is_no_predecessor(
    study: Any, tmp_path: Path, make_series: Callable[..., Path], judge: Callable[..., Any]
) -> None:
    other = judge(make_series(tmp_path / "other", StudyInstanceUID="1.2.99"))
    write_files(tmp_path, other.files(tmp_path))
    assert "PredecessorDocumentsSequence" not in study.objects(tmp_path)[REPORT_FILE]


def test_what_an_earlier_result_left_is_removed(study: Any, tmp_path: Path) -> None:
    write_files(tmp_path, study.files(tmp_path))
    blank = replace(study.judged, mask=np.zeros_like(study.judged.mask))
    fewer = replace(study.result, top_slices=study.result.top_slices[:2])
    write_files(tmp_path, replace(study, judged=blank, result=fewer).files(tmp_path))
    assert {path.name for path in (tmp_path / "dicom").iterdir()} == {
        "report.dcm", "key_objects.dcm", "key_image_1.dcm", "key_image_2.dcm",
    }  # fmt: skip


def test_objects_are_written_with_the_others_or_nothing_is(tmp_path: Path) -> None:
    (tmp_path / "dicom").write_text("a file where the folder should be")
    with pytest.raises(CannotWrite, match=tmp_path.name):
        write_files(tmp_path, {"top_slice.png": b"new", REPORT_FILE: b"new", "result.json": b"new"})
    assert [path.name for path in tmp_path.iterdir()] == ["dicom"]


def test_a_folder_made_for_objects_goes_where_they_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ichclient.output.os.fsync", full)
    with pytest.raises(CannotWrite, match="No space left"):
        write_files(tmp_path, {REPORT_FILE: b"new", "result.json": b"new"})
    assert list(tmp_path.iterdir()) == []


def test_the_segmentation_is_the_mask_on_the_scanned_pixels(study: Any, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    mask = random.integers(0, 256, study.judged.mask.shape).astype(np.uint8)
    mask[[3, 7]] = 0  # slices without a mask have no frame
    study = replace(study, judged=replace(study.judged, mask=mask))
    objects = study.files(tmp_path)
    segmentation = hd.seg.segread(io.BytesIO(objects[PROBABILITY_FILE]))
    judged, slices = study.judged, study.series.slices
    uids = [header.SOPInstanceUID for header in slices]
    read = segmentation.get_pixels_by_source_instance(
        uids, rescale_fractional=False, assert_missing_frames_are_empty=True
    )[..., 0]
    assert segmentation.NumberOfFrames == len(slices) - 2
    expected = [
        byte_mask_from_grid(judged.mask[index], judged.placements[index], judged.grid)
        for index in range(len(slices))
    ]
    assert read.any()
    assert np.array_equal(read, expected)
    assert segmentation.FrameOfReferenceUID == study.series.identity.FrameOfReferenceUID
    assert segmentation.SegmentationFractionalType == "PROBABILITY"
    drawn = hd.seg.segread(io.BytesIO(objects[MASK_FILE]))
    mask = drawn.get_pixels_by_source_instance(uids, assert_missing_frames_are_empty=True)[..., 0]
    assert drawn.SegmentationType == "BINARY"
    assert np.array_equal(mask, np.asarray(expected) >= 128)


def test_a_rotated_series_is_marked_at_the_same_place_of_the_patient(
    study: Any,
    make_slice: Callable[..., Any],
    judge: Callable[..., Any],
    made_hu: np.ndarray[Any, Any],
    tmp_path: Path,
) -> None:
    far = -16.0 + 31 * 6.0
    for index in range(20):
        make_slice(
            tmp_path / "rotated" / f"{index}.dcm",
            hu=made_hu[::-1, ::-1],
            ImageOrientationPatient=[-1, 0, 0, 0, -1, 0],
            ImagePositionPatient=[far, far, 5.0 * index],
        )
    rotated = judge(tmp_path / "rotated")
    places = []
    for each in (study, rotated):
        (group,) = hd.sr.srread(
            io.BytesIO(each.files(tmp_path)[REPORT_FILE])
        ).content.get_planar_roi_measurement_groups()
        ((column, row),) = group.roi.value
        header = each.series.slices[0]
        x, y, _ = header.ImagePositionPatient
        right, _, _, _, down, _ = header.ImageOrientationPatient
        places.append((x + right * 6 * (column - 0.5), y + down * 6 * (row - 0.5)))
    assert places[0] == pytest.approx(places[1], abs=6.1)  # a pixel: equals lie side by side
    middle = -16 + 6 * 15.5
    assert places[0][0] > middle  # left of the patient, where the mask was painted


def test_key_images_warn_and_name_nobody(study: Any, tmp_path: Path) -> None:
    objects = study.objects(tmp_path)
    images = {name: item for name, item in objects.items() if "key_image" in name}
    selected = {
        item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        for item in objects[KEY_OBJECTS_FILE].ContentSequence
        if item.ValueType == "IMAGE"
    }
    for number, index in enumerate(study.result.top_slices, start=1):
        image = images[f"dicom/key_image_{number}.dcm"]
        source = study.series.slices[index].SOPInstanceUID
        assert image.SourceImageSequence[0].ReferencedSOPInstanceUID == source
        assert {image.SOPInstanceUID, source} <= selected
        assert (image.Modality, image.BurnedInAnnotation) == ("OT", "NO")
        pixels = image.pixel_array.astype(int)
        coloured = np.ptp(pixels, axis=2) > 100
        assert coloured[:30].any()  # the banner
        red = (pixels[..., 0] > 200) & (pixels[..., 1] < 60)
        assert red[100:400, 100:400].any()  # the outline
    assert len(selected) == 2 * len(study.result.top_slices)


def test_identity_is_in_the_objects_alone(study: Any, tmp_path: Path) -> None:
    files = study.files(tmp_path)
    assert b"DOE^JANE" in files[REPORT_FILE]
    assert not any("DOE" in name or "4711" in name for name in files)
    assert "DOE" not in result_to_json(study.result)
    assert "DOE" not in repr(source_study(study.series.slices, 5.0))


def test_source_images_without_uids_are_refused_with_a_reason(
    make_series: Callable[..., Path], judge: Callable[..., Any], tmp_path: Path
) -> None:
    study = judge(make_series(tmp_path / "study", FrameOfReferenceUID=None))
    with pytest.raises(ObjectsError, match="FrameOfReferenceUID"):
        study.files(tmp_path)


@pytest.mark.parametrize("tags", [{"PatientSex": "X"}, {"PatientBirthDate": "1.2.1950"},
                                  {"StudyDate": "2026"}, {"PatientID": "9" * 70}])  # fmt: skip
@pytest.mark.filterwarnings("ignore::UserWarning:pydicom.*")
def test_odd_words_about_the_patient_stay_as_they_are(
    make_series: Callable[..., Path],
    judge: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tags: dict[str, str],
) -> None:
    monkeypatch.setattr(config.settings, "writing_validation_mode", config.IGNORE)
    folder = make_series(tmp_path / "study", **tags)
    monkeypatch.undo()
    study = judge(folder)
    ((keyword, value),) = tags.items()
    for dataset in study.objects(tmp_path).values():
        assert dataset[keyword].value == value


def test_a_missing_library_is_told_in_one_sentence_before_any_work(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "ichclient.objects.extra.find_spec",
        lambda name: None if name == "highdicom" else find(name),
    )
    where = [str(tmp_path / "none"), "--out", str(tmp_path / "out"), "--dicom"]
    answer = CliRunner().invoke(main, ["infer", *where])
    assert answer.exit_code == ObjectsError.exit_code == 7
    assert "pip install 'ich-triton[dicom-out]'" in answer.stderr
    assert not (tmp_path / "out").exists()


def test_nothing_of_it_is_loaded_unless_objects_are_written() -> None:
    code = "import ichclient.infer, sys; print({'highdicom', 'pydicom'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_objects_of_lossy_images_are_lossy(
    make_series: Callable[..., Path], judge: Callable[..., Any], tmp_path: Path
) -> None:
    lossy = {
        "LossyImageCompression": "01",
        "LossyImageCompressionRatio": 8,
        "LossyImageCompressionMethod": "ISO_10918_1",
    }
    objects = judge(make_series(tmp_path / "study", **lossy)).objects(tmp_path)
    for name in (PROBABILITY_FILE, MASK_FILE, "dicom/key_image_1.dcm"):
        assert {keyword: objects[name][keyword].value for keyword in lossy} == lossy


def test_objects_need_a_folder(tmp_path: Path) -> None:
    answer = CliRunner().invoke(main, ["infer", str(tmp_path), "--dicom"])
    assert answer.exit_code == 2
    assert "--out" in answer.stderr
