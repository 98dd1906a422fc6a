"""`ichexport`: help on every command, one sentence and an exit code for every failure."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from ichexport.cli import main


def ichexport(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.mark.parametrize("command", ["", *main.commands])
def test_every_command_has_help(command: str) -> None:
    answer = ichexport(*filter(None, [command]), "--help")
    assert answer.exit_code == 0
    assert "Usage:" in answer.output
    if command:
        assert main.commands[command].help
        options = [o for o in main.commands[command].params if isinstance(o, click.Option)]
        assert all(option.help for option in options)


def test_check_accepts_the_committed_repository(bundle: Path, checkout: Path) -> None:
    pin = checkout / "client" / "ichclient" / "model_repository.sha256"
    answer = ichexport("check", "--repository", bundle, "--pin", pin)
    assert (answer.exit_code, "whole and unchanged" in answer.output) == (0, True)


def drift(copy: Path) -> None:
    (copy / "ich_any" / "config.pbtxt").write_text("")


def another_graph(copy: Path) -> None:
    (copy / "ich_any" / "1" / "model.onnx").write_bytes(b"another graph")


def no_spec(copy: Path) -> None:
    (copy / "ich_combine" / "1" / "ensemble.json").unlink()


def broken_spec(copy: Path) -> None:
    (copy / "ich_combine" / "1" / "ensemble.json").write_text("{")


@pytest.mark.parametrize(
    ("spoil", "exit_code"), [(drift, 10), (another_graph, 10), (no_spec, 1), (broken_spec, 8)]
)
def test_check_ends_with_one_sentence_and_a_code(
    copy: Path, spoil: Callable[[Path], None], exit_code: int
) -> None:
    spoil(copy)
    answer = ichexport("check", "--repository", copy)
    assert answer.exit_code == exit_code
    assert answer.stderr.startswith("Error: ")
    assert answer.stderr.count("\n") == 1
    assert isinstance(answer.exception, SystemExit)


def test_repository_mends_drift_and_pins_what_it_wrote(
    released: tuple[Path, str], tmp_path: Path
) -> None:
    copy = shutil.copytree(released[0], tmp_path / "repository")
    drift(copy)
    pin = tmp_path / "pin.sha256"
    written = ichexport("repository", "--repository", copy, "--pin", pin)
    assert written.exit_code == 0
    assert pin.read_text().strip() in written.output
    assert ichexport("check", "--repository", copy, "--pin", pin).exit_code == 0


def test_release_of_an_unfinished_run_says_so(tmp_path: Path) -> None:
    answer = ichexport("release", tmp_path, "--repository", tmp_path / "repository")
    assert answer.exit_code == 1
    assert "no finished training run" in answer.stderr
    assert not (tmp_path / "repository").exists()
