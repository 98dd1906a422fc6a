"""A study -> numbers with their conditions, or one sentence and no number at all."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ichexport.manifest import MANIFEST_FILE, manifest_from_repository

CHECKOUT = Path(__file__).parents[2]
TINY = ("--runs", "2", "--cold-runs", "1", "--burn-in", "1")


@pytest.fixture(autouse=True)
def benchmarks_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(CHECKOUT))


@pytest.fixture
def work() -> ModuleType:
    return importlib.import_module("benchmarks.work")


@pytest.fixture
def paired() -> ModuleType:
    return importlib.import_module("benchmarks.paired")


def started(study: Path, repository: Path, tmp_path: Path, *options: str) -> subprocess.Popen[str]:
    """The benchmark as a process; what it and its server leave behind lies below `tmp_path`."""
    (tmp_path / "tmp").mkdir()
    command = [sys.executable, "-m", "benchmarks.first_light", str(study)]
    return subprocess.Popen(
        [*command, "--repository", str(repository), "--out", str(tmp_path / "out.json"), *options],
        cwd=CHECKOUT,
        env={**os.environ, "TMPDIR": str(tmp_path / "tmp"), "XDG_STATE_HOME": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


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
def test_numbers_come_with_their_conditions(study: Path, repository: Path, tmp_path: Path) -> None:
    with started(study, repository, tmp_path, *TINY, "--json") as benchmark:
        printed, words = benchmark.communicate()
    assert benchmark.returncode == 0, words
    found: dict[str, Any] = json.loads(printed)
    assert json.loads((tmp_path / "out.json").read_text()) == found
    measured, conditions = found["measurements"], found["conditions"]
    cold = measured["cold_start"]
    assert cold["first_result_s"]["median"] <= cold["process_end_s"]["median"]
    assert cold["stages_s"]["slices_s"] < cold["first_result_s"]["median"]
    for way in ("warm_served_s", "warm_in_process_s"):
        assert len(measured[way]["runs"]) == 2
        assert 0 < measured[way]["lowest"] <= measured[way]["median"] <= measured[way]["highest"]
    ratio = measured["in_process_over_served"]
    assert 0 < ratio["low"] <= ratio["median"] <= ratio["high"]
    assert ratio["pairs"] == 2
    peak = measured["peak_pss"]
    assert 20 < peak["client_mib"] < peak["server_mib"]
    assert set(conditions["engines_sha256"]) == {
        "ich_any", "ich_sdh", "ich_sah", "ich_small", "ich_fused_engine",
    }  # fmt: skip
    assert (conditions["slices"], conditions["chunk_slices"], conditions["in_flight"]) == (10, 8, 2)
    assert conditions["versions"]["triton"] == "2.51.0"
    assert {"cpu_model", "cores", "vector_flags", "load_average_end"} <= set(conditions["machine"])


@pytest.mark.triton
def test_wrong_output_gives_no_numbers(study: Path, repository: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    shutil.copytree(repository, wrong)
    model = wrong / "ich_provenance" / "1" / "model.py"
    true = model.read_text()
    # Less than golden slices may differ by, so that the benchmark's own proof has to see it.
    checked = "[pb_utils.Tensor(n, v) for n, v in"
    lowered = "[pb_utils.Tensor(n, v * np.float32(0.99)) for n, v in"
    model.write_text(true.replace(checked, lowered))
    assert model.read_text() != true
    (wrong / MANIFEST_FILE).write_text(manifest_from_repository(wrong))
    with started(study, wrong, tmp_path, *TINY, "--json") as benchmark:
        printed, words = benchmark.communicate()
    assert benchmark.returncode == 8, words
    assert printed == ""
    assert not (tmp_path / "out.json").exists()
    assert "slice_score differ by up to" in words
    assert "Traceback" not in words


@pytest.mark.triton
def test_interruption_leaves_no_process(study: Path, repository: Path, tmp_path: Path) -> None:
    with started(study, repository, tmp_path, *TINY) as benchmark:
        assert benchmark.stderr is not None
        while "Peak memory of the warm server" not in (line := benchmark.stderr.readline()):
            assert line, "it ended before its server was ready"
        assert processes_naming(str(tmp_path)) != []
        benchmark.send_signal(signal.SIGINT)
        printed, words = benchmark.communicate()
    # Python ends itself by the signal where native code was interrupted; a shell says 130 of both.
    assert benchmark.returncode in (130, -signal.SIGINT), words
    assert (printed, "Interrupted." in words) == ("", True)
    deadline = time.monotonic() + 10
    while processes_naming(str(tmp_path)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert processes_naming(str(tmp_path)) == []
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.fixture
def answer(work: ModuleType, repository: Path, study_hu: NDArray[np.float16]) -> Any:
    """The in-process answer to three slices."""
    engines = work.in_process_from_repository(repository)
    positions = np.array([0, 10, 20], np.float32)
    return work.answer_in_process(engines, work.HUStudy(study_hu[:9:4], positions), 2)


def test_equal_answers_agree_and_altered_ones_do_not(work: ModuleType, answer: Any) -> None:
    assert set(work.refuse_disagreement(answer, answer).values()) == {0.0}
    low = replace(answer.slices, score=answer.slices.score * np.float32(0.98))
    alterations = [
        ("slice_score", replace(answer, slices=low)),
        ("mask", replace(answer, mask=answer.mask + np.float16(0.1))),
        ("mask", replace(answer, mask=answer.mask * np.float16(np.nan))),
        ("mask", replace(answer, mask=answer.mask[:2])),
        ("study_score", replace(answer, study=replace(answer.study, score=2.0))),
    ]
    for name, altered in alterations:
        with pytest.raises(work.Disagreement, match=f"in-process {name} "):
            work.refuse_disagreement(altered, answer)


def test_answers_that_are_all_alike_prove_nothing(work: ModuleType, answer: Any) -> None:
    work.refuse_blind_proof(answer)
    alike = replace(answer.slices, score=np.full_like(answer.slices.score, 0.018))
    with pytest.raises(work.BlindProof, match="prove nothing"):
        work.refuse_blind_proof(replace(answer, slices=alike))


def test_chunks_hold_every_slice_once(work: ModuleType) -> None:
    study = work.HUStudy(np.zeros((5, 1, 256, 256), np.float16), np.arange(5, dtype=np.float32))
    assert [len(chunk) for chunk in study.chunks(2)] == [2, 2, 1]
    assert [len(chunk) for chunk in study.chunks(8)] == [5]


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_ratio_is_that_of_the_pairs_and_lies_in_its_interval(
    paired: ModuleType, factor: float
) -> None:
    drift = np.linspace(1, 3, 21)  # a machine that slows down slows both
    noise = 1 + 0.1 * np.random.default_rng(1).standard_normal(21)
    ratio = paired.ratio_from_pairs(
        paired.Durations(tuple(drift * factor * noise)), paired.Durations(tuple(drift))
    )
    assert ratio.low < factor < ratio.high
    assert ratio.high / ratio.low < 1.2
    assert ratio.pairs == 21


def test_pairs_begin_with_either_way_in_turn(paired: ModuleType) -> None:
    order: list[str] = []
    paired.paired_durations(lambda: order.append("a"), lambda: order.append("b"), range(3))
    assert "".join(order) == "abbaab"


def test_durations_without_partner_are_refused(paired: ModuleType) -> None:
    with pytest.raises(ValueError, match="partner"):
        paired.ratio_from_pairs(paired.Durations((1.0, 2.0)), paired.Durations((1.0,)))
