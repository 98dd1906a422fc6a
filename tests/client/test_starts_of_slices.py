"""Slices of a start that did not prove itself make no result until it does."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ichclient.connect import ProvenServer, ServerOptions, proven_server
from ichclient.errors import ServerRefused
from ichclient.golden import golden_from_file
from ichclient.infer import result_from_path
from ichclient.process import running_server
from ichclient.proof import Proof
from ichclient.proven_starts import ProvenStarts
from ichclient.transport import TritonTransport


@pytest.fixture
def study(make_series: Callable[..., Path], tmp_path: Path) -> Path:
    return make_series(tmp_path / "study")


def golden_chunks(server: Any, proven: ProvenServer) -> int:
    return sum(np.array_equal(chunk, proven.golden.hu) for chunk in server.chunks)


def test_the_proven_start_is_asked_once(
    study: Path, proven: ProvenServer, fake_transport: Any
) -> None:
    fake_transport.starts = frozenset({"a"})
    proven.prove_again()
    result_from_path(study, proven)
    assert golden_chunks(fake_transport, proven) == 1


def test_a_server_of_another_start_has_to_prove_itself(
    study: Path, proven: ProvenServer, fake_transport: Any
) -> None:
    fake_transport.starts = frozenset({"a"})
    proven.prove_again()

    def started_again() -> None:
        if len(fake_transport.chunks) > 2:
            fake_transport.starts = frozenset({"b"})

    fake_transport.on_infer = started_again
    result_from_path(study, proven)
    assert golden_chunks(fake_transport, proven) == 2
    assert proven.proof.starts == {"a", "b"}


def test_servers_in_turn_behind_one_address_are_all_met(
    study: Path, proven: ProvenServer, fake_transport: Any
) -> None:
    def in_turn() -> None:
        fake_transport.starts = frozenset({"abc"[len(fake_transport.chunks) % 3]})

    fake_transport.on_infer = in_turn
    result_from_path(study, proven)
    assert proven.proof.starts == {"a", "b", "c"}


def test_a_start_that_never_proves_itself_makes_no_result(
    study: Path, proven: ProvenServer, fake_transport: Any, tmp_path: Path
) -> None:
    def gone() -> None:
        fake_transport.starts = frozenset({"b" if len(fake_transport.chunks) == 2 else "a"})

    fake_transport.on_infer = gone
    with pytest.raises(ServerRefused, match="1 of the servers that answered at fake:1"):
        result_from_path(study, proven, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_untrue_server_behind_the_address_of_a_true_one_is_refused(
    study: Path, proven: ProvenServer, fake_transport: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    true = fake_transport.infer

    def infer(chunk: Any) -> Any:
        is_false = bool(len(fake_transport.chunks) % 2)
        fake_transport.starts = frozenset({"false" if is_false else "true"})
        return true(chunk + np.float16(400) if is_false else chunk)

    monkeypatch.setattr(fake_transport, "infer", infer)
    with pytest.raises(ServerRefused, match="alters values"):
        result_from_path(study, proven)


@pytest.mark.triton
def test_an_untrue_server_that_says_a_known_start_is_refused_by_any_drawn_slice(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worst of servers: another engine behind the words of one that was proven."""
    repository = Path(shutil.copytree(bundle, tmp_path / "repository"))
    vouching = repository / "ich_provenance" / "1" / "model.py"
    engine = repository / "ich_fused_engine" / "1" / "model.py"
    said, true = "Voucher(spec.sha256, engines_sha256", '"HU").as_numpy()'
    vouching.write_text(_replaced(vouching, said, f"{said}, {'5' * 32!r}"))
    golden = golden_from_file(repository / "golden.npz")
    known = ProvenStarts(tmp_path / "cache")
    models = ("ich_fused", "ich_study")

    def proven_at(server: Any) -> list[int]:
        with TritonTransport(server.url) as transport:
            sizes: list[int] = []
            plain = transport.infer

            def infer(chunk: Any) -> Any:
                sizes.append(len(chunk))
                return plain(chunk)

            transport.infer = infer  # type: ignore[method-assign]
            Proof(golden, known).refuse_untrue_server(transport)
            return sizes

    with running_server(
        repository, log_path=tmp_path / "a", models=models, stop_deadline_s=0
    ) as server:
        assert proven_at(server) == [2, 6]
        assert proven_at(server) == [2]
    engine.write_text(_replaced(engine, true, true + "[:, :, ::-1].copy() * 2 + 300"))
    with running_server(
        repository, log_path=tmp_path / "b", models=models, stop_deadline_s=0
    ) as server:
        for place in golden.telling():
            monkeypatch.setattr("ichclient.proof._drawn", lambda _, place=place: [place])
            with pytest.raises(ServerRefused, match="alters values"):
                proven_at(server)


@pytest.mark.triton
def test_a_study_on_a_real_server_costs_one_proof(bundle: Path, checkout: Path) -> None:
    with proven_server(ServerOptions(repository=bundle)) as server:
        assert len(server.proof.starts) == 1
        before = set(server.proof.starts)
        result_from_path(checkout / "examples" / "phantom-sdh", server)
        assert server.proof.starts == before


def _replaced(path: Path, old: str, new: str) -> str:
    text = path.read_text()
    assert old in text
    return text.replace(old, new)
