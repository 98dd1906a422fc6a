"""`ichtrain manifest` and `ichtrain prepare`: a chain from folders to a prepared folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ichtrain.cli import main
from ichtrain.data import Prepared, refuse_leak


def ichtrain(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_phantoms_become_a_prepared_folder_in_three_commands(
    phantoms: Path, tmp_path: Path
) -> None:
    read, split = tmp_path / "all.csv", tmp_path / "elsewhere" / "split.parquet"
    done = ichtrain("manifest", "phantoms", phantoms, "--out", read, "--workers", 1)
    assert done.exit_code == 0, done.output
    assert done.stdout.split()[:6] == ["split", "patients", "series", "slices", "any", "sdh"]
    done = ichtrain("manifest", "split", read, "--out", split, "--shares", 0.5, 0.5, 0)
    assert done.exit_code == 0, done.output
    done = ichtrain("manifest", "check", split, "--json")
    assert done.exit_code == 0, done.output
    lines = json.loads(done.stdout)
    assert [line["split"] for line in lines] == ["train", "validation"]
    assert [(line["patients"], line["any"]) for line in lines] == [(2, 1), (2, 1)]
    small = ("--grid-pixels", 96, "--pixel-spacing-mm", 2.5, "--workers", 1)
    done = ichtrain("prepare", split, tmp_path / "prepared", *small)
    assert done.exit_code == 0, done.output
    assert "4 series written, 0 kept, 0 left out" in done.stdout
    assert "not a medical device" in done.stdout
    prepared = Prepared(tmp_path / "prepared")
    assert (len(prepared), prepared.grid.pixel_spacing_mm) == (4, 2.5)
    refuse_leak(prepared.patients)
    assert (
        "0 series written, 4 kept"
        in ichtrain("prepare", split, tmp_path / "prepared", *small).stdout
    )


def test_a_mask_value_gets_its_meaning_on_the_command_line(tmp_path: Path, make: type) -> None:
    phantom = make.phantom("ivh")
    make.files(make.datasets(phantom), lambda i, _: tmp_path / "s" / "case" / f"{i}.dcm")
    make.nifti(phantom, phantom.lesion > 0, tmp_path / "s" / "case" / "m.nii")
    out = tmp_path / "m.csv"
    done = ichtrain("manifest", "masks", tmp_path / "s", "--out", out, "--label", "1=ivh")
    assert done.exit_code == 0, done.output
    assert json.loads(ichtrain("manifest", "check", out, "--json").stdout)[0]["ivh"] == 1


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["manifest", "check", "gone.csv"], 4, "gone.csv cannot be read"),
        (["manifest", "split", "gone.csv", "--out", "x.csv"], 4, "gone.csv cannot be read"),
        (["prepare", "gone.parquet", "out"], 4, "gone.parquet cannot be read"),
        (["manifest", "rsna", ".", "--out", "m.csv"], 4, "stage_2_train.csv cannot be read"),
        (["manifest", "cq500", ".", "--out", "m.csv"], 4, "reads.csv cannot be read"),
        (["manifest", "phantoms", ".", "--out", "m.csv"], 4, "holds no phantom"),
        (["manifest", "masks", ".", "--out", "m.csv"], 4, "neither a table nor a folder"),
        (["manifest", "masks", ".", "--out", "m.csv", "--label", "a=sdh"], 2, "no VALUE=NAME"),
    ],
)
def test_a_failure_is_one_sentence_and_its_code(
    arguments: list[str], code: int, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = ichtrain(*arguments)
    assert done.exit_code == code, done.output
    assert told in done.output
    assert "Traceback" not in done.output
    assert list(tmp_path.iterdir()) == []
