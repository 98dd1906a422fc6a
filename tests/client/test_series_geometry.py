"""Slices in order along their normal, with spacings and tilt measured from their positions."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ichclient.dicom import headers_from_path
from ichclient.geometry import canonical_orientation
from ichclient.series import Series, chosen_series, series_from_scan

Make = Callable[..., Path]


def series_of(path: Path) -> Series:
    return chosen_series(series_from_scan(headers_from_path(path)))


def test_ge_geometry_is_the_measured_truth(head_ct_ge: Path) -> None:
    series = series_of(head_ct_ge)
    gaps = Counter(np.round(np.diff(series.positions_mm), 3).tolist())
    assert gaps == {4.002: 13, 1.081: 1, 6.999: 13}
    assert series.gantry_tilt_degrees == pytest.approx(18.5, abs=5e-4)
    assert series.slice_spacing_mm == pytest.approx(4.002, abs=1e-3)
    assert series.pixel_spacing_mm == (0.4882812, 0.4882812)
    assert [w.code for w in series.warnings] == ["variable_spacing"]
    heights = [header.ImagePositionPatient[2] for header in series.slices]  # type: ignore[index]
    assert (min(heights), max(heights)) == (heights[0], heights[-1])
    assert heights[0] == pytest.approx(5.84, abs=0.01)


def test_both_distances_are_told_under_a_tilt(head_ct_ge: Path) -> None:
    geometry = series_of(head_ct_ge).geometry
    assert geometry.table_steps_mm[0] == pytest.approx(4.22, abs=1e-3)
    assert geometry.gaps_mm[0] == pytest.approx(4.002, abs=1e-3)
    assert geometry.pixel_area_mm2 == pytest.approx(0.4882812**2)
    assert not any(vars(geometry.canonical).values())
    assert geometry.coverage_mm == pytest.approx(148.09, abs=0.01)


def test_every_slice_leads_back_to_its_image_and_every_pixel_to_its_place(
    tmp_path: Path, make_series: Make
) -> None:
    heights = [5.0 * index for index in range(20)]
    sideways = [0.0, 1.0, 0.0, 1.0, 0.0, 0.0]  # along a row to the back, down a column to the left
    tags = {"ImageOrientationPatient": sideways, "PixelSpacing": [7.0, 6.0]}
    series = series_of(make_series(tmp_path, heights[::-1], **tags))
    places = series.geometry.slices
    assert [one.SOPInstanceUID for one in places] == [one.SOPInstanceUID for one in series.slices]
    assert [one.path for one in places] == [f"{19 - index:03}.dcm" for index in range(20)]
    assert series.geometry.patient_mm(2, row=0, column=0) == (-16.0, -16.0, 10.0)
    assert series.geometry.patient_mm(2, row=3, column=1) == (5.0, -10.0, 10.0)
    assert series.geometry.canonical.transposed


def test_nominal_tags_never_say_where_a_slice_lies(tmp_path: Path, make_series: Make) -> None:
    """What CQ500, GE and Philips write there is wrong by factors, or of the other sign."""
    nominal = {
        "SpacingBetweenSlices": 20.4,
        "SliceThickness": 0.625,
        "SliceLocation": -35.5,
        "GantryDetectorTilt": -18.5,
    }
    series = series_of(make_series(tmp_path, **nominal))
    assert set(series.geometry.gaps_mm) == {5.0}
    assert series.gantry_tilt_degrees == 0
    assert series.warnings == ()


def test_slices_without_numbers_are_ordered_by_place(tmp_path: Path, make_series: Make) -> None:
    series = series_of(make_series(tmp_path, InstanceNumber=None))
    assert series.positions_mm == tuple(5.0 * index for index in range(20))


def test_slices_that_overlap_are_no_trap(tmp_path: Path, make_series: Make) -> None:
    heights = [1.0 * index for index in range(100)]
    assert series_of(make_series(tmp_path, heights, SliceThickness=5)).warnings == ()


@pytest.mark.parametrize(
    "tags",
    [
        {"ImageOrientationPatient": [0, 0, 0, 0, 0, 0]},
        {"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]},
        {"ImageOrientationPatient": [1e9, 0, 0, 0, 1, 0]},
        {"ImagePositionPatient": [1e300, 0, 0]},
        {"PixelSpacing": [0, 1]},
    ],
)
def test_a_place_that_no_scanner_has_is_as_good_as_none(
    tmp_path: Path, make_series: Make, tags: dict[str, list[float]]
) -> None:
    (candidate,) = series_from_scan(headers_from_path(make_series(tmp_path, **tags)))
    assert candidate.verdict.code == "no_position"
    assert candidate.verdict.facts["malformed"] == next(iter(tags))


def test_order_depends_on_neither_names_nor_numbers(tmp_path: Path, make_series: Make) -> None:
    heights = [5.0 * index for index in range(20)]
    random.Random(1).shuffle(heights)
    series = series_of(make_series(tmp_path, heights))
    assert series.positions_mm == tuple(sorted(heights))


def test_feet_first_slices_still_rise_to_the_head(tmp_path: Path, make_series: Make) -> None:
    turned = [-1.0, 0.0, 0.0, 0.0, 1.0, 0.0]  # its own normal points to the feet
    series = series_of(make_series(tmp_path, ImageOrientationPatient=turned))
    assert series.positions_mm[0] == pytest.approx(0)
    assert series.positions_mm[-1] == pytest.approx(95)


@pytest.mark.parametrize("degrees", [-18.5, -5.0, 0.0, 12.0])
def test_tilt_is_signed_and_shortens_the_spacing(
    tmp_path: Path, make_series: Make, degrees: float
) -> None:
    angle = np.radians(degrees)
    tilted = [1.0, 0.0, 0.0, 0.0, float(np.cos(angle)), float(-np.sin(angle))]
    series = series_of(make_series(tmp_path, ImageOrientationPatient=tilted))
    assert series.gantry_tilt_degrees == pytest.approx(degrees, abs=1e-3)
    assert series.slice_spacing_mm == pytest.approx(5.0 * np.cos(angle), abs=1e-4)


def test_a_second_block_of_twice_the_spacing_is_no_row_of_missing_slices(
    tmp_path: Path, make_series: Make
) -> None:
    heights = [2.5 * index for index in range(20)] + [52.5 + 5.0 * index for index in range(12)]
    (warning,) = series_of(make_series(tmp_path, heights)).warnings
    assert warning.code == "variable_spacing"


def test_a_missing_slice_is_named(tmp_path: Path, make_series: Make) -> None:
    heights = [5.0 * index for index in range(21) if index != 7]
    (warning,) = series_of(make_series(tmp_path, heights)).warnings
    assert warning.code == "missing_slices"
    assert "10.0 mm after slice 7" in warning.sentence


@pytest.mark.parametrize(
    "orientation",
    [
        (1, 0, 0, 0, 1, 0),
        (-1, 0, 0, 0, 1, 0),
        (1, 0, 0, 0, -1, 0),
        (-1, 0, 0, 0, -1, 0),
        (0, 1, 0, 1, 0, 0),
        (0, -1, 0, 1, 0, 0),
        (0, 1, 0, -1, 0, 0),
        (0, -1, 0, -1, 0, 0),
    ],
)
def test_canonical_turns_follow_the_patient_axes(orientation: tuple[float, ...]) -> None:
    """Each pixel holds its own patient x and y, so the answer can be read off the pixels."""
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    down, along = np.mgrid[:4, :5]
    x = down * column[0] + along * row[0]
    y = down * column[1] + along * row[1]
    turn = canonical_orientation(orientation)
    assert (np.diff(turn.canonical(x), axis=1) == 1).all()
    assert (np.diff(turn.canonical(y), axis=0) == 1).all()
    assert (turn.stored(turn.canonical(x)) == x).all()
    assert turn.spacing((0.5, 0.7)) == ((0.7, 0.5) if abs(row[1]) == 1 else (0.5, 0.7))
