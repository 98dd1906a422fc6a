"""Result files -> the page, the tables of the documents, and a check that they have not drifted."""

from __future__ import annotations

import importlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from benchmarks.errors import BenchmarkError
from benchmarks.page import html_from_documents, write_page
from benchmarks.tables import TABLES, drifted, speed_table, write_tables
from benchmarks.targets import NAMES, documents_from_folder, targets_from_documents
from click.testing import CliRunner

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture
def documents() -> dict[str, dict[str, Any]]:
    """The committed results."""
    return documents_from_folder()


@pytest.fixture
def copies(tmp_path: Path) -> Path:
    """The documents that hold tables, elsewhere."""
    for name, _ in TABLES.values():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text((CHECKOUT / name).read_text())
    return tmp_path


def test_the_tables_are_those_of_the_result_files(documents: dict[str, Any]) -> None:
    names = [path.name for path in drifted(documents)]
    assert names == [], "run: python -m benchmarks.tables"


def test_a_number_that_moved_is_noticed_and_written(
    documents: dict[str, Any], copies: Path
) -> None:
    share = documents["throughput"]["ways"]["ich_fused, gRPC"]["8 slices, 2 in flight"]["share"]
    share |= {"median": 0.98, "low": 0.975, "high": 0.985}
    assert [path.name for path in drifted(documents, copies)] == ["README.md"]
    write_tables(documents, copies)
    assert "| 0.98 (0.97 to 0.98) | yes |" in (copies / "README.md").read_text()
    assert drifted(documents, copies) == {}


def test_a_document_without_its_markers_is_named(documents: dict[str, Any], copies: Path) -> None:
    readme = copies / "README.md"
    readme.write_text(readme.read_text().replace("<!-- /speed -->", ""))
    with pytest.raises(BenchmarkError, match=r"README\.md has no"):
        drifted(documents, copies)


def test_what_was_not_measured_says_so() -> None:
    assert {row.reached for row in targets_from_documents({})} == {None}
    assert "not measured" in speed_table({})
    assert html_from_documents({}).count("Not measured") == len(NAMES)


def test_the_page_holds_every_plot_and_needs_no_network(documents: dict[str, Any]) -> None:
    page = html_from_documents(documents)
    drawings = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(drawings) == len(documents) > 0
    for drawing in drawings:
        ElementTree.fromstring(drawing)
    assert "not a medical device" in page
    assert not re.search(r'(?:src|href)="(?!#)', re.sub(r"xlink:href", "href", page))


def test_ctrl_c_keeps_what_is_finished_and_makes_the_page_of_it(
    documents: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = importlib.import_module("benchmarks.__main__")

    def ended(command: list[str]) -> int:
        if command[0] != "benchmarks.limits":
            raise KeyboardInterrupt
        Path(command[-1]).write_text(json.dumps(documents["limits"]))
        return 0

    monkeypatch.setattr(suite, "_ended", ended)
    done = CliRunner().invoke(suite.main, ["--out", str(tmp_path)])
    assert done.exit_code == 130
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["index.html", "limits.json"]
    assert (tmp_path / "index.html").read_text().count("<svg") == 1


def test_a_benchmark_that_fails_is_named_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = importlib.import_module("benchmarks.__main__")
    ran = []

    def ended(command: list[str]) -> int:
        ran.append(command[0].removeprefix("benchmarks."))
        return 8 if ran[-1] == "peers" else 0

    monkeypatch.setattr(suite, "_ended", ended)
    done = CliRunner().invoke(suite.main, ["--out", str(tmp_path)])
    assert (done.exit_code, tuple(ran)) == (8, NAMES)
    assert "peers (8)" in done.output


def test_a_process_that_is_interrupted_is_given_its_own_end(tmp_path: Path) -> None:
    """The suite forwards Ctrl-C once and waits for what the benchmark does then."""
    program = (
        "import sys, time, pathlib\n"
        "path = pathlib.Path(sys.argv[1])\n"
        "try:\n    path.touch(); time.sleep(60)\n"
        "except KeyboardInterrupt:\n    time.sleep(0.5); path.write_text('ended')\n"
    )
    (tmp_path / "slow_benchmark.py").write_text(program)
    marker = tmp_path / "marker"
    suite = (
        "import sys; from benchmarks import __main__ as suite; "
        "suite._ended(['slow_benchmark', sys.argv[1]])"
    )
    search = f"{CHECKOUT}:{tmp_path}:{':'.join(sys.path)}"
    environment = {**os.environ, "PYTHONPATH": search}
    command = [sys.executable, "-c", suite, str(marker)]
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        while not marker.exists():
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        process.wait()
    assert marker.read_text() == "ended"


def test_a_result_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "scale.json").write_text("{")
    with pytest.raises(BenchmarkError, match=r"scale\.json is no result"):
        documents_from_folder(tmp_path)


def test_a_page_of_some_results_is_written_whole(documents: dict[str, Any], tmp_path: Path) -> None:
    some = {name: documents[name] for name in ("startup",) if name in documents}
    page = write_page(some, tmp_path / "new").read_text()
    assert page.count("<svg") == len(some)
