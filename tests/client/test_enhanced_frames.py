"""A stack in one file is the same stack: Enhanced and Legacy Converted Enhanced CT."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, RLELossless

from ichclient.connect import ProvenServer
from ichclient.dicom import headers_from_path
from ichclient.errors import RefusedInput
from ichclient.hounsfield import hu_slices_from_series
from ichclient.infer import result_from_study, study_from_path
from ichclient.series import Series, chosen_series, series_from_scan

Make = Callable[..., Any]
ENHANCED = "1.2.840.10008.5.1.4.1.1.2.1"


def series_of(path: Path) -> Series:
    return chosen_series(series_from_scan(headers_from_path(path)))


def hu_of(series: Series) -> NDArray[np.float32]:
    return np.stack([one.hu for one in hu_slices_from_series(series)])


def item(**values: Any) -> Dataset:
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


def enhanced(path: Path, make_slice: Make, made_hu: NDArray[np.int16], **tags: Any) -> Any:
    """20 frames every 5 mm, stored from the top down, each with a slope of its own."""
    slopes = [1 + index % 2 for index in range(20)]
    planes = [np.asarray((made_hu + 1000) // slope, np.int16) for slope in slopes]
    per_frame = [
        item(
            PlanePositionSequence=[item(ImagePositionPatient=[-16, -16, 95 - 5 * index])],
            PixelValueTransformationSequence=[
                item(RescaleSlope=slope, RescaleIntercept=-1000, RescaleType="HU")
            ],
            FrameContentSequence=[item(StackID="1", InStackPositionNumber=20 - index)],
        )
        for index, slope in enumerate(slopes)
    ]
    shared = item(
        PlaneOrientationSequence=[item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])],
        PixelMeasuresSequence=[item(PixelSpacing=[6, 6], SliceThickness=5)],
        CTImageFrameTypeSequence=[item(FrameType=["ORIGINAL", "PRIMARY", "AXIAL", "NONE"])],
        CTReconstructionSequence=[item(ConvolutionKernel="STANDARD")],
    )
    values = {
        "SOPClassUID": ENHANCED,
        "NumberOfFrames": 20,
        "PixelData": b"".join(plane.tobytes() for plane in planes),
        "ImageType": ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"],
        "SharedFunctionalGroupsSequence": [shared],
        "PerFrameFunctionalGroupsSequence": per_frame,
        **dict.fromkeys(
            ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope",
             "RescaleIntercept", "ConvolutionKernel"),
        ),
        **tags,
    }  # fmt: skip
    return make_slice(path, **values)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless])
def test_a_real_series_in_one_file_is_the_same_series(
    tmp_path: Path,
    head_ct_ge: Path,
    syntax: str,
    make_legacy_converted: Make,
) -> None:
    single = series_of(head_ct_ge)
    multi = series_of(make_legacy_converted(head_ct_ge, tmp_path / "one.dcm", syntax))
    assert multi.positions_mm == single.positions_mm
    assert multi.gantry_tilt_degrees == single.gantry_tilt_degrees
    assert multi.pixel_spacing_mm == single.pixel_spacing_mm
    assert multi.identity.ConvolutionKernel == single.identity.ConvolutionKernel
    assert [w.code for w in multi.warnings] == [w.code for w in single.warnings]
    assert len({one.SOPInstanceUID for one in multi.slices}) == 1
    assert [one.frame_number for one in multi.slices] == list(range(1, 29))
    np.testing.assert_array_equal(hu_of(multi), hu_of(single))


def test_made_slices_in_one_file_are_the_same_series(
    tmp_path: Path,
    make_series: Make,
    made_hu: NDArray[np.int16],
    make_legacy_converted: Make,
) -> None:
    single = series_of(make_series(tmp_path / "single"))
    multi = series_of(make_legacy_converted(tmp_path / "single", tmp_path / "one.dcm"))
    assert multi.positions_mm == single.positions_mm
    assert (hu_of(multi) == made_hu).all()


def test_every_frame_is_placed_and_rescaled_by_its_own_groups(
    tmp_path: Path, make_slice: Make, made_hu: NDArray[np.int16]
) -> None:
    enhanced(tmp_path / "a.dcm", make_slice, made_hu)
    series = series_of(tmp_path)
    assert series.positions_mm == tuple(5.0 * index for index in range(20))
    assert [one.frame_number for one in series.slices] == list(range(20, 0, -1))
    assert {one.RescaleSlope for one in series.slices} == {1.0, 2.0}
    hu = hu_of(series)
    assert (hu[1::2] == made_hu).all()  # frame 19, of slope 1, lies second
    assert (abs(hu[::2] - made_hu) <= 1).all()


def test_the_frame_number_is_in_the_result(
    tmp_path: Path, make_slice: Make, make_series: Make, made_hu: Any, proven: ProvenServer
) -> None:
    enhanced(tmp_path / "multi" / "a.dcm", make_slice, made_hu)
    for folder, numbers in (
        (tmp_path / "multi", list(range(20, 0, -1))),
        (make_series(tmp_path / "single"), [None] * 20),
    ):
        result, _ = result_from_study(
            study_from_path(folder), proven, lambda *_: None, time.monotonic()
        )
        assert [one.frame_number for one in result.slices] == numbers


def test_perfusion_maps_are_refused_whatever_is_named(
    tmp_path: Path, make_slice: Make, made_hu: NDArray[np.int16]
) -> None:
    kind = ["DERIVED", "PRIMARY", "PERFUSION", "RCBF"]
    shared = item(
        PlaneOrientationSequence=[item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])],
        PixelMeasuresSequence=[item(PixelSpacing=[6, 6], SliceThickness=5)],
        CTImageFrameTypeSequence=[item(FrameType=kind)],
    )
    enhanced(tmp_path / "a.dcm", make_slice, made_hu, SharedFunctionalGroupsSequence=[shared])
    candidates = series_from_scan(headers_from_path(tmp_path))
    assert [one.verdict.code for one in candidates] == ["functional_map"]
    with pytest.raises(RefusedInput, match="functional_map"):
        chosen_series(candidates, "1.2.3.4")


def test_two_moments_at_the_same_places_are_judged_apart(
    tmp_path: Path, make_slice: Make, made_hu: NDArray[np.int16]
) -> None:
    plain = enhanced(tmp_path / "a.dcm", make_slice, made_hu)
    for index, group in enumerate(plain.PerFrameFunctionalGroupsSequence):
        place = group.PlanePositionSequence[0]
        place.ImagePositionPatient = [-16, -16, 10 * (index % 10)]
        group.FrameContentSequence[0].TemporalPositionIndex = 1 + index // 10
    plain.save_as(tmp_path / "a.dcm")
    candidates = series_from_scan(headers_from_path(tmp_path))
    assert [len(one.stack.slices) for one in candidates] == [10, 10]


def test_frames_at_one_place_that_differ_are_not_taken_for_copies(
    tmp_path: Path, make_slice: Make, made_hu: NDArray[np.int16]
) -> None:
    plain = enhanced(tmp_path / "a.dcm", make_slice, made_hu)
    groups = plain.PerFrameFunctionalGroupsSequence
    groups[1].PlanePositionSequence = groups[0].PlanePositionSequence
    plain.save_as(tmp_path / "a.dcm")
    (candidate,) = series_from_scan(headers_from_path(tmp_path))
    assert candidate.verdict.code == "ambiguous_duplicates"


def test_contrast_that_a_frame_was_made_with_is_found(
    tmp_path: Path, make_slice: Make, made_hu: NDArray[np.int16]
) -> None:
    agent = item(CodeValue="C-B0300", CodingSchemeDesignator="SRT", CodeMeaning="Iohexol")
    enhanced(tmp_path / "a.dcm", make_slice, made_hu, ContrastBolusAgentSequence=[agent])
    (candidate,) = series_from_scan(headers_from_path(tmp_path))
    assert candidate.verdict.code == "contrast"


@pytest.mark.parametrize("frames", [19, 21, 2_000_000_000])
def test_frames_that_are_not_described_are_not_guessed(
    tmp_path: Path, make_slice: Make, make_series: Make, made_hu: Any, frames: int
) -> None:
    make_series(tmp_path)
    enhanced(tmp_path / "multi.dcm", make_slice, made_hu, NumberOfFrames=frames)
    scan = headers_from_path(tmp_path)
    assert [(one.path, one.code) for one in scan.skipped] == [("multi.dcm", "frames_disagree")]


def test_a_file_cut_in_its_frames_is_refused(
    tmp_path: Path, make_slice: Make, made_hu: NDArray[np.int16]
) -> None:
    enhanced(tmp_path / "a.dcm", make_slice, made_hu)
    whole = (tmp_path / "a.dcm").read_bytes()
    (tmp_path / "a.dcm").write_bytes(whole[:-3000])
    with pytest.raises(RefusedInput, match=r"a\.dcm frame \d+: .*truncated_pixels"):
        hu_of(series_of(tmp_path))


def test_only_the_frame_that_is_asked_for_is_read(
    tmp_path: Path, make_slice: Make, made_hu: NDArray[np.int16]
) -> None:
    from ichclient.frames import plane_from_file

    enhanced(tmp_path / "a.dcm", make_slice, made_hu)
    series = series_of(tmp_path)
    assert {len(plane_from_file(one).data) for one in series.slices} == {2 * 32 * 32}
