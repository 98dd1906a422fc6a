"""The worker: turns, pauses, refusals and ends, with a judge that does as the test says."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import generate_uid

from ichclient.audit.keyed import Pseudonyms
from ichclient.audit.log import AuditLog
from ichclient.delivery.outbox import Outbox, opened_outbox
from ichclient.errors import AuditBroken, RefusedInput, ServerUnreachable
from ichclient.sources.options import SourceOptions
from ichclient.station import judging
from ichclient.station.deliveries import Deliveries
from ichclient.station.events import Events
from ichclient.station.judging import Judge, Judged, Refused, objects_of
from ichclient.station.retention import DAY_S, remove_done
from ichclient.station.shelf import Room, Shelf, swept
from ichclient.station.state import Outcome, Phase, Station, StationStudy
from ichclient.station.work import Stopped, Worker, WorkOptions

from .conftest import KEY, until

OTHER = "f" * 20
TARGET = "stow:http://127.0.0.1:9/dicom-web"
OPTIONS = WorkOptions(quiet_s=60, longest_wait_s=600, most_attempts=3, first_pause_s=10)


class Said:
    """A judge that says, or raises, what the test put in; it writes objects as a real one does."""

    def __init__(self, station: Station, make_slice: Callable[..., Any]) -> None:
        self.station = station
        self.answers: list[Any] = []
        self.keys: list[str] = []
        self.during: Callable[[], None] = lambda: None
        self._make = make_slice

    def judge(self, key: str, progress: Callable[..., None]) -> Judged | Refused:
        self.keys.append(key)
        self.during()
        progress("slices", 0, 1)
        answer = self.answers.pop(0) if self.answers else 0.9
        if isinstance(answer, Exception):
            raise answer
        dicom = self.station.folder.result_of(key) / "dicom"
        self._make(dicom / "report.dcm", SOPInstanceUID=generate_uid())
        if isinstance(answer, Refused):
            return answer
        outcome = Outcome(answer, {"balanced": "positive"}, 1.5, "ich_sdh", answer)
        return Judged(outcome, {"score": answer})


class Bench:
    """A worker at work on a clock of the test's own."""

    def __init__(self, station: Station, judge: Said) -> None:
        self.station, self.judge, self.lines = station, judge, list[str]()
        self.now, self.stopping = 1000.0, False
        self.events = Events(AuditLog(station.folder.path), self.lines.append)
        with station.together() as connection:
            Outbox(connection, station.folder.path).prepare()
        self.worker = Worker(
            station, judge, self.events, OPTIONS, [TARGET],  # type: ignore[arg-type]
            stopping=lambda: self.stopping, now=lambda: self.now,
        )  # fmt: skip

    def after(self, seconds: float) -> bool:
        self.now += seconds
        return self.worker.step()

    @property
    def study(self) -> StationStudy:
        study = self.station.study(KEY)
        assert study is not None
        return study

    def queued(self) -> list[str]:
        with opened_outbox(self.station.folder.database) as outbox:
            return [row.state for row in outbox.rows(KEY)]


@pytest.fixture
def bench(station: Station, make_slice: Callable[..., Any]) -> Bench:
    return Bench(station, Said(station, make_slice))


Receive = Callable[..., None]


def test_a_quiet_study_is_judged_and_its_objects_are_queued(bench: Bench, receive: Receive) -> None:
    receive(last=3, at=1000)
    assert not bench.after(59)
    assert bench.after(1)
    assert (bench.study.phase, bench.study.study_score) == (Phase.JUDGED, 0.9)
    assert bench.queued() == ["waiting"]
    assert [line.split()[1] for line in bench.lines] == ["received", "judging", "judged", "queued"]
    assert not bench.after(1000)


def test_first_come_is_first_judged(bench: Bench, receive: Receive) -> None:
    receive(OTHER, at=1000)
    receive(KEY, at=1010)
    bench.after(100)
    while bench.after(0):
        pass
    assert bench.judge.keys == [OTHER, KEY]


def test_a_study_that_grows_is_judged_again_and_old_objects_are_replaced(
    bench: Bench, receive: Receive
) -> None:
    receive(last=3, at=1000)
    assert bench.after(100)
    receive(first=4, last=5, at=bench.now)
    bench.judge.answers = [0.2]
    assert not bench.after(59)
    assert bench.after(1)
    assert (bench.study.generation, bench.study.study_score) == (2, 0.2)
    assert bench.queued() == ["waiting"]  # that of the first was not sent, and never will be


def test_images_that_come_while_a_study_is_judged_are_not_forgotten(
    bench: Bench, receive: Receive
) -> None:
    receive(last=3, at=1000)
    bench.judge.during = lambda: receive(first=4, last=4, at=bench.now)
    assert bench.after(60)
    bench.judge.during = lambda: None
    assert (bench.study.phase, bench.study.judged_generation) == (Phase.RECEIVING, 1)
    assert bench.after(60)
    assert (bench.study.phase, bench.study.judged_generation) == (Phase.JUDGED, 2)


def test_a_server_that_is_away_is_tried_again_with_growing_pauses_and_an_end(
    bench: Bench, receive: Receive
) -> None:
    receive(at=1000)
    bench.judge.answers = [ServerUnreachable("Nobody answers.")] * 3
    assert bench.after(60)
    assert bench.study.phase is Phase.WAITING
    assert not bench.after(9)
    assert bench.after(1)
    assert not bench.after(19)
    assert bench.after(1)
    study = bench.study
    assert (study.phase, study.reason_code) == (Phase.FAILED, "ServerUnreachable")
    assert study.reason == "Nobody answers."
    assert not bench.after(10_000)
    bench.station.rerun(KEY, bench.now)
    assert bench.after(0)
    assert bench.study.phase is Phase.JUDGED


def test_a_server_that_is_away_does_not_hold_up_the_others_state(
    bench: Bench, receive: Receive
) -> None:
    receive(KEY, at=1000)
    receive(OTHER, at=1001)
    bench.judge.answers = [ServerUnreachable("Nobody answers.")]
    assert bench.after(100)
    assert bench.after(0)
    assert bench.judge.keys == [KEY, OTHER]


def test_a_refusal_is_an_end_with_a_report(bench: Bench, receive: Receive) -> None:
    receive(at=1000)
    bench.judge.answers = [Refused("gap", "There is a gap. [gap]")]
    assert bench.after(60)
    assert (bench.study.phase, bench.study.reason_code) == (Phase.REFUSED, "gap")
    assert bench.queued() == ["waiting"]
    assert not any("There is" in line for line in bench.lines)


def test_a_bug_in_a_judgement_ends_nothing_and_tells_nobodys_name(
    bench: Bench, receive: Receive
) -> None:
    receive(at=1000)
    bench.judge.answers = [KeyError("DOE^JANE")]
    assert bench.after(60)
    assert (bench.study.phase, bench.study.reason_code) == (Phase.WAITING, "internal")
    assert "DOE" not in "".join(bench.lines) + (bench.study.reason or "")


def test_a_station_that_stops_puts_its_study_back(bench: Bench, receive: Receive) -> None:
    receive(at=1000)
    bench.judge.during = lambda: setattr(bench, "stopping", True)
    with pytest.raises(Stopped):
        bench.after(60)
    assert (bench.study.phase, bench.study.attempts) == (Phase.WAITING, 0)


def test_nothing_is_judged_that_the_audit_log_cannot_note(bench: Bench, receive: Receive) -> None:
    receive(at=1000)
    log = bench.station.folder.path / "audit.jsonl"
    bench.events.tell("started")
    log.write_text(log.read_text().replace("started", "stopped"))
    with pytest.raises(AuditBroken):
        bench.after(60)
    assert (bench.study.phase, bench.study.attempts) == (Phase.WAITING, 0)
    assert isinstance(bench.events.broken, AuditBroken)  # of the line before, that images came
    assert bench.judge.keys == []


def test_a_study_is_not_left_behind_where_its_end_could_not_be_written(
    bench: Bench, receive: Receive, monkeypatch: pytest.MonkeyPatch
) -> None:
    receive(at=1000)

    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(bench.station, "judged", full)
        patched.setattr(bench.station, "later", full)
        with pytest.raises(sqlite3.OperationalError):
            bench.after(60)
    assert bench.study.phase is Phase.JUDGING
    assert bench.queued() == []
    assert bench.after(0)
    assert bench.study.phase is Phase.JUDGED


def test_missing_images_are_a_refusal(
    station: Station, receive: Receive, make_slice: Callable[..., Any]
) -> None:
    receive(last=2)
    judge = Judge(station, None)  # type: ignore[arg-type]  # no server is asked
    ended = judge.judge(KEY, lambda *_: None)
    assert isinstance(ended, Refused)
    assert ended.code == "images_missing"


def test_a_refusal_removes_the_page_of_an_earlier_result(
    station: Station, folder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = folder.result_of(KEY)
    result.mkdir()
    for name in ("result.json", "report.html"):
        (result / name).touch()

    def refused(*_: object, **__: object) -> None:
        raise RefusedInput("There is a gap. [gap]")

    monkeypatch.setattr(judging, "result_from_path", refused)
    ended = Judge(station, None).judge(KEY, lambda *_: None)  # type: ignore[arg-type]
    assert ended == Refused("gap", "There is a gap. [gap]")
    assert list(result.iterdir()) == []


@pytest.fixture
def shelf(station: Station, folder: Any) -> Shelf:
    return Shelf(station, Pseudonyms.of_folder(folder.path), Room(keep_free=0), lambda: 0.0)


def test_what_is_done_and_delivered_is_removed_after_its_days(
    bench: Bench, receive: Receive, shelf: Shelf, folder: Any
) -> None:
    receive(KEY, at=1000)
    bench.after(60)
    (folder.images_of(KEY)).mkdir()

    def removed(after_s: float) -> tuple[str, ...]:
        return remove_done(bench.station, shelf, bench.events, 1.0, bench.now + after_s)

    assert removed(2 * DAY_S) == ()  # its object waits
    with opened_outbox(folder.database) as outbox:
        (row,) = outbox.rows(KEY)
        outbox.sent(row, bench.now)
    assert removed(0.9 * DAY_S) == ()
    assert removed(1.1 * DAY_S) == (KEY,)
    assert bench.station.studies() == ()
    assert bench.queued() == []
    for place in (folder.images_of(KEY), folder.result_of(KEY), folder.outbox / KEY):
        assert not place.exists()


def test_a_start_removes_what_has_no_row_and_nothing_else(
    station: Station, folder: Any, shelf: Shelf, files: list[Path]
) -> None:
    arriving = shelf.arriving()
    arriving.write(b"half")
    whole = shelf.arriving()
    whole.write(files[0].read_bytes()[332:])
    folder.images_of(OTHER).mkdir()
    (folder.images_of(OTHER) / "a.dcm").touch()
    folder.result_of(OTHER).mkdir()
    count, incomplete = swept(station)
    assert (count, incomplete) == (4, ())
    for place in (folder.incoming, folder.received, folder.results):
        assert list(place.iterdir()) == []
    arriving.discard()
    whole.discard()


def test_a_target_that_is_away_is_told_once_and_what_waits_stays(
    bench: Bench, receive: Receive, folder: Any
) -> None:
    receive(at=1000)
    bench.after(60)
    with Deliveries(folder, SourceOptions(timeout_s=1), bench.events).running():
        until(lambda: any("target_away" in line for line in bench.lines))
    assert bench.queued() == ["waiting"]
    assert objects_of(folder, KEY) == ["report.dcm"]
