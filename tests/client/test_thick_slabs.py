"""Thin slices are averaged to slabs where that is asked for, and the result says so."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

from ichclient.cli import main
from ichclient.connect import ProvenServer
from ichclient.dicom import headers_from_path
from ichclient.errors import RefusedInput
from ichclient.hounsfield import hu_of_slice, hu_slices_from_series
from ichclient.infer import result_from_study, study_from_path
from ichclient.series import Series, chosen_series, series_from_scan
from ichclient.slabs import series_in_slabs

Make = Callable[..., Any]


def series_of(path: Path) -> Series:
    return chosen_series(series_from_scan(headers_from_path(path)))


def write_thin(folder: Path, make_slice: Make, hu: NDArray[np.int16], heights: list[float]) -> Path:
    """Slices whose HU grow by 1 from one to the next."""
    for index, z in enumerate(heights):
        own = {"ImagePositionPatient": [-16.0, -16.0, z], "InstanceNumber": index + 1}
        make_slice(folder / f"{index:03}.dcm", hu + np.int16(index), **own)
    return folder


def test_each_slab_is_the_mean_at_the_mean_place(
    tmp_path: Path, make_slice: Make, made_hu: NDArray[np.int16]
) -> None:
    write_thin(tmp_path, make_slice, made_hu, [1.25 * index for index in range(80)])
    thin = series_of(tmp_path)
    thick = series_in_slabs(thin, 5.0)
    assert len(thick.slices) == 20
    assert thick.slice_spacing_mm == 5.0
    assert thick.positions_mm == tuple(1.875 + 5.0 * index for index in range(20))
    assert thick.geometry.slices[0].origin_mm == (-16.0, -16.0, 1.875)
    assert [one.InstanceNumber for one in thick.slices] == [4 * index + 3 for index in range(20)]
    slabs = list(hu_slices_from_series(thick))
    for index, slab in enumerate(slabs):
        np.testing.assert_array_equal(slab.hu, made_hu + np.float32(4 * index + 1.5))
        assert slab.header is thick.slices[index]
    np.testing.assert_array_equal(hu_of_slice(thick, 7).hu, slabs[7].hu)
    assert [warning.code for warning in thick.warnings] == ["slab_averaged"]
    assert "80 slices 1.250 mm apart were averaged to 20 slabs" in thick.warnings[0].sentence


def test_slabs_follow_places_and_not_numbers(
    tmp_path: Path, make_slice: Make, made_hu: NDArray[np.int16]
) -> None:
    """Two millimetres do not fit into five: three slices and two take turns."""
    write_thin(tmp_path, make_slice, made_hu, [2.0 * index for index in range(50)])
    thick = series_in_slabs(series_of(tmp_path), 5.0)
    assert [len(slab) for slab in thick.slabs] == [3, 2] * 10
    assert set(np.diff(thick.positions_mm)) == {5.0}


def test_slices_that_are_thick_enough_stay_as_they_are(tmp_path: Path, make_series: Make) -> None:
    series = series_of(make_series(tmp_path))
    same = series_in_slabs(series, 5.0)
    assert same.slices == series.slices
    assert [warning.code for warning in same.warnings] == ["slab_not_needed"]


def test_a_thin_slice_that_cannot_be_trusted_spoils_its_slab(
    tmp_path: Path, make_slice: Make, made_hu: NDArray[np.int16]
) -> None:
    write_thin(tmp_path, make_slice, made_hu, [2.5 * index for index in range(40)])
    (tmp_path / "031.dcm").write_bytes((tmp_path / "031.dcm").read_bytes()[:-400])
    thick = series_in_slabs(series_of(tmp_path), 5.0)
    with pytest.raises(RefusedInput, match=r"031\.dcm.*truncated_pixels"):
        list(hu_slices_from_series(thick))


def test_a_result_of_slabs_says_so(
    tmp_path: Path, make_slice: Make, made_hu: NDArray[np.int16], proven: ProvenServer
) -> None:
    write_thin(tmp_path, make_slice, made_hu, [1.25 * index for index in range(80)])
    study = study_from_path(tmp_path, slab_mm=5.0)
    result, _ = result_from_study(study, proven, lambda *_: None, time.monotonic())
    assert [one.position_mm for one in result.slices] == list(study.series.positions_mm)
    assert "slab_averaged" in {warning.code for warning in result.warnings}


def test_validate_takes_the_option(
    tmp_path: Path, make_slice: Make, made_hu: NDArray[np.int16]
) -> None:
    write_thin(tmp_path, make_slice, made_hu, [2.5 * index for index in range(40)])
    done = CliRunner().invoke(main, ["validate", str(tmp_path), "--slab", "5", "--json"])
    assert done.exit_code == 0
    told = json.loads(done.stdout)
    assert told["series"]["slices"] == 20
    assert "slab_averaged" in {warning["code"] for warning in told["warnings"]}
