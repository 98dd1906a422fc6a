"""STOW-RS: whatever a service answers, an object is stored once, or refused, or waits."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("httpx")

A, B, C = "1.2.9.1", "1.2.9.2", "1.2.9.3"


@pytest.fixture
def files(write_objects: Callable[..., list[Path]], tmp_path: Path) -> list[Path]:
    return write_objects(tmp_path / "dicom", A, B, C)


@pytest.fixture
def queued(deliver: Any, service: Any, files: list[Path]) -> Any:
    deliver.add(service.target, files)
    return deliver


def reason(deliver: Any, uid: str = A) -> str:
    return str(deliver.rows()[uid].reason)


def test_a_group_goes_in_one_request_as_it_lies_on_disk(
    queued: Any, service: Any, files: list[Path]
) -> None:
    assert queued() == {A: "sent", B: "sent", C: "sent"}
    assert service.requests == [[A, B, C]]
    assert [service.stored[uid] for uid in (A, B, C)] == [[file.read_bytes()] for file in files]
    assert 'type="application/dicom"' in service.headers_seen[0]["Content-Type"]
    assert queued.rows()[A].sent_at == 1000.0
    assert queued() == {A: "sent", B: "sent", C: "sent"}
    assert len(service.requests) == 1


def test_the_environment_signs_in(
    queued: Any, service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ICHCLIENT_DICOMWEB_TOKEN", "secret")
    queued()
    assert service.headers_seen[0]["Authorization"] == "Bearer secret"
    assert "secret" not in str(queued.rows())


def test_each_object_has_its_own_outcome(queued: Any, service: Any) -> None:
    def partly(handler: Any) -> bool:
        handler.say(202, warned={A: 0xB000}, failed={B: 0x0122, C: 0xA700})
        return True

    service.answer_post = partly
    assert queued() == {A: "sent", B: "refused", C: "waiting"}
    assert reason(queued, A) == "stored with warning 0xB000"
    assert reason(queued, B) == "SOP class not supported (0x0122)"
    assert reason(queued, C) == "out of resources (0xA700)"
    service.answer_post = lambda _: False
    queued.now += 10
    assert queued() == {A: "sent", B: "refused", C: "sent"}
    # It was known that it was not stored, so nobody had to ask.
    assert service.asked == []


def test_a_duplicate_is_stored(queued: Any, service: Any) -> None:
    def there_already(handler: Any) -> bool:
        handler.say(409, failed=dict.fromkeys(handler.uids, 0x0111))
        return True

    service.answer_post = there_already
    assert set(queued().values()) == {"sent"}
    assert reason(queued) == "was there already (0x0111)"


@pytest.mark.parametrize("status", [500, 503, 504])
def test_a_service_that_fails_is_asked_before_it_is_sent_again(
    queued: Any, service: Any, status: int
) -> None:
    """It has stored the first object and says that it failed."""

    def fails(handler: Any) -> bool:
        service.stored[A] = [b""]
        handler.answer(status)
        return True

    service.answer_post = fails
    assert queued() == {A: "sending", B: "sending", C: "sending"}
    assert reason(queued) == f"HTTP status {status}"
    service.answer_post = lambda _: False
    assert queued() == {A: "sending", B: "sending", C: "sending"}, "the pause was not kept"
    queued.now += 10
    assert queued() == {A: "sent", B: "sent", C: "sent"}
    assert service.asked == [A, B, C]
    # One of them may have been the cause, so they go alone.
    assert service.requests == [[A, B, C], [B], [C]]
    assert (A, "stored", "was there already") in queued.told


def test_one_object_that_breaks_a_service_does_not_hold_up_the_others(
    queued: Any, service: Any, write_objects: Callable[..., list[Path]], tmp_path: Path
) -> None:
    queued.add(service.target, write_objects(tmp_path / "other", "1.2.8.1"), "another study")

    def breaks(handler: Any) -> bool:
        if B in handler.uids:
            handler.answer(500)
        return B in handler.uids

    service.answer_post = breaks
    for _ in range(3):
        states = queued()
        queued.now += 400
    assert states == {A: "sent", B: "sending", C: "sent", "1.2.8.1": "sent"}
    assert queued.rows()[B].attempts == 3


def test_a_service_that_is_away_is_left_alone_with_growing_pauses(
    queued: Any, service: Any, unused_port: int, files: list[Path]
) -> None:
    """An hour of it; then it is there, and gets each object once."""
    target = service.target.replace(str(service.server_port), str(unused_port))
    queued.add(target, files, "away")
    pauses = []
    end = queued.now + 3600
    while queued.now < end:
        queued()
        rows = [row for row in queued.rows().values() if row.target == target]
        assert {row.state for row in rows} == {"waiting"}
        due = max(row.next_attempt_at for row in rows)
        pauses.append(due - queued.now)
        queued.now = due
    assert 0.8 <= pauses[0] <= 1
    assert all(240 <= pause <= 300 for pause in pauses[10:])
    assert 15 <= len(pauses) <= 30
    assert "no answer" in rows[0].reason
    assert service.requests == [[A, B, C]]


def test_an_answer_that_is_cut_off_is_asked_for(queued: Any, service: Any) -> None:
    def cut(handler: Any) -> bool:
        service.stored.update({uid: [b""] for uid in handler.uids})
        handler.connection.shutdown(socket.SHUT_RDWR)
        handler.close_connection = True
        return True

    service.answer_post = cut
    assert set(queued().values()) == {"sending"}
    queued.now += 10
    assert set(queued().values()) == {"sent"}
    assert len(service.requests) == 1


@pytest.mark.parametrize("qido_status", [400, 404, 405, 501])
def test_a_service_that_cannot_be_asked_gets_it_again(
    queued: Any, service: Any, qido_status: int
) -> None:
    queued.mark_sending(A)
    service.qido_status = qido_status
    assert queued() == {A: "sent", B: "sent", C: "sent"}
    assert service.requests == [[B, C], [A]]


def test_a_service_that_does_not_say_what_it_has_is_asked_later(queued: Any, service: Any) -> None:
    queued.mark_sending(A)
    service.qido_status = 503
    assert queued() == {A: "sending", B: "waiting", C: "waiting"}
    assert service.requests == []
    service.qido_status = 200
    queued.now += 10
    assert set(queued().values()) == {"sent"}


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (401, "ICHCLIENT_DICOMWEB_TOKEN"),
        (403, "does not allow this"),
        (404, "no STOW-RS service"),
        (302, "HTTP status 302"),
    ],
)
def test_a_refusal_of_the_whole_request_is_final(
    queued: Any, service: Any, status: int, told: str
) -> None:
    service.answer_post = lambda handler: handler.answer(status) or True
    assert set(queued().values()) == {"refused"}
    assert told in reason(queued)
    queued.now += 1e6
    queued()
    assert len(service.requests) == 1


@pytest.mark.parametrize("status", [400, 409, 413, 415])
def test_one_object_that_spoils_a_request_is_found(queued: Any, service: Any, status: int) -> None:
    """The service keeps what stood before it, and sends no store response."""

    def spoiled(handler: Any) -> bool:
        if B not in handler.uids:
            return False
        if handler.uids[0] == A:
            service.stored[A] = [b""]
        handler.answer(status, b"<html>", "text/html")
        return True

    service.answer_post = spoiled
    assert queued() == {A: "sent", B: "refused", C: "sent"}
    assert service.requests == [[A, B, C], [B], [C]]
    assert f"HTTP status {status}" in reason(queued, B)


def test_a_service_that_is_too_busy_is_asked_later(queued: Any, service: Any) -> None:
    service.answer_post = lambda handler: handler.answer(429) or True
    assert set(queued().values()) == {"waiting"}


@pytest.mark.parametrize(
    ("status", "body", "kind", "states"),
    [
        (200, b"", "text/plain", "sent sent sent"),
        (200, b"{", "application/dicom+json", "sent sent sent"),
        (200, b"[]", "application/dicom+json", "sent sent sent"),
        (
            200,
            b'{"00081198": {"Value": [7, {"00081155": 7}]}}',
            "application/json",
            "sent sent sent",
        ),
        (202, b"{}", "application/dicom+json", "sent refused refused"),
        (409, b"{}", "application/dicom+json", "sent refused refused"),
    ],
)
def test_a_response_that_names_nobody_is_taken_by_its_status(
    queued: Any, service: Any, status: int, body: bytes, kind: str, states: str
) -> None:
    """Where that says too little the service is asked: it has the first object."""

    def unclear(handler: Any) -> bool:
        service.stored[A] = [b""]
        handler.answer(status, body, kind)
        return True

    service.answer_post = unclear
    assert " ".join(queued().values()) == states


def test_a_response_without_an_end_is_given_up(
    queued: Any, service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ichclient.sources.http._LONGEST_JSON_BYTES", 1000)
    service.answer_post = lambda handler: handler.answer(409, b" " * 5000) or True
    assert set(queued().values()) == {"refused"}


def test_a_file_that_is_gone_or_altered_is_not_sent(
    queued: Any, service: Any, files: list[Path]
) -> None:
    files[0].unlink()
    files[1].write_bytes(files[2].read_bytes())
    assert queued() == {A: "refused", B: "refused", C: "sent"}
    assert "judge the study again" in reason(queued, A)
    assert service.requests == [[C]]


def test_an_old_generation_that_was_under_way_is_asked_for_and_never_sent(
    queued: Any, service: Any, write_objects: Callable[..., list[Path]], tmp_path: Path
) -> None:
    queued.mark_sending(A, B)
    service.stored[A] = [b""]
    queued.add(service.target, write_objects(tmp_path / "new", "1.2.9.4"))
    assert queued() == {A: "sent", "1.2.9.4": "sent"}
    assert service.requests == [["1.2.9.4"]]


def test_large_objects_are_spread_over_requests(
    queued: Any, service: Any, monkeypatch: pytest.MonkeyPatch, files: list[Path]
) -> None:
    monkeypatch.setattr(
        "ichclient.delivery.stow._LONGEST_REQUEST_BYTES", 2 * files[0].stat().st_size
    )
    assert set(queued().values()) == {"sent"}
    assert service.requests == [[A, B], [C]]
