"""A library that is not installed is told in one sentence, with the extra that brings it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from ichclient.cli import main


@pytest.mark.parametrize(
    ("library", "study", "extra"),
    [
        ("httpx", "dicomweb:http://127.0.0.1:9?StudyInstanceUID=1", "dicomweb"),
        ("pynetdicom", "dimse:PACS@127.0.0.1:9?StudyInstanceUID=1", "dimse"),
        ("zstandard", "study.tar.zst", "zstd"),
    ],
)
def test_an_absent_library_names_its_extra(
    library: str, study: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.tar.zst").write_bytes(b"\x28\xb5\x2f\xfd" + bytes(600))
    monkeypatch.setitem(sys.modules, library, None)
    answer = CliRunner().invoke(main, ["series", study])
    assert answer.exit_code == 1
    assert f"{library}: pip install 'ich-triton[{extra}]'" in answer.stderr
    assert "Traceback" not in answer.stderr
