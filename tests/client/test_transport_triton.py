"""The chain on real Triton: same scores whoever asks, true servers only, and back after a kill."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

from ichclient.cli import main
from ichclient.errors import ServerRefused
from ichclient.golden import GOLDEN_FILE, Golden, golden_from_file
from ichclient.process import RunningServer, running_server
from ichclient.proof import Proof
from ichclient.repository import default_repository
from ichclient.transport import TritonTransport

pytestmark = pytest.mark.triton


@pytest.fixture(scope="module")
def golden() -> Golden:
    return golden_from_file(default_repository() / GOLDEN_FILE)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    log = tmp_path_factory.mktemp("log") / "triton.log"
    with running_server(default_repository(), log_path=log, stop_deadline_s=0) as running:
        yield running


@pytest.fixture
def transport(server: RunningServer) -> Iterator[TritonTransport]:
    with TritonTransport(server.url) as connected:
        yield connected


def many(golden: Golden, count: int) -> NDArray[np.float16]:
    """The golden slices again and again."""
    return np.resize(golden.hu, (count, *golden.hu.shape[1:]))


def test_the_bundle_proves_itself(transport: TritonTransport, golden: Golden) -> None:
    Proof(golden).refuse_untrue_server(transport)


def test_the_golden_slices_tell_more_than_their_tolerance(golden: Golden) -> None:
    assert np.ptp(golden.score) > 5 * golden.tolerance_score
    assert np.ptp(golden.lesion_mm2) > 5 * golden.tolerance_lesion_mm2


def test_a_score_depends_neither_on_its_chunk_nor_on_other_requests(
    transport: TritonTransport, golden: Golden
) -> None:
    together = transport.infer(many(golden, 8))
    others = threading.Thread(target=transport.infer, args=(many(golden, 24),))
    others.start()
    alone = [transport.infer(one[None]) for one in many(golden, 8)]
    others.join()
    scores = np.concatenate([answer.score for answer in alone])
    # The engines may block their sums in another way for another number of slices.
    assert np.abs(scores - together.score).max() < 1e-5


@pytest.mark.parametrize(
    ("slice_model", "engine"), [("ich_fused", "ich_fused_engine"), ("ich_ensemble", "ich_any")]
)
def test_a_server_that_hands_models_other_values_is_refused(
    tmp_path: Path, golden: Golden, slice_model: str, engine: str
) -> None:
    repository = Path(shutil.copytree(default_repository(), tmp_path / "repository"))
    model = repository / engine / "1" / "model.py"
    true = '"HU").as_numpy()'
    assert true in model.read_text()
    model.write_text(model.read_text().replace(true, true + "[:, :, ::-1].copy() * 2 + 300"))
    with (
        running_server(
            repository,
            log_path=tmp_path / "log",
            models=(slice_model, "ich_study"),
            stop_deadline_s=0,
        ) as running,
        TritonTransport(running.url, model=slice_model) as transport,
        pytest.raises(ServerRefused, match=r"differs by up to .* is allowed"),
    ):
        Proof(golden).refuse_untrue_server(transport)


def test_the_one_engine_judges_where_it_is_served_and_the_members_where_it_is_not(
    server: RunningServer, transport: TritonTransport, tmp_path: Path, golden: Golden
) -> None:
    members = ("ich_ensemble", "ich_study")
    with (
        running_server(
            default_repository(), log_path=tmp_path / "log", models=members, stop_deadline_s=0
        ) as without,
        TritonTransport(without.url) as only,
        TritonTransport(server.url, model="ich_ensemble") as asked,
        TritonTransport(server.url, model="ich_fused") as fused,
    ):
        of_members = Proof(golden).refuse_untrue_server(only)
        assert Proof(golden).refuse_untrue_server(asked) == of_members
        engine = Proof(golden).refuse_untrue_server(transport)
        assert Proof(golden).refuse_untrue_server(fused) == engine != of_members


def test_a_server_killed_and_started_again_ends_in_the_same_scores(
    tmp_path: Path, golden: Golden, transport: TritonTransport
) -> None:
    hu = many(golden, 16)
    expected = transport.infer(hu)
    repository = default_repository()
    with ThreadPoolExecutor(1) as asking, ExitStack() as connection:
        with running_server(repository, log_path=tmp_path / "a", stop_deadline_s=0) as first:
            interrupted = connection.enter_context(TritonTransport(first.url, retry_for_s=120))
            interrupted.metadata()
            os.kill(first.pid, signal.SIGSTOP)  # the request waits in the server when it is killed
            answering = asking.submit(interrupted.infer, hu)
            wait([answering], timeout=0.5)
            os.kill(first.pid, signal.SIGKILL)
        port = int(first.url.rpartition(":")[2])
        with running_server(repository, log_path=tmp_path / "b", grpc_port=port, stop_deadline_s=0):
            answer = answering.result()
        assert interrupted.interruptions > 0
    assert answer.provenance == expected.provenance
    np.testing.assert_array_equal(answer.score, expected.score)
    np.testing.assert_array_equal(answer.mask, expected.mask)


def test_embedded_and_addressed_servers_give_one_result(
    server: RunningServer, head_ct_ge: Path
) -> None:
    results = []
    for where in ([], ["--url", server.url]):
        answer = CliRunner().invoke(main, ["infer", str(head_ct_ge), "--json", *where])
        assert answer.exit_code == 0, answer.stderr
        results.append(json.loads(answer.stdout))
    embedded, addressed = results
    assert len(embedded["slices"]) == 28
    assert len({one["score"] for one in embedded["slices"]}) > 20
    assert embedded["slices"] == addressed["slices"]
    assert embedded["study_score"] == addressed["study_score"]


def test_the_series_with_the_whole_brain_is_judged(
    server: RunningServer, head_ct_philips: Path
) -> None:
    answer = CliRunner().invoke(
        main, ["infer", str(head_ct_philips), "--json", "--url", server.url]
    )
    result = json.loads(answer.stdout)
    assert result["series"]["SeriesDescription"] == "STD BRAIN 5MM"
    verdicts = {item["facts"]["SeriesDescription"]: item["code"] for item in result["considered"]}
    assert verdicts["STD BRAIN 5MM"] == "chosen"
    assert all(code != "chosen" for name, code in verdicts.items() if name != "STD BRAIN 5MM")


def test_an_output_is_written_by_a_made_study(
    server: RunningServer, make_series: Callable[..., Path], tmp_path: Path
) -> None:
    study = make_series(tmp_path / "study")
    arguments = ["infer", str(study), "--url", server.url, "--out", str(tmp_path / "out")]
    answer = CliRunner().invoke(main, arguments)
    assert answer.exit_code == 0, answer.stderr
    assert answer.stdout == ""
    assert "not a medical device" in answer.stderr
    assert json.loads((tmp_path / "out" / "result.json").read_text())["slices"]
