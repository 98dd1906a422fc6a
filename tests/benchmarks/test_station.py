"""The station's benchmark gives every number it promises, and none where scores differ."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType

import pytest
from click.testing import CliRunner

from ichclient.station.folder import StationFolder
from ichclient.station.state import Identity, Outcome, Station, StationImage

CHECKOUT = Path(__file__).parents[2]
TINY = [
    "--waiting", "2", "--rounds", "1", "--quiet", "0.5", "--memory-studies", "1",
    "--look-every", "1",
]  # fmt: skip


@pytest.fixture
def station(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(CHECKOUT))
    return importlib.import_module("benchmarks.station")


@pytest.mark.triton
@pytest.mark.timeout(600)  # three servers start in it
def test_numbers_come_with_their_conditions(
    station: ModuleType, study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(CHECKOUT / "client"))
    out = tmp_path / "station.json"
    done = CliRunner().invoke(
        station.main, ["--study", str(study), *TINY, "--json", "--out", str(out)]
    )
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert json.loads(out.read_text()) == document
    found = document["measurements"]
    row = found["latency"]["2"]
    assert 0 < row["report_s"]["first"] <= row["report_s"]["last"]
    assert row["report_s"]["last"] <= row["last_object_s"]["last"]
    assert len(row["runs_s"][0]) == 2
    assert found["report"]["page_bytes"] > 10_000
    assert found["report"]["page_drawn_s"] > 0
    assert [look["studies"] for look in found["memory"]["looks"]] == [1]
    assert all(look["listener_mib"] > 10 for look in found["memory"]["looks"])
    assert document["conditions"]["quiet_s"] == 0.5
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("ich-station")] == []


def test_scores_that_differ_give_no_number(station: ModuleType, tmp_path: Path) -> None:
    key = "a" * 20
    with Station(StationFolder.made(tmp_path / "station")) as one:
        one.received(StationImage(key, "1.2", "a.dcm", 1, "0" * 64, 0.0, "CT"), Identity("1.3"))
        one.complete(1, 0, 0)
        one.begin(1)
        one.judged(key, Outcome(0.9, {"balanced": "positive"}, None, None, None), 2)
    station._prove(tmp_path / "station", 0.9)
    with pytest.raises(station.Disagreement, match="no numbers"):
        station._prove(tmp_path / "station", 0.8)
