"""Curve, outlines, windows and pictures say what the numbers say."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ichclient.headers import SliceHeader
from ichclient.hounsfield import hu_of_slice
from ichclient.infer import Study, study_from_path
from ichclient.masks import Masks
from ichclient.report.contour import outlines_from_mask
from ichclient.report.curve import curve_from_result, peaks_from_scores, slices_apart
from ichclient.report.pictures import (
    MAX_SLICES,
    MAX_TOP_SLICES,
    SERIES_BYTES,
    Pictures,
    bounded_webp,
    kept_slices,
    pictures_from_slices,
)
from ichclient.report.windows import BRAIN, SUBDURAL, filter_from_windows
from ichclient.result import Result
from ichcore import byte_mask_from_mask, mask_on_grid


@pytest.mark.parametrize(
    ("scores", "peaks"),
    [
        ([0.1, 0.9, 0.1], (1,)),
        ([0.1, 0.9, 0.5, 0.8, 0.1], (1, 3)),
        ([0.1, 0.9, 0.87, 0.9, 0.1], (1,)),  # a dip of 0.03 parts no peaks
        ([0.5, 0.5, 0.5], ()),
        ([0.9, 0.5, 0.1], (0,)),
        ([0.1, 0.5, 0.9], (2,)),
        ([0.7], ()),
    ],
)
def test_peaks_stand_out_of_their_surroundings(scores: list[float], peaks: tuple[int, ...]) -> None:
    assert peaks_from_scores(scores) == peaks


def test_the_curve_lays_positions_and_scores_out_in_proportion(result: Result) -> None:
    curve = curve_from_result(result, 1000, 300)
    xs = np.array([point.x for point in curve.points])
    ys = np.array([point.y for point in curve.points])
    mm = np.array([one.position_mm for one in result.slices])
    scores = np.array([one.score for one in result.slices])
    assert np.corrcoef(xs, mm)[0, 1] > 0.99999
    np.testing.assert_allclose((curve.bottom - ys) / (curve.bottom - curve.top), scores, atol=1e-4)
    assert [point.index + 1 for point in curve.points if point.is_peak] == [11, 19]
    assert {line.value for line in curve.thresholds} == {0.2, 0.5}
    assert all(curve.left <= x <= curve.right for x, _ in curve.position_ticks)
    columns = sum(point.width for point in curve.points)
    assert columns == pytest.approx(curve.right - curve.left, abs=0.2)


def test_a_curve_of_one_slice_can_be_drawn(result: Result) -> None:
    one = replace(
        result, slices=result.slices[:1], top_slices=(0,), series=replace(result.series, slices=1)
    )
    (point,) = curve_from_result(one, 400, 300).points
    assert 0 < point.x < 400


def test_slices_with_little_brain_are_known_by_the_specs_own_rule(result: Result) -> None:
    half = max(one.brain_mm2 for one in result.slices) / 2
    apart = slices_apart(result)
    assert apart == tuple(one.index for one in result.slices if one.brain_mm2 < half)
    assert apart
    assert slices_apart(replace(result, combination=None)) == ()


def test_an_outline_encloses_what_is_marked() -> None:
    rows, columns = np.mgrid[:60, :80] + 0.5
    disc = np.clip(20.5 - np.hypot(rows - 30, columns - 40), 0, 1)
    (outline,) = outlines_from_mask(disc, 0.5)
    radius = np.hypot(outline[:, 0] - 40, outline[:, 1] - 30)
    np.testing.assert_allclose(radius, 20, atol=0.1)
    x, y = outline.T
    area = abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
    assert area == pytest.approx(np.pi * 20**2, rel=0.01)


def test_holes_edges_and_saddles_give_closed_outlines() -> None:
    ring = np.zeros((9, 9))
    ring[2:7, 2:7] = 1
    ring[4, 4] = 0
    assert len(outlines_from_mask(ring, 0.5)) == 2
    assert len(outlines_from_mask(np.ones((4, 4)), 0.5)) == 1
    assert len(outlines_from_mask(np.eye(2), 0.5)) == 1  # the middle of this saddle is inside
    assert len(outlines_from_mask(np.eye(2), 0.6)) == 2
    assert outlines_from_mask(np.zeros((4, 4)), 0.5) == []
    rng = np.random.default_rng(0)
    for _ in range(20):
        for outline in outlines_from_mask(rng.random((12, 12)), 0.5):
            steps = np.abs(outline - np.roll(outline, 1, axis=0)).max(axis=1)
            assert steps.max() <= 1


def test_the_filter_turns_the_wide_window_into_the_narrow_one() -> None:
    hu = np.linspace(-100, 300, 801, dtype=np.float32)
    brightness, contrast = filter_from_windows(SUBDURAL, BRAIN)
    wide = SUBDURAL.grey(hu) / 255
    seen = np.clip((np.clip(wide * brightness, 0, 1) - 0.5) * contrast + 0.5, 0, 1)
    assert np.abs(seen * 255 - BRAIN.grey(hu)).max() <= 2


def test_every_slice_of_a_usual_series_is_kept_and_a_long_one_thinned_evenly() -> None:
    assert kept_slices(MAX_SLICES, (0,)) == tuple(range(MAX_SLICES))
    kept = kept_slices(1000, (501, 502, 503))
    assert len(kept) <= MAX_SLICES
    assert {0, 501, 502, 503, 999} <= set(kept)
    assert max(np.diff(kept)) <= 5


def test_even_noise_keeps_to_the_bytes_of_a_page() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (384, 384), dtype=np.uint8)
    limit = SERIES_BYTES // MAX_SLICES
    assert len(bounded_webp(noise, limit)) <= limit
    assert SERIES_BYTES * 4 / 3 < 13 * 2**20


def test_pictures_show_the_head_and_outline_the_mask_where_it_lies(
    pictures: Pictures, result: Result
) -> None:
    assert [picture.index for picture in pictures.slices] == list(range(len(result.slices)))
    assert [top.index for top in pictures.tops] == list(result.top_slices)[:MAX_TOP_SLICES]
    assert 180 < pictures.side_mm < 240
    marked = {picture.index for picture in pictures.slices if picture.outline}
    assert marked == {8, 9, 10, 11, 14}
    numbers = re.findall(r"[\d.]+", pictures.slices[9].outline)
    points = np.array(numbers, dtype=float).reshape(-1, 2)
    width_mm, height_mm = np.ptp(points, axis=0)
    assert (width_mm, height_mm) == pytest.approx((20, 40), abs=0.3)
    assert points.min() > 0
    assert points.max() < pictures.side_mm


def test_the_outline_of_a_skull_lies_on_the_skull_of_the_picture(
    masks: Masks, study: Study, result: Result
) -> None:
    one = hu_of_slice(study.series, 10)
    bone = mask_on_grid((one.hu > 180).astype(np.float32), masks.placements[10], masks.grid)
    marked = masks.mask.copy()
    marked[10] = byte_mask_from_mask(bone)
    decode = partial(hu_of_slice, study.series)
    drawn = pictures_from_slices(decode, replace(masks, mask=marked), result)
    numbers = re.findall(r"[\d.]+", drawn.slices[10].outline)
    points_mm = np.array(numbers, dtype=float).reshape(-1, 2)
    content = base64.b64decode(drawn.slices[10].picture.partition(",")[2])
    with Image.open(io.BytesIO(content)) as image:
        white = np.asarray(image.convert("L")) > 240
    places = (points_mm / drawn.side_mm * len(white)).astype(int)
    reach = int(3 / drawn.side_mm * len(white))
    around = [
        white[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1]
        for x, y in places.tolist()
    ]
    on_edge = np.mean([0.05 < part.mean() < 0.95 for part in around])
    assert on_edge > 0.97


def test_only_what_is_small_gets_a_ring(pictures: Pictures) -> None:
    assert pictures.slices[9].rings == ""
    assert pictures.slices[14].rings.count("M") == 1


def test_a_top_picture_is_the_slice_in_its_window(
    pictures: Pictures, headers: tuple[SliceHeader, ...]
) -> None:
    content = base64.b64decode(pictures.tops[0].brain.partition(",")[2])
    with Image.open(io.BytesIO(content)) as image:
        assert image.format == "WEBP"
        grey = np.asarray(image.convert("L"), dtype=int)
    assert grey.shape == (512, 512)
    assert (grey > 250).mean() > 0.05  # skull
    assert (grey < 5).mean() > 0.1  # air
    middle = grey[200:312, 200:312].mean()
    assert 60 < middle < 160  # brain is about the middle of its window


def test_a_long_series_says_which_slices_have_no_picture(
    make_series: Callable[..., Path], tmp_path: Path, result: Result
) -> None:
    count = MAX_SLICES + 10
    folder = make_series(tmp_path, [0.6 * index for index in range(count)])
    decode = partial(hu_of_slice, study_from_path(folder).series)
    one = result.slices[0]
    slices = tuple(
        replace(one, index=index, position_mm=0.6 * index, brain_mm2=9000.0)
        for index in range(count)
    )
    long = replace(
        result, slices=slices, top_slices=(7,), series=replace(result.series, slices=count)
    )
    drawn = pictures_from_slices(decode, None, long)
    assert len(drawn.slices) + len(drawn.left_out) == count
    assert 7 not in drawn.left_out
    assert not drawn.has_masks
