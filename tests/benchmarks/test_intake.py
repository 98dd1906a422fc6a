"""The intake benchmark gives every number it promises, on files that are gone afterwards."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType

import pytest
from click.testing import CliRunner

CHECKOUT = Path(__file__).parents[2]
TINY = ["--files", "6", "--slices", "16", "--lengths", "16", "--lengths", "24", "--rounds", "1"]


@pytest.fixture
def intake(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(CHECKOUT))
    return importlib.import_module("benchmarks.intake")


def test_numbers_come_with_their_conditions(
    intake: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    out = tmp_path / "out" / "intake.json"
    done = CliRunner().invoke(intake.main, [*TINY, "--json", "--out", str(out)])
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert json.loads(out.read_text()) == document
    found = document["measurements"]
    assert found["header_scan"]["client"]["files_per_second"] > 0
    assert set(found["decode"]) == {"uncompressed", "jpeg_2000", "jpeg_lossless", "rle"}
    for row in found["decode"].values():
        assert row["slices"] == 16
        assert len(row["client_2_workers"]["runs_s"]) == 1
    assert set(found["memory"]) == {"16", "24"}
    assert all(row["peak_pss_mib"] > 10 for row in found["memory"].values())
    assert document["conditions"]["machine"]["cores"] >= 1
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_values_that_differ_from_pydicom_give_no_number(
    intake: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = intake._plain_hu
    monkeypatch.setattr(intake, "_plain_hu", lambda path: plain(path) + 1)
    done = CliRunner().invoke(intake.main, [*TINY, "--json"])
    assert done.exit_code == 8
    assert done.stdout == ""
