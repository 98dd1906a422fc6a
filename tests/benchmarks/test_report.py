"""The report benchmark gives every number it promises, and none of files that differ."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType

import pytest
from click.testing import CliRunner

CHECKOUT = Path(__file__).parents[2]
TINY = ["--lengths", "16", "--syntaxes", "uncompressed", "--syntaxes", "rle", "--rounds", "1"]


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(CHECKOUT))
    return importlib.import_module("benchmarks.report")


def test_numbers_come_with_their_conditions(
    report: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "report.json"
    done = CliRunner().invoke(report.main, [*TINY, "--json", "--out", str(out)])
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert json.loads(out.read_text()) == document
    rows = document["measurements"]["16"]
    assert set(rows) == {"uncompressed", "rle"}
    for row in rows.values():
        assert row["slices"] == row["pictures"] == 16
        assert row["decode_share"] > 0
        assert row["files_s"] == row["runs_s"]["files"][0]
        assert row["bytes"]["report.html"] > 10_000
        assert set(row["bytes"]) == {
            "masks.npz", "slices.csv", "top_slice.png", "report.html", "result.json",
        }  # fmt: skip
    assert document["conditions"]["machine"]["cores"] >= 1
    report.print_table(document)
    assert "uncompressed" in capsys.readouterr().out


def test_files_that_differ_give_no_number(
    report: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, count = report.files_from_judged, iter(range(100))

    def another(*arguments: object) -> object:
        result, files = made(*arguments)
        return result, {**files, "slices.csv": str(next(count)).encode()}

    monkeypatch.setattr(report, "files_from_judged", another)
    done = CliRunner().invoke(report.main, [*TINY, "--json"])
    assert done.exit_code == 8
    assert done.stdout == ""
