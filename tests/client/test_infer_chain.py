"""A study on disk becomes a result, whole and true, or one error and nothing written."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ichclient import infer, result_files
from ichclient.combination import combination_from_repository
from ichclient.connect import ProvenServer, ServerOptions
from ichclient.errors import (
    CannotWrite,
    EmbeddedServerError,
    NothingFound,
    RefusedInput,
    ServerRefused,
    ServerUnreachable,
)
from ichclient.infer import considered_from_path, result_from_study, study_from_path
from ichclient.proof import Proof
from ichcore import Decision, ProvenanceError


def judged(folder: Path, server: ProvenServer) -> Any:
    result, _ = result_from_study(
        study_from_path(folder), server, lambda *_: None, time.monotonic()
    )
    return result


@pytest.fixture
def study(make_series: Callable[..., Path], tmp_path: Path) -> Path:
    return make_series(tmp_path / "study")


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch, proven: ProvenServer) -> ProvenServer:
    """`result_from_path` meets the fake server."""

    @contextmanager
    def proven_server(_: ServerOptions, **__: Any) -> Any:
        yield proven

    monkeypatch.setattr(infer, "proven_server", proven_server)
    return proven


def test_every_slice_of_the_series_is_in_the_result(study: Path, proven: ProvenServer) -> None:
    result = judged(study, proven)
    assert [one.index for one in result.slices] == list(range(20))
    assert [one.position_mm for one in result.slices] == [5.0 * index for index in range(20)]
    assert len({one.SOPInstanceUID for one in result.slices}) == 20
    assert result.series.slice_spacing_mm == 5.0
    assert result.lesion_volume_ml == pytest.approx(20 * 50 * 5 / 1000)
    assert set(result.member_scores) == {"ich_any", "ich_sdh"}
    assert result.bundle.server_version == "2.51.0"


def test_a_study_that_shows_too_little_head_is_never_called_negative(
    make_series: Callable[..., Path], tmp_path: Path, proven: ProvenServer, fake_transport: Any
) -> None:
    fake_transport.spec = dataclasses.replace(
        fake_transport.spec,
        study_rule=dataclasses.replace(fake_transport.spec.study_rule, minimum_coverage_mm=500.0),
    )
    result = judged(make_series(tmp_path), proven)
    assert result.study_score < 0.5
    assert result.decisions == {"balanced": Decision.INDETERMINATE}


def test_the_order_of_the_files_does_not_matter(
    make_series: Callable[..., Path], tmp_path: Path, proven: ProvenServer
) -> None:
    heights = [5.0 * index for index in range(20)]
    upward = judged(make_series(tmp_path / "up", heights), proven)
    downward = judged(make_series(tmp_path / "down", heights[::-1]), proven)
    assert [one.position_mm for one in downward.slices] == heights
    assert [one.score for one in downward.slices] == [one.score for one in upward.slices]


def test_after_an_interruption_the_server_is_proven_once_more(
    study: Path, proven: ProvenServer, fake_transport: Any
) -> None:
    def interrupted() -> None:
        fake_transport.interruptions = 1

    fake_transport.on_infer = interrupted
    result = judged(study, proven)
    assert "server_interrupted" in {warning.code for warning in result.warnings}
    assert any(np.array_equal(chunk, proven.golden.hu) for chunk in fake_transport.chunks)


def test_a_server_that_came_back_untrue_is_refused(
    study: Path, proven: ProvenServer, fake_transport: Any
) -> None:
    def interrupted() -> None:
        fake_transport.interruptions = 1

    fake_transport.on_infer = interrupted
    altered = dataclasses.replace(proven.golden, score=proven.golden.score + np.float32(0.1))
    with pytest.raises(ServerRefused, match="SCORE"):
        judged(study, dataclasses.replace(proven, proof=Proof(altered)))


def test_slices_of_two_bundles_make_no_result(
    study: Path, proven: ProvenServer, fake_transport: Any
) -> None:
    def replaced() -> None:
        if len(fake_transport.chunks) == 2:
            fake_transport.provenance = "spec:other engines:other"

    fake_transport.on_infer = replaced
    with pytest.raises(ProvenanceError):
        judged(study, proven)


def test_the_files_of_a_result_are_written_and_nothing_else(
    study: Path, served: ProvenServer, tmp_path: Path
) -> None:
    out = tmp_path / "a" / "b"
    stages: list[tuple[str, int, int]] = []
    infer.result_from_path(
        study, ServerOptions(), out=out, progress=lambda *step: stages.append(step)
    )
    assert sorted(path.name for path in out.iterdir()) == [
        "masks.npz",
        "report.html",
        "result.json",
        "slices.csv",
        "top_slice.png",
    ]
    assert (out / "top_slice.png").read_bytes().startswith(b"\x89PNG")
    assert stages[-2:] == [("slices", 20, 20), ("report", 0, 0)]


def test_a_page_that_cannot_be_drawn_leaves_nothing_written(
    study: Path, served: ProvenServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(result_files, "csv_from_result", full)
    with pytest.raises(MemoryError):
        infer.result_from_path(study, ServerOptions(), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_weights_are_told_where_the_servers_spec_is_at_hand(
    study: Path, proven: ProvenServer, bundle: Path, released_spec: Any
) -> None:
    known = combination_from_repository(released_spec.sha256, bundle)
    assert known is not None
    assert known.score_weights == {one.name: one.score_weight for one in released_spec.members}
    assert combination_from_repository("0" * 64, bundle) is None
    assert combination_from_repository(released_spec.sha256, study) is None
    assert judged(study, proven).combination is None, "the fake server has another spec"


def test_a_server_that_is_lost_leaves_nothing_written(
    study: Path, served: ProvenServer, fake_transport: Any, tmp_path: Path
) -> None:
    def gone() -> None:
        raise ServerUnreachable("gone")

    fake_transport.on_infer = gone
    with pytest.raises(ServerUnreachable):
        infer.result_from_path(study, ServerOptions(), out=tmp_path / "a" / "b")
    assert not (tmp_path / "a").exists()


def test_a_folder_that_cannot_be_written_is_told_before_anything_is_judged(
    study: Path, served: ProvenServer, fake_transport: Any, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotWrite, match="--out"):
        infer.result_from_path(study, ServerOptions(), out=tmp_path / "file" / "out")
    assert fake_transport.chunks == []


def test_a_truncated_slice_is_refused_and_nothing_is_written(
    study: Path, served: ProvenServer, tmp_path: Path
) -> None:
    slice_file = study / "010.dcm"
    slice_file.write_bytes(slice_file.read_bytes()[:-600])
    with pytest.raises(RefusedInput, match=r"010\.dcm"):
        infer.result_from_path(study, ServerOptions(), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_without_a_study_never_meets_a_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(infer, "proven_server", None)
    with pytest.raises(NothingFound):
        infer.result_from_path(tmp_path, ServerOptions(url="127.0.0.1:8001"))


@pytest.mark.parametrize("starts", [True, False])
def test_a_refusal_is_told_whatever_becomes_of_the_server_that_starts_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, starts: bool
) -> None:
    starting = threading.Event()

    def refused(*_: Any) -> Any:
        assert starting.wait(60)
        raise NothingFound("There is no study.")

    @contextmanager
    def proven_server(_: ServerOptions, meanwhile: Callable[[], object], **__: object) -> Any:
        starting.set()
        if not starts:
            raise EmbeddedServerError("There is no server.")
        while True:
            meanwhile()
            time.sleep(0.01)
        yield

    monkeypatch.setattr(infer, "study_from_path", refused)
    monkeypatch.setattr(infer, "proven_server", proven_server)
    with pytest.raises(NothingFound, match="no study"):
        infer.result_from_path(tmp_path, ServerOptions())


def test_series_are_listed_even_where_none_may_be_judged(
    make_series: Callable[..., Path], tmp_path: Path
) -> None:
    make_series(tmp_path, [0.0, 5.0])
    (only,) = considered_from_path(tmp_path)
    assert only.code not in ("chosen", "accepted")
