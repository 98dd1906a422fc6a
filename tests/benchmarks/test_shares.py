"""Turns, proofs, peers and references: what a share is worth, and when there is none."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from benchmarks.clients import HttpBytes
from benchmarks.data import Pool, pool_from_studies
from benchmarks.errors import BenchmarkError, BlindProof, Disagreement
from benchmarks.load import Burst
from benchmarks.paired import Ratio
from benchmarks.peer_server import PEERS, Peer, running_peer
from benchmarks.peers.engine import Engine, EngineSettings, json_from_settings, settings_from_json
from benchmarks.peers.wire import bytes_from_outputs, hu_from_bytes, outputs_from_bytes
from benchmarks.proof import refuse_untrue_answers
from benchmarks.raw import RawEngine, raw_engine, settings_of_repository
from benchmarks.regression import fallen, references, refuse_busy_machine
from benchmarks.turns import RAW, Cell, in_turns

from ichcore import Grid
from ichcore.wire import FUSED_ENGINE_MODEL
from ichexport.engines import openvino_from_onnx
from ichexport.entry import graph_of

CELL = Cell(8, 2, 4)
_FIRST_ANSWER = """
import sys
import numpy as np
from benchmarks.peers.engine import Engine, settings_from_json
sys.setswitchinterval(1e-6)  # threads take turns at every chance
engine = Engine(settings_from_json(sys.argv[1]))
print(len(engine(np.zeros((4, *engine.item), np.float16))["SCORE"]))
"""


@pytest.fixture(scope="module")
def pool(study: Path) -> Pool:
    return pool_from_studies([study], Grid())


@pytest.fixture(scope="module")
def settings(repository: Path) -> EngineSettings:
    return settings_of_repository(repository, "f32", streams=2)


@pytest.fixture(scope="module")
def engine(settings: EngineSettings) -> Engine:
    return Engine(settings)


def ways(seconds: Mapping[str, float], order: list[str]) -> dict[str, Any]:
    def way(name: str) -> Any:
        def run(cell: Cell) -> Burst:
            order.append(name)
            return Burst(seconds[name] * cell.requests, ())

        return run

    return {name: way(name) for name in seconds}


def test_a_share_is_the_limits_time_over_the_ways_own_and_turns_begin_with_each() -> None:
    order: list[str] = []
    found = in_turns(ways({RAW: 1.0, "half": 2.0}, order), [CELL], 4, within_s=60)
    assert found.share("half", CELL).median == 0.5
    assert found.share("half", CELL).pairs == 4
    record = found.record()["half"][CELL.name]
    assert record["slices_per_second"] == 4.0
    starts = order[2::2]  # after the burn-in
    assert starts == [RAW, "half", RAW, "half"]


def test_time_that_is_up_ends_the_turns_but_not_before_the_first() -> None:
    found = in_turns(ways({RAW: 1.0}, []), [CELL], 50, within_s=0)
    assert found.turns == 1


def test_a_peer_that_breaks_falls_out_by_name_and_ours_ends_the_run() -> None:
    def broken(_: Cell) -> Burst:
        raise BenchmarkError("it is gone")

    some = ways({RAW: 1.0}, []) | {"peer": broken}
    found = in_turns(some, [CELL], 3, 60, may_fall_out=frozenset({"peer"}))
    assert dict(found.fell_out) == {"peer": "it is gone"}
    assert set(found.seconds) == {RAW}
    with pytest.raises(BenchmarkError, match="gone"):
        in_turns(some, [CELL], 3, 60)


def test_true_answers_pass_and_altered_ones_give_no_numbers(engine: Engine, pool: Pool) -> None:
    assert set(refuse_untrue_answers(engine, engine, pool, "f32", "it").values()) == {0.0}
    alterations = {
        "SCORE": lambda values: values * np.float32(0.98),
        "MASK": lambda values: values * np.float16(np.nan),
        "LESION_MM2": lambda values: values[:1],
        "BRAIN_MM2": lambda values: values[::-1] + 50,
    }
    for name, alter in alterations.items():

        def altered(hu: Any, name: str = name, alter: Any = alter) -> Any:
            outputs = engine(hu)
            return {**outputs, name: alter(outputs[name])}

        with pytest.raises(Disagreement, match=name):
            refuse_untrue_answers(altered, engine, pool, "f32", "it")


def test_slices_that_look_alike_prove_nothing(engine: Engine, pool: Pool) -> None:
    alike = Pool(np.repeat(pool.hu[:1], 8, axis=0), ("one slice",))
    with pytest.raises(BlindProof, match="prove nothing"):
        refuse_untrue_answers(engine, engine, alike, "f32", "it")


def test_the_raw_engine_answers_as_the_graph_does_whatever_the_pieces(
    engine: Engine, settings: EngineSettings, pool: Pool, repository: Path
) -> None:
    graph = openvino_from_onnx(graph_of(repository, FUSED_ENGINE_MODEL))
    for slices in (1, 4, 7):
        found, expected = engine(pool.hu[:slices]), graph(pool.hu[:slices])
        for name, values in expected.items():
            assert found[name].shape == values.shape
            np.testing.assert_allclose(found[name], values, atol=4 if "MM2" in name else 2e-3)
    with pytest.raises(ValueError, match="HU"):
        engine(np.zeros((0, 1, 256, 256), np.float16))
    assert settings_from_json(json_from_settings(settings)) == settings
    with pytest.raises(ValueError, match="settings"):
        replace(settings, streams=0)


def test_the_process_of_the_raw_engine_answers_times_and_ends(
    engine: Engine, settings: EngineSettings, pool: Pool
) -> None:
    with raw_engine(settings, pool) as raw:
        assert isinstance(raw, RawEngine)
        np.testing.assert_array_equal(raw(pool.hu[:3])["SCORE"], engine(pool.hu[:3])["SCORE"])
        found = raw.burst(2, 3, 2)
        assert len(found.latencies_s) == 3
        assert raw.cpu_s(2) > 0
        (process,) = (
            p for p in psutil.Process().children() if "spawn_main" in " ".join(p.cmdline())
        )
        with pytest.raises(BenchmarkError, match="could not answer"):
            raw(np.zeros((1, 1, 8, 8), np.float16))
    assert not process.is_running()


def test_the_first_answer_of_a_process_comes(settings: EngineSettings, checkout: Path) -> None:
    """Streams that met in OpenVINO's first tensor waited for each other in ten starts of twelve."""
    command = [sys.executable, "-c", _FIRST_ANSWER, json_from_settings(settings)]
    for _ in range(3):
        answer = subprocess.run(command, cwd=checkout, capture_output=True, timeout=60, check=True)
        assert answer.stdout.strip() == b"4"


def test_bytes_are_the_same_tensors_again(engine: Engine, pool: Pool) -> None:
    outputs = engine(hu_from_bytes(pool.hu[:3].tobytes()))
    found = outputs_from_bytes(bytes_from_outputs(outputs))
    assert set(found) == set(outputs)
    for name, values in outputs.items():
        np.testing.assert_array_equal(found[name], values)
    with pytest.raises(ValueError, match="whole slices"):
        outputs_from_bytes(bytes_from_outputs(outputs)[:-1])


class Here(Peer):
    """A peer whose package lies in this environment."""

    @property
    def python(self) -> Path:
        return Path(sys.executable)


class BytePeer(Here):
    """The one of the standard library beside this file."""

    @property
    def module(self) -> str:
        return "tests.benchmarks.byte_peer"


def test_a_peer_answers_truly_and_leaves_no_process(
    engine: Engine, settings: EngineSettings, pool: Pool, tmp_path: Path
) -> None:
    peer = BytePeer("byte", "none", "Bytes", lambda address: HttpBytes(address, "/"))
    with running_peer(peer, settings, tmp_path / "log") as running:
        few = Pool(pool.hu[[0, 9]], pool.studies)
        refuse_untrue_answers(running.client, engine, few, "f32", "it")
        with pytest.raises(BenchmarkError, match="answered 400: HU"):
            running.client(np.zeros((0, 1, 256, 256), np.float16))
        below = psutil.Process(running.pid).children(recursive=True)
        assert any("sleep" in part for process in below for part in process.cmdline())
        (region,) = Path("/dev/shm").glob("ich-byte-peer-*")
    assert not psutil.pid_exists(running.pid)
    assert [process for process in below if process.is_running()] == []
    assert not region.exists()


def test_a_peer_that_ends_says_its_last_words(settings: EngineSettings, tmp_path: Path) -> None:
    mosec = next(peer for peer in PEERS if peer.name == "mosec")
    here = Here(mosec.name, mosec.package, mosec.title, mosec.client)
    assert here.version() is None  # it is no part of any extra
    with (
        pytest.raises(BenchmarkError, match=r"mosec ended: .*No module named 'mosec'"),
        running_peer(here, settings, tmp_path / "log"),
    ):
        pass


def test_every_peer_has_its_file_and_its_requirements(checkout: Path) -> None:
    folder = checkout / "benchmarks" / "peers"
    for peer in PEERS:
        assert (folder / f"{peer.name}.py").is_file()
        assert peer.package in peer.requirements.read_text()


REFERENCE = {"it": {"median": 0.9, "low": 0.88, "high": 0.92}}


@pytest.mark.parametrize(
    ("median", "half", "lost"),
    [
        (0.90, 0.02, False),
        (0.85, 0.02, False),  # within allowance and noise
        (0.70, 0.02, True),
        (0.70, 0.15, False),  # as low, but so noisy that it says nothing
        (1.10, 0.02, False),
    ],
)
def test_a_ratio_falls_only_by_more_than_the_noise_that_was_measured(
    median: float, half: float, lost: bool
) -> None:
    ratios = {"it": Ratio(median, median - half, median + half, 8)}
    assert bool(fallen(ratios, REFERENCE)) == lost
    assert fallen(ratios, {}) == []  # another processor has no reference yet


def test_a_reference_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    assert references(tmp_path / "none.json") == {}
    (tmp_path / "bad.json").write_text(json.dumps({"no": 1}))
    with pytest.raises(BenchmarkError, match=r"bad\.json is no reference"):
        references(tmp_path / "bad.json")


def test_a_reference_is_recorded_on_a_quiet_machine_alone() -> None:
    refuse_busy_machine(0.1)
    with pytest.raises(BenchmarkError, match="quiet machine, and here the load is 90"):
        refuse_busy_machine(90.0)
