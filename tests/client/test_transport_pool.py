"""Several servers judge in turn, and one lost, full or untrue costs no slice; real Triton."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

from ichclient.cli import main
from ichclient.connect import ServerOptions
from ichclient.errors import ServerBusy, ServerRefused, ServerUnreachable
from ichclient.golden import Golden
from ichclient.infer import result_from_path
from ichclient.pool import ServerPool
from ichclient.process import RunningServer, running_server
from ichclient.proof import Proof
from ichclient.transport import TritonTransport
from ichcore import SliceScores

pytestmark = pytest.mark.triton

MODELS = ("ich_fused", "ich_study")


def many(golden: Golden, count: int) -> NDArray[np.float16]:
    return np.resize(golden.hu, (count, *golden.hu.shape[1:]))


def test_a_server_killed_under_load_costs_no_slice_and_judges_again_when_it_is_back(
    served: RunningServer, bundle: Path, golden: Golden, tmp_path: Path
) -> None:
    hu = many(golden, 48)
    expected = np.resize(golden.score, 48)
    prove = Proof(golden).refuse_untrue_server
    with ExitStack() as stack, ThreadPoolExecutor(4) as asking:
        start = partial(running_server, bundle, models=MODELS, stop_deadline_s=0)
        other = stack.enter_context(start(log_path=tmp_path / "a"))
        port = int(other.url.rpartition(":")[2])
        pool = stack.enter_context(ServerPool((served.url, other.url), prove, retry_for_s=60))
        pool.prove()
        os.kill(other.pid, signal.SIGSTOP)  # its requests wait in it when it is killed
        chunks = [asking.submit(pool.infer, hu[at : at + 4]) for at in range(0, 48, 4)]
        wait(chunks, timeout=2)
        assert not all(chunk.done() for chunk in chunks)
        os.kill(other.pid, signal.SIGKILL)
        scores = np.concatenate([chunk.result(60).score for chunk in chunks])
        assert pool.interruptions > 0
        assert np.abs(scores - expected).max() <= golden.tolerance_score

        stack.enter_context(start(log_path=tmp_path / "b", grpc_port=port))
        time.sleep(2.1)
        pool.infer(hu[:1])
        pool.infer(hu[:1])
        os.kill(served.pid, signal.SIGSTOP)  # only the one that came back can answer now
        try:
            answers = [asking.submit(pool.infer, hu[:1]) for _ in range(2)]
            done, _ = wait(answers, timeout=10, return_when="FIRST_COMPLETED")
            assert len(done) == 1
        finally:
            os.kill(served.pid, signal.SIGCONT)
        assert all(len(answer.result(60).score) == 1 for answer in answers)


def test_a_study_survives_the_end_of_a_server_with_the_same_score(
    served: RunningServer, bundle: Path, checkout: Path, tmp_path: Path
) -> None:
    study = checkout / "examples" / "phantom-sdh"
    alone = result_from_path(study, ServerOptions(url=served.url))
    with running_server(
        bundle, log_path=tmp_path / "log", models=MODELS, stop_deadline_s=0
    ) as other:

        def killing(stage: str, *_: int) -> None:
            if stage == "slices":
                with suppress(ProcessLookupError):
                    os.kill(other.pid, signal.SIGKILL)

        options = ServerOptions(url=f"{served.url},{other.url}")
        result = result_from_path(study, options, progress=killing)
    assert "server_interrupted" in {warning.code for warning in result.warnings}
    assert [one.score for one in result.slices] == [one.score for one in alone.slices]
    assert result.study_score == alone.study_score


@pytest.fixture
def slices(served: RunningServer, golden: Golden) -> SliceScores:
    """Scores of the golden slices, for the study rule."""
    with TritonTransport(served.url) as transport:
        said = transport.infer(golden.hu)
    position_mm = np.arange(len(said.score), dtype=np.float32) * 5
    numbers = (said.score, said.member_scores, said.lesion_mm2, said.brain_mm2, position_mm)
    return SliceScores(*numbers, said.provenance)


@pytest.fixture
def narrow(bundle: Path, tmp_path: Path) -> Iterator[RunningServer]:
    """A server whose study model lets one request wait.

    Not a model of the ensemble: Triton before 26.02 dies when a step of an ensemble is full.
    """
    repository = Path(shutil.copytree(bundle, tmp_path / "repository"))
    config = repository / "ich_study" / "config.pbtxt"
    bound = "dynamic_batching { default_queue_policy { max_queue_size: 1 } }\n"
    config.write_text(config.read_text() + bound)
    log_path = tmp_path / "log"
    with running_server(repository, log_path=log_path, models=MODELS, stop_deadline_s=0) as server:
        yield server


@contextmanager
def busy_study_model(server: RunningServer) -> Iterator[None]:
    """Hold the process that computes the study rule."""
    (stub,) = [
        int(folder.name)
        for folder in Path("/proc").glob("[0-9]*")
        if f"PPid:\t{server.pid}\n" in (folder / "status").read_text()
        if b"ich_study" in (folder / "cmdline").read_bytes()
    ]
    os.kill(stub, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(stub, signal.SIGCONT)


def test_a_full_queue_is_waited_for_and_is_no_interruption(
    narrow: RunningServer, served: RunningServer, slices: SliceScores
) -> None:
    with (
        ThreadPoolExecutor(16) as asking,
        TritonTransport(narrow.url, retry_for_s=0) as hasty,
        TritonTransport(narrow.url, retry_for_s=60) as patient,
        ServerPool((narrow.url, served.url), lambda _: "same") as pool,
    ):
        for transport in (hasty, patient, pool):
            transport.study(slices)
        with busy_study_model(narrow):
            waiting = [asking.submit(patient.study, slices) for _ in range(6)]
            wait(waiting, timeout=0.5)
            with pytest.raises(ServerBusy, match="was full and turned the request away"):
                hasty.study(slices)
            for _ in range(4):
                pool.study(slices)  # the other server has room
            assert not any(answer.done() for answer in waiting)
        scores = {answer.result(30).score for answer in waiting}
        assert len(scores) == 1
        assert [one.interruptions for one in (hasty, patient, pool)] == [0, 0, 0]


def twice(server: RunningServer) -> tuple[str, str]:
    """One server under two addresses."""
    return server.url, server.url.replace("127.0.0.1", "localhost")


def test_servers_of_different_bundles_are_refused_by_name(served: RunningServer) -> None:
    urls = twice(served)
    with (
        ServerPool(urls, lambda server: server.url) as pool,
        pytest.raises(ServerRefused, match="another bundle or other engines") as caught,
    ):
        pool.prove()
    assert any(url in str(caught.value) for url in urls)


def test_a_server_that_comes_back_untrue_is_shut_out_and_the_study_goes_on(
    served: RunningServer, golden: Golden, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ichclient.pool._LOOK_AGAIN_AFTER_S", 0.0)
    url, altered = twice(served)
    asked = []

    def prove(server: TritonTransport) -> str:
        if server.url != altered:
            return "same"
        asked.append(server.url)
        if len(asked) == 1:
            raise ServerUnreachable("away at first")
        raise ServerRefused("altered since")

    with ServerPool((url, altered), prove) as pool:
        pool.prove()
        for _ in range(4):
            assert len(pool.infer(golden.hu[:1]).score) == 1
        assert len(asked) == 2
        pool.prove()
    assert len(asked) == 2


def test_a_study_is_judged_by_those_servers_that_are_there(
    served: RunningServer, make_series: Callable[..., Path], tmp_path: Path
) -> None:
    study = make_series(tmp_path / "study")
    addresses = ("--url", "127.0.0.1:9", "--url", ",".join(twice(served)))
    answer = CliRunner().invoke(main, ["infer", str(study), "--json", *addresses])
    assert answer.exit_code == 0, answer.stderr
    answer = CliRunner().invoke(main, ["infer", str(study), "--url", "127.0.0.1:9,127.0.0.1:11"])
    assert answer.exit_code == 6
    assert "No answer from 127.0.0.1" in answer.stderr


def test_an_address_that_is_given_twice_is_a_wrong_use(tmp_path: Path) -> None:
    answer = CliRunner().invoke(main, ["infer", str(tmp_path), "--url", "h:1,h:1"])
    assert answer.exit_code == 2
    assert "twice" in answer.stderr
