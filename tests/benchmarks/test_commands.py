"""A benchmark as a command: numbers with their conditions, or one sentence and no number at all."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ichexport.manifest import MANIFEST_FILE, manifest_from_repository

CHECKOUT = Path(__file__).parents[2]
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(study: Path, tmp_path: Path) -> Start:
    """Start a benchmark; what it and its server leave behind lies below `tmp_path`."""
    (tmp_path / "tmp").mkdir()

    def started(name: str, repository: Path, *options: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", f"benchmarks.{name}", "--quick", "--study", str(study)]
        out = ["--repository", str(repository), "--out", str(tmp_path / "out.json")]
        return subprocess.Popen(
            [*command, *out, *options],
            cwd=CHECKOUT,
            env={**os.environ, "TMPDIR": str(tmp_path / "tmp"), "XDG_STATE_HOME": str(tmp_path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return started


def processes_naming(text: str) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().decode().replace("\0", " ")
        except OSError:
            continue
        if text in command and int(process.name) != os.getpid():
            found.append(command)
    return found


@pytest.mark.triton
def test_numbers_come_with_their_conditions(start: Start, repository: Path, tmp_path: Path) -> None:
    with start("throughput", repository, "--turns", "1", "--json") as benchmark:
        printed, words = benchmark.communicate()
    assert benchmark.returncode == 0, words
    found: dict[str, Any] = json.loads(printed)
    assert json.loads((tmp_path / "out.json").read_text()) == found
    cell = found["ways"]["ich_ensemble, gRPC"]["8 slices, 2 in flight"]
    assert cell["share"]["pairs"] == len(cell["runs_s"]) == 1
    assert 0 < cell["share"]["low"] <= cell["share"]["median"] <= cell["share"]["high"]
    assert found["ways"]["raw engine"]["8 slices, 2 in flight"]["share"]["median"] == 1
    assert set(found["studies"]) == {"uncompressed", "jpeg_2000"}
    assert found["studies"]["jpeg_2000"]["decode_cpu_s"] > 0
    conditions = found["conditions"]
    assert set(conditions["engines_sha256"]) == {
        "ich_any", "ich_sdh", "ich_sah", "ich_small", "ich_fused_engine",
    }  # fmt: skip
    assert (conditions["chunk_slices"], conditions["in_flight"]) == (8, 2)
    assert conditions["versions"]["triton"] == "2.51.0"
    machine = conditions["machine"]
    assert {"cpu_model", "cores", "vector_flags", "load_average_end"} <= set(machine)
    assert found["form"] == "quick"


@pytest.mark.triton
def test_wrong_output_gives_no_numbers(start: Start, repository: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    shutil.copytree(repository, wrong)
    model = wrong / "ich_provenance" / "1" / "model.py"
    true = model.read_text()
    model.write_text(true + _LIES)
    (wrong / MANIFEST_FILE).write_text(manifest_from_repository(wrong))
    with start("latency", wrong, "--json", "--csv", str(tmp_path / "out.csv")) as benchmark:
        printed, words = benchmark.communicate()
    assert benchmark.returncode == 8, words
    assert printed == ""
    assert not (tmp_path / "out.json").exists()
    assert not (tmp_path / "out.csv").exists()
    assert "SCORE of ich_fused differs" in words
    assert "Traceback" not in words


_LIES = '''

import numpy as np


class TritonPythonModel(TritonPythonModel):
    """Answers with scores that are a little lower."""

    def execute(self, requests):
        answers = super().execute(requests)
        lower = []
        for answer in answers:
            tensors = [
                pb_utils.Tensor(t.name(), t.as_numpy() * np.float32(0.9))
                if t.name() == "SCORE" else t
                for t in answer.output_tensors()
            ]
            lower.append(pb_utils.InferenceResponse(tensors))
        return lower
'''


@pytest.mark.triton
def test_interruption_leaves_no_process(start: Start, repository: Path, tmp_path: Path) -> None:
    with start("latency", repository) as benchmark:
        assert benchmark.stderr is not None
        while "in flight" not in (line := benchmark.stderr.readline()):
            assert line, "it ended before its server was ready"
        assert processes_naming(str(tmp_path)) != []
        benchmark.send_signal(signal.SIGINT)
        printed, words = benchmark.communicate()
    # Python ends itself by the signal where native code was interrupted; a shell says 130 of both.
    assert benchmark.returncode in (130, -signal.SIGINT), words
    assert (printed, "Interrupted." in words) == ("", True)
    deadline = time.monotonic() + 20
    while processes_naming(str(tmp_path)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert processes_naming(str(tmp_path)) == []
    assert list((tmp_path / "tmp").iterdir()) == []
    assert not (tmp_path / "out.json").exists()


def test_a_missing_peer_is_skipped_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from contextlib import ExitStack

    from benchmarks import peer_server
    from benchmarks.bench import Bench
    from benchmarks.peers.__main__ import _started

    monkeypatch.setattr(peer_server, "ENVIRONMENTS", tmp_path)
    skipped: dict[str, str] = {}
    bench = Bench(tmp_path, (), True, lambda _: None, "", 0.0)
    with ExitStack() as running:
        assert _started(bench, running, peer_server.PEERS, skipped) == ({}, {})
    assert set(skipped) == {peer.title for peer in peer_server.PEERS}
    assert all("not installed" in why for why in skipped.values())
