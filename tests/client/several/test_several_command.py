"""`ichclient infer` of several studies: lines, tables, schemas, and one exit code."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pydicom
import pytest
from click.testing import CliRunner, Result

from ichclient.cli import main

if TYPE_CHECKING:
    from ichclient.process import RunningServer

SCHEMA = json.loads((Path(__file__).parents[3] / "docs" / "summary.schema.json").read_text())


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["infer", *map(str, arguments)])


def test_each_study_is_a_line_and_the_exit_code_tells_of_all(
    archive: Path, starts: Any, tmp_path: Path
) -> None:
    answer = run(archive, "--each", "--out", tmp_path / "out")
    assert answer.exit_code == 4
    assert answer.stdout == ""
    lines = answer.stderr.splitlines()
    assert [line.split()[:3] for line in lines[:3]] == [[n, "of", "3"] for n in "123"]
    assert "balanced negative" in lines[0]
    assert "not judged" in lines[1]
    assert f"2 of 3 studies have a result. Summary: {tmp_path}" in answer.stderr.replace("\n", "")
    assert "not a medical device" in answer.stderr
    again = run(archive, "--each", "--out", tmp_path / "out", "--resume")
    assert again.stderr.count("already judged") == 2


def test_json_is_one_line_for_each_study_and_keeps_its_schema(
    archive: Path, starts: Any, tmp_path: Path
) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    answer = run(archive, "--each", "--json", "--out", tmp_path / "out")
    written = json.loads((tmp_path / "out" / "summary.json").read_text())
    jsonschema.Draft202012Validator(SCHEMA).validate(written)
    assert [json.loads(line) for line in answer.stdout.splitlines()] == written["studies"]
    assert set(written["studies"][0]) == set(SCHEMA["$defs"]["study"]["required"])
    without = json.loads(run(archive, "--each", "--json").stdout.splitlines()[0])
    jsonschema.Draft202012Validator({**SCHEMA["$defs"]["study"]}).validate(without)


def test_text_that_a_spreadsheet_would_run_is_text(
    add_study: Callable[..., Path], starts: Any, tmp_path: Path
) -> None:
    study = add_study(tmp_path / "=HYPERLINK(1)", 1, SeriesDescription="@SUM(A1)")
    run(study, tmp_path / "+absent", "--out", tmp_path / "out")
    with (tmp_path / "out" / "summary.csv").open(newline="") as file:
        first, second = csv.DictReader(file)
    assert first["folder"] == "'=HYPERLINK(1)"
    assert first["SeriesDescription"] == "'@SUM(A1)"
    assert second["folder"] == "'+absent"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--each", "--series", "1.2.3"], "--series"),
        (["--resume", "--out", "x"], "--each"),
        (["--each", "--resume"], "--out"),
        (["--each", "--dicom"], "--out"),
    ],
)
def test_options_that_do_not_fit_are_a_wrong_use(
    archive: Path, options: list[str], told: str
) -> None:
    answer = run(archive, *options)
    assert answer.exit_code == 2
    assert told in answer.stderr


def test_a_refused_study_gets_its_object_among_others(
    archive: Path, starts: Any, tmp_path: Path
) -> None:
    pytest.importorskip("highdicom", reason="highdicom is not installed")
    answer = run(archive, "--each", "--dicom", "--out", tmp_path / "out")
    assert answer.exit_code == 4
    folders = sorted(path for path in (tmp_path / "out").iterdir() if path.is_dir())
    written = [sorted(path.name for path in (each / "dicom").iterdir()) for each in folders]
    assert written[1] == ["report.dcm"]
    assert "key_objects.dcm" in written[0]
    assert not (folders[1] / "result.json").exists()


def test_a_real_server_judges_an_archive_as_it_judges_a_study(
    checkout: Path, served: RunningServer, tmp_path: Path
) -> None:
    phantom = checkout / "examples" / "phantom-sdh"
    for name, uid in (("first", "1.2.1"), ("second", "1.2.2")):
        for file in shutil.copytree(phantom, tmp_path / "archive" / name).rglob("*.dcm"):
            dataset = pydicom.dcmread(file)
            dataset.StudyInstanceUID, dataset.SeriesInstanceUID = uid, f"{uid}.1"
            dataset.save_as(file)
    command = [sys.executable, "-m", "ichclient", "infer", "--url", served.url, "--json"]
    alone = json.loads(subprocess.run([*command, phantom], capture_output=True, check=True).stdout)
    done = subprocess.run(
        [*command, tmp_path / "archive", "--each", "--out", tmp_path / "out"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["StudyInstanceUID"] for row in rows] == ["1.2.1", "1.2.2"]
    for row in rows:
        assert row["study_score"] == alone["study_score"]
        assert row["decisions"] == alone["decisions"]
        assert row["provenance"] == alone["bundle"]["provenance"]
