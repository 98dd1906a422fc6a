"""What cannot be delivered as it was asked for is told before any work is done."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ichclient.cli import main

pytest.importorskip("httpx")
pytest.importorskip("highdicom")
pytestmark = [
    pytest.mark.usefixtures("swept"),
    pytest.mark.filterwarnings(
        "ignore:Exception ignored in. <s.*ocket fd:pytest.PytestUnraisableExceptionWarning"
    ),
]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--store-to", "stow:https://pacs/dw"], "add --out DIR"),
        (["--store-to", "pacs", "--out", "x"], "stow:https://HOST"),
        (["--store-to", "stow:https://pacs/dw", "--out", "x", "--slab", "5"], "leave --slab out"),
        (["--store-to", "stow:https://pacs/dw", "--out", "x", "--pacs-cert", "y"], "give both"),
    ],
)
def test_options_that_cannot_be_are_told_before_any_work(
    options: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = CliRunner().invoke(main, ["infer", "study", *options])
    assert answer.exit_code == 2
    assert told in " ".join(answer.stderr.split())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("library", "target", "extra"),
    [("httpx", "stow:http://127.0.0.1:9", "dicomweb"), ("pynetdicom", "dimse:A@b:9", "dimse")],
)
def test_an_absent_library_is_told_before_any_work(
    judge: Callable[..., Result],
    monkeypatch: pytest.MonkeyPatch,
    library: str,
    target: str,
    extra: str,
    tmp_path: Path,
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    answer = judge(target)
    assert answer.exit_code == 1
    assert f"{library}: pip install 'ich-triton[{extra}]'" in answer.stderr
    assert not (tmp_path / "out").exists()


def test_certificates_that_cannot_be_read_are_told_before_any_work(
    judge: Callable[..., Result], certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    file = str(certificate[1])
    target = "stow:https://127.0.0.1:9/dicom-web"
    assert "--ca" in judge(target, "--ca", str(tmp_path / "absent.pem")).stderr
    assert (
        "--pacs-cert and --pacs-key"
        in judge(target, "--pacs-cert", file, "--pacs-key", file).stderr
    )
    assert not (tmp_path / "out").exists()


def test_a_target_in_the_clear_is_told(judge: Callable[..., Result]) -> None:
    answer = judge("dimse:PACS@192.0.2.1:104", "--pacs-timeout", "0.1")
    assert "dimse:PACS@192.0.2.1:104 is not encrypted" in answer.stderr
