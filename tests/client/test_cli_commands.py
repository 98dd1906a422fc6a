"""`ichclient`: one sentence and an exit code for each failure, JSON alone on stdout."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ichclient import infer as chain
from ichclient.cli import main
from ichclient.doctor import precision_check
from ichclient.repository import default_repository


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.mark.parametrize(
    "command", [[], ["infer"], ["report"], ["serve"], ["doctor"], ["series"], ["validate"]]
)
def test_every_command_has_help(command: list[str]) -> None:
    answer = run(*command, "--help")
    assert answer.exit_code == 0
    assert "Usage: " in answer.output


def test_help_loads_neither_numpy_nor_pydicom_nor_grpc() -> None:
    code = (
        "import sys; from ichclient.cli import main; main(['--help'], standalone_mode=False); "
        "sys.exit(' '.join({'pydicom', 'grpc', 'tritonclient', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""


def test_the_version_is_told() -> None:
    assert "ichclient" in run("--version").output


def empty_folder(path: Path) -> list[object]:
    return ["infer", path]


def no_dicom(path: Path) -> list[object]:
    (path / "notes.txt").write_text("text")
    return ["infer", path]


def nobody_there(path: Path) -> list[object]:
    return ["infer", path / "study", "--url", "127.0.0.1:9"]


def output_below_a_file(path: Path) -> list[object]:
    (path / "file").write_text("")
    return ["infer", path / "study", "--out", path / "file" / "out"]


def altered_repository(path: Path) -> list[object]:
    (path / "repository").mkdir()
    (path / "repository" / "MANIFEST.sha256").write_text("0" * 64 + "  golden.npz\n")
    (path / "repository" / "golden.npz").write_bytes(b"altered")
    return ["infer", path / "study", "--repository", path / "repository"]


def unknown_series(path: Path) -> list[object]:
    return ["infer", path / "study", "--series", "1.2.999"]


@pytest.mark.parametrize(
    ("arguments", "exit_code", "told"),
    [
        (empty_folder, 3, "empty folder"),
        (no_dicom, 3, "none of them DICOM"),
        (unknown_series, 4, "--series"),
        (nobody_there, 6, "127.0.0.1:9"),
        (output_below_a_file, 7, "--out"),
        (altered_repository, 10, "golden.npz was altered"),
    ],
)
def test_bad_input_ends_in_one_sentence_and_its_own_exit_code(
    tmp_path: Path,
    make_series: Callable[..., Path],
    arguments: Callable[[Path], list[object]],
    exit_code: int,
    told: str,
) -> None:
    if arguments not in (empty_folder, no_dicom):
        make_series(tmp_path / "study")
    answer = run(*arguments(tmp_path), "--json")
    assert answer.exit_code == exit_code
    assert answer.stdout == ""
    assert answer.stderr.startswith("Error: ")
    assert told in answer.stderr
    assert "Traceback" not in answer.stderr


@pytest.mark.parametrize("url", ["http://host:8001", "host", ":8001", "host:port"])
def test_an_address_that_is_none_is_a_wrong_use(tmp_path: Path, url: str) -> None:
    answer = run("infer", tmp_path, "--url", url)
    assert answer.exit_code == 2
    assert "HOST:PORT" in answer.stderr


def test_an_interrupt_ends_with_its_own_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(chain, "result_from_path", interrupted)
    assert run("infer", tmp_path).exit_code == 130


def test_series_are_listed_as_json(tmp_path: Path, make_series: Callable[..., Path]) -> None:
    make_series(tmp_path)
    answer = run("series", tmp_path, "--json")
    (only,) = json.loads(answer.stdout)
    assert (only["code"], only["facts"]["slices"]) == ("chosen", 20)


def test_the_five_groups_of_a_real_study_are_ranked_with_their_reasons(
    head_ct_philips: Path,
) -> None:
    told = json.loads(run("series", head_ct_philips, "--json").stdout)
    first = told[0]["facts"]
    assert (first["rank"], first["SeriesDescription"]) == (1, "STD BRAIN 5MM")
    assert [(item["code"], item["facts"].get("folder")) for item in told] == [
        ("chosen", "S21570/S2010"),
        ("localizer", "S21570/S1000"),
        ("insufficient_coverage", "S21570/S2030"),
        ("not_ct_image", "S21570/S4010"),
        ("dicomdir", None),
    ]
    shown = run("series", head_ct_philips).output
    assert all(item["sentence"].split(":")[0] in shown for item in told)


def test_real_tilted_slices_are_listed_with_tilt_and_spacings_and_only_warned_of(
    head_ct_ge: Path,
) -> None:
    answer = run("series", head_ct_ge, "--json")
    (only,) = json.loads(answer.stdout)
    assert only["code"] == "chosen"
    assert only["facts"]["gantry_tilt_degrees"] == 18.5
    assert only["facts"]["spacings_mm"] == "13 x 4.002, 1 x 1.081, 13 x 6.999"
    assert "Slice spacing varies" in only["sentence"]


def test_a_description_cannot_act_on_the_terminal(
    tmp_path: Path, make_series: Callable[..., Path]
) -> None:
    make_series(tmp_path, SeriesDescription="[red]\x1b[2J")
    answer = run("series", tmp_path)
    assert answer.exit_code == 0
    assert "\x1b" not in answer.output
    assert "[red]?[2J" in answer.output


@pytest.mark.parametrize(
    ("flags", "precision"),
    [("fpu avx2 amx_bf16", "bf16"), ("fpu avx512f avx512_bf16", "bf16"), ("fpu avx2", "f32")],
)
def test_doctor_reads_the_precision_from_the_processors_flags(
    tmp_path: Path, flags: str, precision: str
) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor : 0\nflags\t\t: {flags}\n")
    assert precision_check(tmp_path / "cpuinfo").sentence.endswith(f"in {precision}")


def test_doctor_names_what_is_missing_and_fails(tmp_path: Path) -> None:
    answer = run("doctor", "--repository", tmp_path, "--json")
    assert answer.exit_code == 9
    checks = {check["name"]: check for check in json.loads(answer.stdout)}
    assert not checks["model repository"]["ok"]
    assert "MANIFEST" in checks["model repository"]["sentence"]


def test_doctor_finds_what_the_embedded_server_needs() -> None:
    answer = run("doctor")
    assert answer.exit_code == 0, answer.output
    assert str(default_repository())[:20] in answer.output
