"""A load on a function -> records, windows that agree or do not, and perf_analyzer's columns."""

from __future__ import annotations

import csv
import itertools
import multiprocessing
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks import perf_analyzer
from benchmarks.data import Pool
from benchmarks.load import ClosedLoop, OpenLoop, Record, burst
from benchmarks.loopback import loopback
from benchmarks.perf_csv import csv_from_rows
from benchmarks.server_times import server_times
from benchmarks.windows import Pace, agree, measured, measured_from_records, windows_from_records
from numpy.typing import NDArray


@pytest.fixture
def pool() -> Pool:
    """Seven slices, each full of its number."""
    hu = np.ones((7, 1, 4, 4), np.float16) * np.arange(7, dtype=np.float16)[:, None, None, None]
    return Pool(hu, ("made",))


class Server:
    """Answers at once, and remembers how many asked at the same time and what they sent."""

    def __init__(self, takes_s: float = 0.002) -> None:
        self.under_way, self.most, self.sent = 0, 0, []
        self._takes_s, self._lock = takes_s, threading.Lock()

    def __call__(self, hu: NDArray[np.float16]) -> None:
        with self._lock:
            self.under_way += 1
            self.most = max(self.most, self.under_way)
            self.sent.append(hu[:, 0, 0, 0].tolist())
        time.sleep(self._takes_s)
        with self._lock:
            self.under_way -= 1


def test_requests_are_real_slices_and_never_the_same_twice_in_a_row(pool: Pool) -> None:
    server = Server(0)
    burst(server, pool.requests(3), 40, 1)
    assert {value for request in server.sent for value in request} == set(range(7))
    assert all(first != second for first, second in itertools.pairwise(server.sent))


@pytest.mark.parametrize("in_flight", [1, 2, 4])
def test_a_closed_loop_keeps_so_many_under_way(pool: Pool, in_flight: int) -> None:
    server = Server()
    with ClosedLoop(server, pool.requests(2), in_flight) as load:
        while len(load.records()) < 10 * in_flight:
            time.sleep(0.001)
    assert server.most == in_flight
    assert server.under_way == 0
    assert all(record.answered_s > record.due_s for record in load.records())


def test_a_burst_sends_as_many_as_it_is_told(pool: Pool) -> None:
    server = Server()
    found = burst(server, pool.requests(2), 9, 3)
    assert (len(server.sent), len(found.latencies_s), server.most) == (9, 9, 3)
    assert found.elapsed_s >= max(found.latencies_s)


def test_an_open_loop_sends_at_random_and_counts_waiting(pool: Pool) -> None:
    server = Server(0.05)  # slower than they come, so they would pile up unseen in a closed loop
    with OpenLoop(server, pool.requests(1), per_second=200) as load:
        while len(load.records()) < 60:
            time.sleep(0.005)
    records = sorted(load.records(), key=lambda record: record.due_s)
    gaps = np.diff([record.due_s for record in records])
    assert server.most > 4
    assert 0.5 < float(gaps.std() / gaps.mean()) < 2  # 1 for a Poisson process, 0 for a clock
    assert float(gaps.mean()) == pytest.approx(1 / 200, rel=0.6)


@pytest.mark.parametrize("loop", [ClosedLoop, OpenLoop])
def test_a_request_that_fails_ends_the_load_with_its_error(pool: Pool, loop: Any) -> None:
    def broken(_: object) -> None:
        raise ConnectionError("gone")

    load = loop(broken, pool.requests(1), 2)

    def watched() -> None:
        with load:
            while True:
                load.records()

    with pytest.raises(ConnectionError, match="gone"):
        watched()


def steady(per_second: float, seconds: float, latency_s: float, start: float = 0) -> list[Record]:
    moments = start + np.arange(int(per_second * seconds)) / per_second
    return [Record(moment - latency_s, moment) for moment in moments.tolist()]


def test_three_windows_that_agree_are_stable_and_hold_what_was_answered_in_them() -> None:
    found = measured_from_records(steady(20, 4, 0.1), [0, 1, 2, 3, 4])
    assert found.stable
    assert [window.requests for window in found.windows] == [20, 20, 20]
    assert found.per_second == pytest.approx(20)
    assert found.percentiles_ms == dict.fromkeys(("p50", "p90", "p95", "p99"), pytest.approx(100))
    assert found.as_record()["verdict"] == "stable"


@pytest.mark.parametrize(
    "records",
    [
        steady(20, 2, 0.1) + steady(26, 1, 0.1, start=2),  # throughput moved by more than 10 %
        steady(20, 2, 0.1) + steady(20, 1, 0.13, start=2),  # latency did
        steady(20, 2, 0.1),  # nothing in the third
    ],
)
def test_windows_that_differ_are_called_not_stable(records: Sequence[Record]) -> None:
    found = measured_from_records(records, [0, 1, 2, 3])
    assert not found.stable
    assert found.as_record()["verdict"] == "not stable"


def test_windows_within_ten_percent_agree() -> None:
    assert agree(windows_from_records(steady(20, 3, 0.1), [0, 1, 2, 3]))


def test_percentiles_are_those_of_the_last_three_windows() -> None:
    slow_start = steady(10, 1, 5.0)
    tail = [*steady(10, 3, 0.1, start=1)[:-1], Record(3.4, 3.9)]
    found = measured_from_records(slow_start + tail, [0, 1, 2, 3, 4])
    assert found.percentiles_ms["p50"] == pytest.approx(100)
    assert 100 < found.percentiles_ms["p99"] < 600


def test_a_load_that_never_settles_ends_and_says_so(pool: Pool) -> None:
    calls = itertools.count()

    def slower_and_slower(_: object) -> None:
        time.sleep(0.001 * next(calls))

    with ClosedLoop(slower_and_slower, pool.requests(1), 1) as load:
        found = measured(load, Pace(burn_in_s=0.02, window_s=0.12, most_windows=3))
    assert not found.stable


def test_a_pace_without_three_windows_is_refused() -> None:
    with pytest.raises(ValueError, match="pace"):
        Pace(burn_in_s=1, window_s=1, most_windows=2)


def test_the_csv_has_perf_analyzers_columns() -> None:
    percentiles = {"p50": 10.0, "p90": 11.0, "p95": 12.0, "p99": 13.0}
    server = {"request": 9000.0, "queue": 1.0, "compute_input": 2.0, "compute_infer": 3.0,
              "compute_output": 4.0}  # fmt: skip
    row = {"per_second": 2.0, "mean_ms": 10.5, "percentiles_ms": percentiles, "server_us": server}
    text = csv_from_rows(
        [
            {"way": "ich_fused", "in_flight": 1, **row},
            {"way": "ich_fused", "request_rate": 5, **row},
        ]
    )
    lines = list(csv.reader(text.splitlines()))
    assert lines[1] == [
        "Concurrency", "Inferences/Second", "Client Send", "Network+Server Send/Recv",
        "Server Queue", "Server Compute Input", "Server Compute Infer", "Server Compute Output",
        "Client Recv", "p50 latency", "p90 latency", "p95 latency", "p99 latency",
    ]  # fmt: skip
    assert lines[2] == ["1", "16.0", "", "1500.0", "1.0", "2.0", "3.0", "4.0", "",
                        "10000", "11000", "12000", "13000"]  # fmt: skip
    assert lines[5][0] == "Request Rate"


def test_a_round_trip_over_loopback_carries_all_bytes_and_ends_its_process() -> None:
    with loopback(300_000, 70_000) as exchange:
        for _ in range(3):
            exchange()
        assert len(multiprocessing.active_children()) == 1
    assert multiprocessing.active_children() == []


def test_server_times_are_means_of_what_was_added() -> None:
    stages = ("queue", "compute_input", "compute_infer", "compute_output")
    before = {"fused": {"requests": 5, "request": 10_000}, "step": dict.fromkeys(stages, 1000)}
    after = {"fused": {"requests": 7, "request": 30_000}, "step": dict.fromkeys(stages, 5000)}
    assert server_times(before, after, "fused") == {
        "request": 10.0, "queue": 2.0, "compute_input": 2.0, "compute_infer": 2.0,
        "compute_output": 2.0,
    }  # fmt: skip
    assert server_times(after, after, "fused") is None
    assert server_times({}, {}, "fused") is None


def program(folder: Path, text: str) -> None:
    path = folder / perf_analyzer.PROGRAM
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_perf_analyzer_is_used_where_it_is_and_named_where_it_is_not(
    pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "absent" in perf_analyzer.beside("a:1", "ich_fused", pool, quick=True)["verdict"]
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    program(
        tmp_path,
        'while [ "$1" != -f ]; do shift; done; printf "Concurrency,p50 latency\\n1,42\\n" > "$2"',
    )
    found = perf_analyzer.beside("a:1", "ich_fused", pool, quick=True)
    assert found == {"verdict": "run beside", "rows": [{"Concurrency": "1", "p50 latency": "42"}]}
    program(tmp_path, "echo no such model >&2; exit 3")
    verdict = perf_analyzer.beside("a:1", "ich_fused", pool, quick=True)["verdict"]
    assert verdict == "ended with 3: no such model"
