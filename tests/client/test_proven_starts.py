"""A start that was proven before is proven with two golden slices, any other with all."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ichclient.connect import ProvenServer, ServerOptions, proven_server
from ichclient.errors import ServerRefused
from ichclient.golden import Golden
from ichclient.infer import result_from_path
from ichclient.proof import Proof
from ichclient.proven_starts import ProvenStarts

TWO, REST, WHOLE = 2, 1, 3


@pytest.fixture
def starts(tmp_path: Path) -> ProvenStarts:
    return ProvenStarts(tmp_path / "cache")


@pytest.fixture
def asked(
    proven: ProvenServer, starts: ProvenStarts, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., list[int]]:
    """Proves a server that says it is of these starts, and gives the sizes of what it was asked."""
    plain = proven.transport.infer

    def prove(*said: str, known: ProvenStarts | None = starts, golden: Any = None) -> list[int]:
        sizes: list[int] = []

        def infer(chunk: Any) -> Any:
            sizes.append(len(chunk))
            return replace(plain(chunk), starts=frozenset(said))

        monkeypatch.setattr(proven.transport, "infer", infer)
        Proof(golden or proven.golden, known).refuse_untrue_server(proven.transport)
        return sizes

    return prove


def test_a_start_is_proven_whole_once(asked: Callable[..., list[int]]) -> None:
    assert asked("a") == [TWO, REST]
    assert asked("a") == [TWO]
    assert asked("b") == [TWO, REST], "a server that was started again"
    assert asked("a") == asked("b") == [TWO]


def test_a_server_that_says_no_start_or_two_is_always_proven_whole(
    asked: Callable[..., list[int]],
) -> None:
    for said in ((), ("a", "b")):
        assert asked(*said) == asked(*said) == [TWO, REST]


def test_what_proves_is_part_of_what_was_proven(
    asked: Callable[..., list[int]], proven: ProvenServer
) -> None:
    golden = proven.golden
    asked("a")
    wider = replace(golden, tolerance_score=golden.tolerance_score * 2)
    assert asked("a", golden=wider) == [TWO, REST]
    assert asked("a", known=None) == [WHOLE], "whoever keeps nothing proves all"


def test_a_known_start_with_a_false_slice_is_refused(
    asked: Callable[..., list[int]], proven: ProvenServer
) -> None:
    asked("a")
    false = replace(proven.golden, score=proven.golden.score + np.float32(0.1))
    with pytest.raises(ServerRefused, match="alters values"):
        asked("a", golden=false)


def test_a_slice_without_a_finding_is_never_drawn(
    asked: Callable[..., list[int]], proven: ProvenServer, fake_transport: Any
) -> None:
    said = proven.golden.score
    golden = replace(
        proven.golden, score=np.array([said[0], 0.3, said[2]], np.float32), tolerance_score=0.4
    )
    for start in range(50):
        fake_transport.chunks.clear()
        assert asked(str(start), golden=golden) == [TWO, REST]
        assert {*fake_transport.chunks[0][:, 0, 0, 0]} == {0, 2}


def test_slices_of_which_none_tells_alone_always_prove_together(
    asked: Callable[..., list[int]], proven: ProvenServer
) -> None:
    golden = replace(proven.golden, score=np.full(3, 0.3, np.float32), tolerance_score=0.4)
    assert asked("a", golden=golden) == asked("a", golden=golden) == [WHOLE]


def test_most_golden_slices_of_the_bundle_tell_alone(golden: Golden) -> None:
    assert len(golden.hu) / 2 < len(golden.telling()) < len(golden.hu), "one lies above the head"


def test_a_single_telling_slice_is_enough(
    asked: Callable[..., list[int]], proven: ProvenServer
) -> None:
    score = np.array([proven.golden.score[0], 0.3, 0.3], np.float32)
    golden = replace(proven.golden, score=score, tolerance_score=0.4)
    assert asked("a", golden=golden) == [1, 2]
    assert asked("a", golden=golden) == [1]


def test_every_slice_has_its_turn_and_a_whole_proof_sends_each_once(
    asked: Callable[..., list[int]], fake_transport: Any
) -> None:
    seen = set()
    for start in range(200):
        fake_transport.chunks.clear()
        asked(str(start))
        sent = [float(one[0, 0, 0]) for chunk in fake_transport.chunks for one in chunk]
        assert sorted(sent) == [0.0, 1.0, 2.0]
        seen.add(frozenset(sent[:TWO]))
    assert len(seen) == 3, "every pair"


@pytest.mark.parametrize("text", ["", "{", "{}", "[1, null]", "[" * 100_000])
def test_a_file_that_says_nothing_costs_a_proof_and_is_written_anew(
    asked: Callable[..., list[int]], tmp_path: Path, text: str
) -> None:
    asked("a")
    (tmp_path / "cache" / "proven.json").write_text(text)
    assert asked("a") == [TWO, REST]
    assert asked("a") == [TWO]


def test_the_file_is_the_users_alone_and_bounded(starts: ProvenStarts, tmp_path: Path) -> None:
    for number in range(300):
        starts.add(str(number))
    path = tmp_path / "cache" / "proven.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(json.loads(path.read_text())) == 256
    assert starts.knows("299")
    assert not starts.knows("0")
    path.chmod(0o666)
    assert not starts.knows("299"), "others may have written it"


def test_a_folder_that_takes_no_file_stops_nothing(
    asked: Callable[..., list[int]], tmp_path: Path
) -> None:
    (tmp_path / "cache").write_text("a file where the folder would be")
    assert asked("a") == asked("a") == [TWO, REST]


@pytest.mark.triton
def test_a_real_server_is_proven_whole_once_for_each_user(
    bundle: Path, checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    asked: list[bool] = []
    prove = Proof.refuse_untrue_server

    def refuse(proof: Proof, transport: Any) -> str:
        sizes: list[int] = []
        plain = transport.infer

        def infer(chunk: Any) -> Any:
            sizes.append(len(chunk))
            return plain(chunk)

        with monkeypatch.context() as patch:
            patch.setattr(transport, "infer", infer)
            told = prove(proof, transport)
        asked.append(sum(sizes) >= len(proof.golden.hu))
        return told

    monkeypatch.setattr(Proof, "refuse_untrue_server", refuse)
    study = checkout / "examples" / "phantom-sdh"
    with proven_server(ServerOptions(repository=bundle)) as server:
        asked.clear()
        elsewhere = ServerOptions(url=server.url, repository=bundle)
        first = result_from_path(study, elsewhere)
        assert result_from_path(study, elsewhere).study_score == first.study_score
        result_from_path(study, replace(elsewhere, prove=True))
        with proven_server(elsewhere):  # whoever does not ask for less
            pass
    assert asked == [True, False, True, True]
    with proven_server(ServerOptions(repository=bundle)) as again:
        asked.clear()
        result_from_path(study, ServerOptions(url=again.url, repository=bundle))
    assert asked == [True], "started again, so it says another start"
