"""Passes over the queue: who goes first, when it is left alone, and when it ends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ichclient.delivery import deliver as passes
from ichclient.delivery.deliver import deliver_due, deliver_for, pause_s
from ichclient.delivery.outbox import opened_outbox
from ichclient.sources import SourceOptions

pytest.importorskip("httpx")


@pytest.fixture
def studies(
    deliver: Any, service: Any, write_objects: Callable[..., list[Path]], tmp_path: Path
) -> Any:
    """Five studies of one object each."""
    for number in range(5):
        files = write_objects(tmp_path / "dicom", f"1.2.9.{number}")
        deliver.add(service.target, files, f"study {number}")
    return deliver


def test_pauses_grow_to_five_minutes_and_no_further() -> None:
    assert 0.8 <= pause_s(0) <= 1
    assert 3.2 <= pause_s(2) <= 4
    assert all(240 <= pause_s(attempts) <= 300 for attempts in (9, 20, 10_000))


def test_a_target_that_gives_no_answer_twice_is_left_alone(studies: Any, service: Any) -> None:
    service.answer_post = lambda handler: handler.answer(503) or True
    assert sorted(studies().values()) == ["sending"] * 2 + ["waiting"] * 3
    assert len(service.requests) == 2
    rows = list(studies.rows().values())
    assert [row.attempts for row in rows] == [1, 1, 0, 0, 0]
    assert min(row.next_attempt_at for row in rows) > studies.now
    # Those that had no attempt yet are the first.
    studies.now += 10
    service.answer_post = lambda handler: (
        handler.uids[0] < "1.2.9.2" and (handler.answer(503) or True)
    )
    assert sorted(studies().values()) == ["sending"] * 2 + ["sent"] * 3


def test_one_target_that_is_away_does_not_hold_up_another(
    studies: Any, service: Any, unused_port: int, tmp_path: Path
) -> None:
    away = "stow:http://127.0.0.1:1/dicom-web".replace(":1/", f":{unused_port}/")
    studies.add(away, [tmp_path / "dicom" / "1.2.9.0.dcm"], "study 0")
    studies()
    assert len(service.stored) == 5


def test_a_pass_for_one_target_leaves_the_others(
    studies: Any, service: Any, tmp_path: Path
) -> None:
    with opened_outbox(tmp_path / "outbox.sqlite3") as outbox:
        deliver_due(outbox, SourceOptions(), target="dimse:OTHER@127.0.0.1:9")
        assert service.requests == []
        deliver_due(outbox, SourceOptions(), target=service.target)
    assert len(service.requests) == 5


def test_a_pass_can_be_ended_between_studies(studies: Any, service: Any, tmp_path: Path) -> None:
    with opened_outbox(tmp_path / "outbox.sqlite3") as outbox:
        deliver_due(outbox, SourceOptions(), ended=lambda: len(service.requests) >= 2)
        assert outbox.summary().unsent == 3
    assert len(service.requests) == 2


def test_it_is_tried_until_the_time_is_over_and_then_a_last_time(
    studies: Any, service: Any, tmp_path: Path
) -> None:
    service.answer_post = lambda handler: handler.answer(503) or True
    now, slept = 1000.0, []

    def sleep(seconds: float) -> None:
        nonlocal now
        assert seconds > 0
        slept.append(seconds)
        now += seconds
        if now >= 1060.0:
            service.answer_post = lambda _: False

    with opened_outbox(tmp_path / "outbox.sqlite3") as outbox:
        summary = deliver_for(outbox, SourceOptions(), 60.0, clock=lambda: now, sleep=sleep)
    assert (summary.sent, summary.unsent, summary.next_attempt_at) == (5, 0, None)
    assert now == pytest.approx(1060.0)
    assert len(slept) < 40


def test_without_time_there_is_one_attempt(studies: Any, service: Any, tmp_path: Path) -> None:
    service.answer_post = lambda handler: handler.answer(503) or True
    with opened_outbox(tmp_path / "outbox.sqlite3") as outbox:
        summary = deliver_for(outbox, SourceOptions(), 0.0, sleep=pytest.fail)
    assert summary.unsent == 5
    assert len(service.requests) == 2


def test_what_was_sent_ends_it_at_once(studies: Any, tmp_path: Path) -> None:
    with opened_outbox(tmp_path / "outbox.sqlite3") as outbox:
        summary = deliver_for(outbox, SourceOptions(), 60.0, sleep=pytest.fail)
    assert summary.sent == 5


def test_a_target_that_is_none_is_refused(deliver: Any, write_objects: Any, tmp_path: Path) -> None:
    deliver.add("ftp:pacs", write_objects(tmp_path / "dicom", "1.2.9.1"))
    assert deliver() == {"1.2.9.1": "refused"}
    assert "this is no target: name a target as stow:" in deliver.rows()["1.2.9.1"].reason


def test_certificates_that_cannot_be_read_are_a_reason_to_wait(
    studies: Any, tmp_path: Path
) -> None:
    studies.options = SourceOptions(ca_file=tmp_path / "absent.pem")
    assert set(studies().values()) == {"waiting"}
    assert "absent.pem holds no certificates" in studies.rows()["1.2.9.0"].reason


def test_a_disk_that_fails_in_the_middle_is_told_and_asked_about(
    studies: Any, service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> Any:
        raise OSError(5, "Input/output error")
        yield

    monkeypatch.setattr("ichclient.delivery.stow.chunks_from_file", broken)
    states = studies()
    assert sorted(states.values()) == ["sending"] + ["waiting"] * 4
    assert "cannot be read (Input/output error)" in studies.rows()["1.2.9.0"].reason
    monkeypatch.undo()
    studies.now += 10
    assert set(studies().values()) == {"sent"}
    assert all(len(copies) == 1 for copies in service.stored.values())


def test_a_replaced_file_is_sent_as_it_was_opened(
    studies: Any, service: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A result that is written again in the middle does not mix with the one before."""
    file = tmp_path / "dicom" / "1.2.9.0.dcm"
    before = file.read_bytes()
    parcel = passes._Delivery._parcel

    def replaced(self: Any, row: Any, stack: Any) -> Any:
        opened = parcel(self, row, stack)
        (tmp_path / "new").write_bytes(b"another result")
        (tmp_path / "new").replace(self.outbox.path(row))
        return opened

    monkeypatch.setattr(passes._Delivery, "_parcel", replaced)
    studies()
    assert service.stored["1.2.9.0"] == [before]
