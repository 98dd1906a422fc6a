"""One server for many studies: kept while it is well, started again where it ended."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ichclient import warm
from ichclient.connect import ProvenServer, ServerOptions
from ichclient.errors import EmbeddedServerError, RefusedInput, ServerUnreachable
from ichclient.infer import result_from_path
from ichclient.process import is_running
from ichclient.warm import WarmServer


def killed(pid: int) -> None:
    """Kill a server as the kernel would, and wait until it is gone."""
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while is_running(pid):
        assert time.monotonic() < deadline, "the server outlives SIGKILL"
        time.sleep(0.02)


def killed_at_work(server: WarmServer, before: int) -> None:
    """Kill the server that a study holds, and ask it nevertheless."""
    with server.lent() as kept:
        assert kept.pid not in (None, before), "the killed server was not replaced"
        killed(kept.pid)
        kept.transport.infer(kept.golden.hu)


def test_a_real_server_is_kept_and_started_again_where_it_was_killed(
    bundle: Path, checkout: Path, tmp_path: Path
) -> None:
    phantom = checkout / "examples" / "phantom-sdh"
    options = ServerOptions(repository=bundle)
    with WarmServer(options) as server:
        first = result_from_path(phantom, server, out=tmp_path / "first")
        with server.lent() as kept:
            pid = kept.pid
        second = result_from_path(phantom, server)
        with server.lent() as kept:
            assert kept.pid == pid, "a server that is well was started again"
        assert first.timings["server_ready_s"] > 0 == second.timings["server_ready_s"]
        assert second.study_score == first.study_score

        assert pid is not None
        killed(pid)
        assert result_from_path(phantom, server).study_score == first.study_score

        with pytest.raises(ServerUnreachable, match="its log is"):
            killed_at_work(server, pid)
        with server.lent() as kept:
            assert kept.pid not in (None, pid)
            pid = kept.pid or 0
    assert not is_running(pid), "the server outlives its block"


@pytest.fixture
def starts(monkeypatch: pytest.MonkeyPatch, proven: ProvenServer) -> list[str]:
    """Every start and end of a server that is none."""
    told: list[str] = []

    @contextmanager
    def proven_server(_: ServerOptions, **__: object) -> Iterator[ProvenServer]:
        told.append("start")
        try:
            yield proven
        finally:
            told.append("end")

    monkeypatch.setattr(warm, "proven_server", proven_server)
    return told


def test_a_server_elsewhere_is_proven_for_each_study(
    starts: list[str], make_series: Callable[..., Path], tmp_path: Path
) -> None:
    study = make_series(tmp_path / "study")
    with WarmServer(ServerOptions(url="fake:1")) as server:
        result_from_path(study, server)
        result_from_path(study, server)
    assert starts == ["start", "end"] * 2


def test_a_server_that_cannot_be_had_is_told_from_a_study_that_failed(
    monkeypatch: pytest.MonkeyPatch, starts: list[str]
) -> None:
    server = WarmServer(ServerOptions())
    with pytest.raises(ServerUnreachable), server.lent():
        raise ServerUnreachable("gone")
    assert not server.start_failed
    assert starts == ["start", "end"]

    def none(_: ServerOptions, **__: object) -> None:
        raise EmbeddedServerError("it cannot start here")

    monkeypatch.setattr(warm, "proven_server", none)
    with pytest.raises(EmbeddedServerError), server.lent():
        pass
    assert server.start_failed


def test_a_refused_study_leaves_no_connection_to_a_server_elsewhere(starts: list[str]) -> None:
    with WarmServer(ServerOptions(url="fake:1")) as server:
        for _ in range(2):
            with pytest.raises(RefusedInput), server.lent():
                raise RefusedInput("no study")
        assert starts == ["start", "end"] * 2
