"""`ichclient validate`: the judgement of `infer` before any server, as text and as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ichclient import connect
from ichclient.cli import main
from ichclient.validate import validation_from_path

Make = Callable[..., Path]
SCHEMA = Path(__file__).parents[2] / "docs" / "result.schema.json"


@pytest.fixture(autouse=True)
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here may reach for a server."""
    monkeypatch.setattr(connect, "proven_server", None)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["validate", *map(str, arguments)])


def test_a_fit_study_ends_with_0_and_says_what_its_pixels_hold(
    tmp_path: Path, make_series: Make
) -> None:
    answer = run(make_series(tmp_path), "--json")
    assert answer.exit_code == 0
    told = json.loads(answer.stdout)
    assert told["verdict"]["code"] == "valid"
    assert told["pixels"] == {
        "slices": 20,
        "lowest_hu": -1000.0,
        "highest_hu": 1000.0,
        "slices_with_air": 20,
        "slices_with_bone": 20,
        "brain_percent": pytest.approx(100 * 371 / 1024, abs=1),
    }
    assert "not a medical device" in told["disclaimer"]


def test_every_pixel_is_decoded(tmp_path: Path, make_series: Make) -> None:
    steps: list[tuple[str, int, int]] = []
    validation_from_path(make_series(tmp_path), progress=lambda *step: steps.append(step))
    assert steps[0] == ("reading", 0, 0)
    assert [done for stage, done, _ in steps if stage == "pixels"] == list(range(1, 21))


@pytest.mark.parametrize("name", ["series", "geometry", "intake"])
def test_what_a_result_holds_too_keeps_its_schema(
    tmp_path: Path, make_series: Make, name: str
) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    schema = json.loads(SCHEMA.read_text())
    told = json.loads(run(make_series(tmp_path), "--json").stdout)
    part = {"$defs": schema["$defs"], **schema["properties"][name]}
    jsonschema.Draft202012Validator(part).validate(told[name])
    judgement = {"$defs": schema["$defs"], "$ref": "#/$defs/judgement"}
    for item in (told["verdict"], *told["considered"]):
        jsonschema.Draft202012Validator(judgement).validate(item)


def test_a_refused_study_ends_with_4_and_tells_every_verdict(
    tmp_path: Path, make_series: Make
) -> None:
    make_series(tmp_path / "a", ContrastBolusAgent="Iohexol")
    make_series(tmp_path / "b", [0.0], SeriesInstanceUID="1.9")
    answer = run(tmp_path, "--json")
    assert answer.exit_code == 4
    told = json.loads(answer.stdout)
    assert [item["code"] for item in told["considered"]] == ["contrast", "insufficient_coverage"]
    assert told["exit_code"] == 4
    assert (told["series"], told["geometry"], told["pixels"]) == (None, None, None)


def test_a_slice_that_cannot_be_decoded_is_named(tmp_path: Path, make_series: Make) -> None:
    make_series(tmp_path)
    cut = tmp_path / "005.dcm"
    cut.write_bytes(cut.read_bytes()[:-500])
    answer = run(tmp_path, "--json")
    assert answer.exit_code == 4
    told = json.loads(answer.stdout)
    assert (told["verdict"]["code"], told["verdict"]["path"]) == ("truncated_pixels", "005.dcm")
    assert told["series"]["slices"] == 20
    assert told["pixels"] is None
    assert "005.dcm" in run(tmp_path).stdout


def test_values_that_are_no_hounsfield_units_are_refused(tmp_path: Path, make_series: Make) -> None:
    answer = run(make_series(tmp_path, RescaleIntercept=None), "--json")
    assert answer.exit_code == 4
    assert json.loads(answer.stdout)["verdict"]["code"] == "implausible_hu"


def test_slices_that_were_left_out_or_are_in_doubt_are_told(
    tmp_path: Path, make_series: Make, make_slice: Any
) -> None:
    make_series(tmp_path)
    place = [-16.0, -16.0, 50.0]
    make_slice(tmp_path / "010.dcm", ImagePositionPatient=place, RescaleType="US")
    (tmp_path / "copy.dcm").write_bytes((tmp_path / "003.dcm").read_bytes())
    told = json.loads(run(tmp_path, "--json").stdout)
    assert [(item["code"], item["path"]) for item in told["slice_verdicts"]] == [
        ("duplicates_dropped", "copy.dcm"),
        ("rescale_type", "010.dcm"),
    ]
    assert told["slice_verdicts"][0]["facts"]["repeats"] == "003.dcm"
    assert told["slice_verdicts"][1]["facts"]["index"] == 10


def test_slices_that_contradict_each_other_are_told_in_a_refusal(
    tmp_path: Path, make_series: Make, make_slice: Any
) -> None:
    make_series(tmp_path)
    own = {"InstanceNumber": 30, "PixelData": b"\1" * 2048}
    make_slice(tmp_path / "x.dcm", ImagePositionPatient=[-16, -16, 15], **own)
    told = json.loads(run(tmp_path, "--json").stdout)
    (only,) = told["slice_verdicts"]
    assert (only["code"], only["path"]) == ("ambiguous_duplicates", "x.dcm")
    assert only["facts"]["differs_from"] == "003.dcm"


@pytest.mark.parametrize(
    ("tags", "exit_code", "code"),
    [
        ({"Modality": "MR", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.4"}, 3, "no_ct"),
        ({}, 0, "valid"),
    ],
)
def test_text_and_json_end_with_the_same_code(
    tmp_path: Path, make_series: Make, tags: dict[str, Any], exit_code: int, code: str
) -> None:
    make_series(tmp_path, **tags)
    assert run(tmp_path).exit_code == run(tmp_path, "--json").exit_code == exit_code
    assert f"[{code}]" in run(tmp_path).stdout
    assert "not a medical device" in run(tmp_path).stdout


def test_a_folder_without_dicom_has_nothing_to_tell(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("text")
    answer = run(tmp_path, "--json")
    assert answer.exit_code == 3
    assert answer.stdout == ""
    assert "none of them DICOM" in answer.stderr


def test_real_ge_slices_are_valid_with_a_warning(head_ct_ge: Path) -> None:
    answer = run(head_ct_ge, "--json")
    assert answer.exit_code == 0
    told = json.loads(answer.stdout)
    assert [warning["code"] for warning in told["warnings"]] == ["variable_spacing"]
    assert told["series"]["gantry_tilt_degrees"] == pytest.approx(18.5, abs=5e-4)
    assert told["geometry"]["table_step_mm"] == pytest.approx(4.22, abs=1e-3)
    assert told["pixels"]["slices"] == 28
    assert 10 < told["pixels"]["brain_percent"] < 30
