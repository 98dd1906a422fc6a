"""Which series is taken, and what is said of every other."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ichclient.dicom import headers_from_path
from ichclient.errors import NothingFound, RefusedInput
from ichclient.kernels import kernel_character
from ichclient.series import Candidate, chosen_series, series_from_scan

Make = Callable[..., Path]


def candidates_of(path: Path) -> tuple[Candidate, ...]:
    return series_from_scan(headers_from_path(path))


def codes_of(path: Path) -> list[str]:
    return [item.verdict.code for item in candidates_of(path)]


def test_the_brain_series_of_a_real_study_is_chosen_and_the_rest_explained(
    head_ct_philips: Path,
) -> None:
    series = chosen_series(candidates_of(head_ct_philips))
    assert series.identity.SeriesDescription == "STD BRAIN 5MM"
    assert len(series.slices) == 28
    told = {item.verdict.facts["folder"]: item.verdict.code for item in series.considered}
    assert told == {
        "S21570/S1000": "localizer",
        "S21570/S2010": "chosen",
        "S21570/S2030": "insufficient_coverage",
        "S21570/S4010": "not_ct_image",
    }


def test_one_series_whose_image_types_differ_stays_one(head_ct_ge: Path) -> None:
    (candidate,) = candidates_of(head_ct_ge)
    assert candidate.accepted
    assert len(candidate.stack.slices) == 28
    assert len({header.ImageType for header in candidate.stack.slices}) == 2


@pytest.mark.parametrize(
    ("tags", "code"),
    [
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, "not_ct_image"),
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, "colour"),
        ({"NumberOfFrames": 4}, "multi_frame"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "localizer"),
        ({"ImageOrientationPatient": None}, "no_position"),
        ({"ImageOrientationPatient": [1, 0, 0, 0.3, 1, 0]}, "bad_orientation"),
        ({"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]}, "not_axial"),
        ({"ImageType": ["DERIVED", "SECONDARY", "MPR"]}, "derived"),
        ({"ContrastBolusAgent": "Omnipaque 350"}, "contrast"),
        ({"SeriesDescription": "CTA HEAD"}, "contrast"),
        ({"SeriesDescription": "HEAD POST"}, "contrast"),
        ({"BodyPartExamined": "CHEST"}, "not_head"),
    ],
)
def test_each_rule_refuses_with_its_own_code(
    tmp_path: Path, make_series: Make, tags: dict[str, Any], code: str
) -> None:
    (candidate,) = candidates_of(make_series(tmp_path, **tags))
    assert candidate.verdict.code == code
    with pytest.raises(RefusedInput, match=code) as caught:
        chosen_series([candidate])
    assert caught.value.exit_code == 4


@pytest.mark.parametrize(
    "tags",
    [
        {"ContrastBolusAgent": "NONE"},
        {"SeriesDescription": "HEAD W/O CONTRAST"},
        {"SeriesDescription": "POST FOSSA 2.5"},
        {"ImageType": ["DERIVED", "PRIMARY", "AXIAL"]},
        {"ImageType": None, "SOPClassUID": None, "BodyPartExamined": None},
    ],
)
def test_what_only_looks_like_a_reason_does_not_refuse(
    tmp_path: Path, make_series: Make, tags: dict[str, Any]
) -> None:
    assert codes_of(make_series(tmp_path, **tags)) == ["accepted"]


@pytest.mark.parametrize(
    ("heights", "code"),
    [
        ([10.0 * index for index in range(9)], "insufficient_coverage"),
        ([1.0 * index for index in range(30)], "insufficient_coverage"),
        ([5.0 * index + 10 * (index > 8) for index in range(20)], "gap"),
    ],
)
def test_too_little_of_the_head_is_refused(
    tmp_path: Path, make_series: Make, heights: list[float], code: str
) -> None:
    assert codes_of(make_series(tmp_path, heights)) == [code]


@pytest.mark.parametrize(
    ("worse", "preference"),
    [
        ({"ConvolutionKernel": "BONEPLUS"}, "kernel"),
        ({"ImageType": ["DERIVED", "PRIMARY", "AXIAL"]}, "original"),
        ({"SeriesDescription": "HEAD 70 keV"}, "energy"),
        ({"ConvolutionKernel": None, "WindowCenter": 900}, "kernel"),
        ({"z_mm": [5.0 * index for index in range(17)]}, "coverage"),
        ({"z_mm": [1.0 * index for index in range(100)]}, "spacing"),
        ({"SeriesNumber": 7}, "series number"),
        ({}, "uid"),
    ],
)
def test_the_loser_is_told_what_it_lost_by(
    tmp_path: Path, make_series: Make, worse: dict[str, Any], preference: str
) -> None:
    make_series(tmp_path / "z", SeriesDescription="GOOD")
    make_series(tmp_path / "a", SeriesInstanceUID="1.2.3.9", **worse)
    series = chosen_series(candidates_of(tmp_path))
    assert series.identity.SeriesDescription == "GOOD"
    (told,) = [c.verdict for c in series.considered if c.SeriesInstanceUID == "1.2.3.9"]
    assert told.code == "outranked"
    assert f"on {preference}:" in told.sentence


def test_a_lone_sharp_series_is_taken_with_a_warning(tmp_path: Path, make_series: Make) -> None:
    series = chosen_series(candidates_of(make_series(tmp_path, ConvolutionKernel="BONE")))
    assert [warning.code for warning in series.warnings] == ["sharp_kernel"]


@pytest.mark.parametrize(
    ("manufacturer", "kernel", "character"),
    [
        ("Philips", "UB", "soft"),
        ("Philips", "YA", "sharp"),
        ("GE MEDICAL SYSTEMS", "STD+", "soft"),
        ("GE MEDICAL SYSTEMS", "BONEPLUS", "sharp"),
        ("SIEMENS", "H31s", "soft"),
        ("Siemens Healthineers", "Hr60f 3", "sharp"),
        ("TOSHIBA", "FC26", "soft"),
        ("TOSHIBA", "FC81", "sharp"),
        ("", "", "unknown"),
    ],
)
def test_kernels_are_known_by_vendor(manufacturer: str, kernel: str, character: str) -> None:
    assert kernel_character(manufacturer, kernel) == character


def test_stacks_within_one_series_are_judged_apart(tmp_path: Path, make_series: Make) -> None:
    make_series(tmp_path / "a")
    make_series(tmp_path / "b", [0.0], ImageOrientationPatient=[0, 1, 0, 0, 0, -1])
    series = chosen_series(candidates_of(tmp_path))
    assert len(series.slices) == 20
    assert sorted(c.verdict.code for c in series.considered) == ["chosen", "not_axial"]


def test_two_phases_at_the_same_places_are_judged_apart(tmp_path: Path, make_series: Make) -> None:
    make_series(tmp_path / "a", AcquisitionNumber=1)
    make_series(tmp_path / "b", AcquisitionNumber=2, PixelData=b"\1" * 2048)
    assert codes_of(tmp_path) == ["accepted", "accepted"]


def test_a_copied_file_counts_once(tmp_path: Path, make_series: Make) -> None:
    make_series(tmp_path)
    shutil.copy(tmp_path / "003.dcm", tmp_path / "copy.dcm")
    series = chosen_series(candidates_of(tmp_path))
    assert len(series.slices) == 20
    assert [warning.code for warning in series.warnings] == ["duplicates_dropped"]


@pytest.mark.parametrize(
    ("pixels", "code"), [(None, "accepted"), (b"\1" * 2048, "ambiguous_duplicates")]
)
def test_two_slices_at_one_place_must_show_the_same(
    tmp_path: Path, make_series: Make, make_slice: Make, pixels: bytes | None, code: str
) -> None:
    make_series(tmp_path)
    own = {} if pixels is None else {"PixelData": pixels}
    make_slice(tmp_path / "x.dcm", ImagePositionPatient=[-16.0, -16.0, 15.02], **own)
    assert codes_of(tmp_path) == [code]


def test_one_uid_with_two_contents_is_refused(
    tmp_path: Path, make_series: Make, make_slice: Make
) -> None:
    make_series(tmp_path)
    uid = headers_from_path(tmp_path).headers[0].SOPInstanceUID
    place = [-16.0, -16.0, 100.0]
    make_slice(tmp_path / "x.dcm", SOPInstanceUID=uid, ImagePositionPatient=place)
    assert codes_of(tmp_path) == ["ambiguous_duplicates"]


def test_two_studies_are_refused_until_one_series_is_named(
    tmp_path: Path, make_series: Make
) -> None:
    make_series(tmp_path / "a")
    make_series(tmp_path / "b", StudyInstanceUID="1.9", SeriesInstanceUID="1.9.1", PatientID="X")
    candidates = candidates_of(tmp_path)
    with pytest.raises(RefusedInput, match=r"2 studies of 2 patient"):
        chosen_series(candidates)
    assert chosen_series(candidates, "1.9.1").identity.StudyInstanceUID == "1.9"


def test_two_patients_in_one_study_are_refused(tmp_path: Path, make_series: Make) -> None:
    make_series(tmp_path / "a")
    make_series(tmp_path / "b", SeriesInstanceUID="1.2.3.9", PatientID="OTHER")
    with pytest.raises(RefusedInput, match="patient_mismatch"):
        chosen_series(candidates_of(tmp_path))


def test_a_named_series_may_overrule_text_but_not_pixels(tmp_path: Path, make_series: Make) -> None:
    make_series(tmp_path / "a")
    make_series(tmp_path / "b", SeriesInstanceUID="1.7", ContrastBolusAgent="Iohexol")
    make_series(tmp_path / "c", [0.0, 5.0], SeriesInstanceUID="1.8")
    candidates = candidates_of(tmp_path)
    series = chosen_series(candidates, "1.7")
    assert [warning.code for warning in series.warnings] == ["contrast"]
    with pytest.raises(RefusedInput, match="insufficient_coverage"):
        chosen_series(candidates, "1.8")
    with pytest.raises(RefusedInput, match=r"from: 1\.2\.3\.4, 1\.7, 1\.8"):
        chosen_series(candidates, "1.6")


def test_a_study_of_another_modality_holds_no_ct(tmp_path: Path, make_series: Make) -> None:
    make_series(tmp_path, Modality="MR", SOPClassUID="1.2.840.10008.5.1.4.1.1.4")
    with pytest.raises(NothingFound, match="only MR") as caught:
        chosen_series(candidates_of(tmp_path))
    assert caught.value.exit_code == 3
