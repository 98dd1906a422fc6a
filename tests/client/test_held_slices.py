"""Slices that passed are the same slices again, within a bound; whatever is not held is decoded."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ichclient import infer, result_files
from ichclient.connect import ProvenServer, ServerOptions
from ichclient.held import HeldSlices
from ichclient.hounsfield import hu_of_slice, hu_slices_from_series
from ichclient.infer import study_from_path
from ichclient.series import Series


@pytest.fixture
def series(make_series: Callable[..., Path], tmp_path: Path) -> Series:
    return study_from_path(make_series(tmp_path / "study")).series


def passed(series: Series, held: HeldSlices) -> list[Any]:
    return list(held.as_they_pass(hu_slices_from_series(series)))


def test_a_held_slice_is_the_decoded_one(series: Series) -> None:
    held = HeldSlices()
    slices = passed(series, held)
    for index, one in enumerate(slices):
        known = held.slice(index, series.slices[index])
        assert known is not None
        np.testing.assert_array_equal(known.hu, one.hu)
        assert known.hu.dtype == np.float32
        decoded = hu_of_slice(series, index)
        assert replace(known, hu=one.hu) == replace(decoded, hu=one.hu)


def test_values_that_are_no_whole_numbers_are_held_as_they_are(series: Series) -> None:
    (one,) = [*hu_slices_from_series(series)][:1]
    fractions = replace(one, hu=one.hu + np.float32(0.25))
    held = HeldSlices()
    assert [*held.as_they_pass([fractions])] == [fractions]
    known = held.slice(0, one.header)
    assert known is not None
    np.testing.assert_array_equal(known.hu, fractions.hu)


def test_no_more_is_held_than_there_is_room_for(series: Series) -> None:
    a_slice_bytes = series.slices[0].Rows * series.slices[0].Columns * 2  # type: ignore[operator]
    held = HeldSlices(3 * a_slice_bytes + 1)
    assert len(passed(series, held)) == 20
    there = [held.slice(index, header) is not None for index, header in enumerate(series.slices)]
    assert there == [True] * 3 + [False] * 17


def test_a_slice_of_another_image_is_not_taken_for_it(series: Series) -> None:
    held = HeldSlices()
    passed(series, held)
    assert held.slice(0, series.slices[1]) is None
    assert held.slice(99, series.slices[0]) is None


def test_infer_decodes_no_slice_twice_for_its_page(
    make_series: Callable[..., Path],
    tmp_path: Path,
    proven: ProvenServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    study = make_series(tmp_path / "study")

    def twice(*_: object) -> None:
        pytest.fail("a slice was decoded twice")

    monkeypatch.setattr(result_files, "hu_of_slice", twice)
    monkeypatch.setattr(infer, "proven_server", lambda _: nullcontext(proven))
    infer.result_from_path(study, ServerOptions(), out=tmp_path / "out")
    assert (tmp_path / "out" / "report.html").stat().st_size > 10_000
