"""A result keeps its published schema, names no patient, and is written whole or not at all."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ichclient.connect import ProvenServer
from ichclient.errors import CannotWrite
from ichclient.headers import SliceHeader
from ichclient.hounsfield import HUSlice
from ichclient.infer import result_from_study, study_from_path
from ichclient.output import output_folder, write_files
from ichclient.picture import png_from_slice
from ichclient.result import Result, result_to_json

SCHEMA = Path(__file__).parents[2] / "docs" / "result.schema.json"


@pytest.fixture
def result(make_series: Callable[..., Path], tmp_path: Path, proven: ProvenServer) -> Result:
    folder = make_series(tmp_path / "study", PatientName="DOE^JANE", PatientID="MRN-4711")
    (folder / "notes.txt").write_text("not an image")
    study = study_from_path(folder)
    return result_from_study(study, proven, lambda *_: None, time.monotonic())[0]


def test_a_result_keeps_its_published_schema(result: Result) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    schema = json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(json.loads(result_to_json(result)))


def test_the_keys_of_a_result_are_those_of_its_schema(result: Result) -> None:
    schema = json.loads(SCHEMA.read_text())
    written = json.loads(result_to_json(result))
    assert set(written) == set(schema["required"]) == set(schema["properties"])
    slice_schema = schema["properties"]["slices"]["items"]
    assert set(written["slices"][0]) == set(slice_schema["required"])


def test_no_patient_is_named(result: Result) -> None:
    text = result_to_json(result)
    assert "DOE" not in text
    assert "MRN-4711" not in text


def test_skipped_files_and_considered_series_are_told(result: Result) -> None:
    assert [item.path for item in result.skipped_files] == ["notes.txt"]
    assert [item.code for item in result.considered] == ["chosen"]


def test_a_volume_that_is_not_known_is_null(result: Result) -> None:
    text = result_to_json(replace(result, lesion_volume_ml=None))
    assert json.loads(text)["lesion_volume_ml"] is None


def test_a_value_that_is_not_finite_cannot_be_written(result: Result) -> None:
    with pytest.raises(ValueError, match="JSON"):
        result_to_json(replace(result, coverage_mm=float("nan")))


@pytest.mark.parametrize(
    "change",
    [{"slices": ()}, {"top_slices": (20,)}, {"decisions": {}}, {"study_score": float("nan")}],
)
def test_a_result_whose_parts_do_not_fit_cannot_be_made(
    result: Result, change: dict[str, Any]
) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - each has a sentence of its own
        replace(result, **change)


def test_files_replace_older_ones_and_leave_no_others(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text("old")
    write_files(tmp_path, {"top_slice.png": b"png", "result.json": b"new"})
    assert (tmp_path / "result.json").read_bytes() == b"new"
    assert len(list(tmp_path.iterdir())) == 2


def test_where_one_file_cannot_be_placed_nothing_half_written_stays(tmp_path: Path) -> None:
    (tmp_path / "result.json").mkdir()
    with pytest.raises(CannotWrite, match=tmp_path.name):
        write_files(tmp_path, {"result.json": b"new"})
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


def test_a_folder_that_was_there_stays_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError), output_folder(tmp_path):
        raise KeyError
    assert tmp_path.is_dir()


def test_folders_made_for_a_result_go_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError), output_folder(tmp_path / "a" / "b"):
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_a_picture_shows_brain_grey_lesion_red_and_its_warning() -> None:
    hu = np.full((200, 100), 40, dtype=np.float32)
    mask = np.zeros((200, 100), dtype=np.float32)
    mask[80:120, 30:70] = 1
    one = HUSlice(hu, 1.0, 2.0, SliceHeader(Path("x"), "x"), air=True, bone=True)
    with Image.open(io.BytesIO(png_from_slice(one, mask, "slice 1 of 1"))) as image:
        pixels = np.asarray(image.convert("RGB"), dtype=int)
    rows, columns, _ = pixels.shape
    assert rows == columns  # 200 mm x 200 mm, whatever the pixel spacings
    red, green, _ = pixels[rows // 2, columns // 2]
    assert red > green + 50
    grey = pixels[rows // 4, columns // 4]
    assert grey.max() == grey.min() == 128
    assert (np.ptp(pixels[: rows // 10], axis=2) > 100).any()  # the warning is not grey


def test_a_picture_needs_a_mask_of_its_own_slice() -> None:
    hu = np.zeros((4, 4), dtype=np.float32)
    one = HUSlice(hu, 1.0, 1.0, SliceHeader(Path("x"), "x"), air=True, bone=True)
    with pytest.raises(ValueError, match="mask"):
        png_from_slice(one, np.zeros((2, 2), dtype=np.float32), "")
