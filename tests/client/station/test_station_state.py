"""The way of a study through a station's state: every arrow, and what comes in between."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable

import pytest

from ichclient.errors import NothingFound, StationError
from ichclient.station.folder import StationFolder
from ichclient.station.state import Identity, Outcome, Phase, Station, StationStudy, Taken

from .conftest import KEY, image_of

OTHER = "f" * 20
OUTCOME = Outcome(0.9, {"balanced": "positive"}, 12.5, "ich_sdh", 0.8)
Receive = Callable[..., None]


def study_of(station: Station, key: str = KEY) -> StationStudy:
    study = station.study(key)
    assert study is not None
    return study


def judging(station: Station, now: float = 100.0) -> StationStudy:
    """Everything received is complete, and the first of it is being judged."""
    station.complete(now, 0, 0)
    study = station.begin(now)
    assert study is not None
    return study


def ended(station: Station, phase: str) -> None:
    """The study that is being judged came to an end without a score."""
    if phase == "refused":
        station.refused(KEY, "code", "A reason.", 105)
    else:
        station.failed(KEY, "code", "A reason.")


def test_the_first_image_makes_a_study_and_the_next_join_it(
    station: Station, receive: Receive
) -> None:
    receive(at=10)
    receive(first=2, last=3, at=12)
    study = study_of(station)
    assert (study.phase, study.images, study.generation) == (Phase.RECEIVING, 3, 1)
    assert (study.received_at, study.last_image_at) == (10, 12)
    assert study.identity.PatientName == "DOE^JANE"
    assert "DOE" not in repr(study)
    assert station.received_bytes() == 300


def test_the_same_image_again_changes_nothing(station: Station, receive: Receive) -> None:
    receive(at=10)
    before = study_of(station)
    assert station.received(image_of(at=99), Identity(f"1.9.{KEY}")) is Taken.SAME
    assert station.received(image_of(at=99, sha256="e" * 64), Identity("")) is Taken.OTHER
    assert study_of(station) == before
    assert station.image(KEY, "1.2.3.1") == image_of(at=10)


def test_a_study_is_complete_when_it_was_quiet(station: Station, receive: Receive) -> None:
    receive(at=10)
    receive(first=2, last=2, at=30)
    assert station.complete(89, quiet_s=60, longest_wait_s=1e9) == ()
    assert station.complete(90, quiet_s=60, longest_wait_s=1e9) == (KEY,)
    assert study_of(station).phase is Phase.WAITING


def test_a_sender_that_never_ends_is_not_waited_for_for_ever(
    station: Station, receive: Receive
) -> None:
    for number in range(1, 12):
        receive(first=number, last=number, at=50.0 * number)
    assert station.complete(551, quiet_s=60, longest_wait_s=600) == ()
    receive(first=12, last=12, at=600)
    assert station.complete(650, quiet_s=60, longest_wait_s=600) == (KEY,)


def test_an_image_for_a_study_that_waits_begins_its_quiet_time_again(
    station: Station, receive: Receive
) -> None:
    receive(at=0)
    station.complete(60, 60, 600)
    receive(first=2, last=2, at=61)
    assert study_of(station).phase is Phase.RECEIVING
    assert study_of(station).generation == 1
    assert station.begin(62) is None


def test_studies_are_judged_as_they_became_complete(station: Station, receive: Receive) -> None:
    receive(OTHER, at=0)
    receive(KEY, at=1)
    receive(OTHER, first=2, last=2, at=50)
    station.complete(62, 60, 1e9)
    station.complete(111, 60, 1e9)
    turns = [station.begin(120), station.begin(120), station.begin(120)]
    assert [turn and turn.key for turn in turns] == [KEY, OTHER, None]


def test_an_outcome_is_kept(station: Station, receive: Receive) -> None:
    receive()
    judging(station)
    station.judged(KEY, OUTCOME, 105)
    study = study_of(station)
    assert (study.phase, study.judged_at, study.judged_generation) == (Phase.JUDGED, 105, 1)
    assert (study.study_score, dict(study.decisions)) == (0.9, {"balanced": "positive"})
    assert (study.top_finding, study.top_finding_score) == ("ich_sdh", 0.8)


@pytest.mark.parametrize("end", ["judged", "refused", "failed"])
def test_images_that_come_during_a_judgement_begin_a_generation(
    station: Station, receive: Receive, end: str
) -> None:
    receive()
    judging(station, now=100)
    receive(first=2, last=3, at=101)
    assert (study_of(station).phase, study_of(station).generation) == (Phase.JUDGING, 2)
    if end == "judged":
        station.judged(KEY, OUTCOME, 105)
    else:
        ended(station, end)
    study = study_of(station)
    assert (study.phase, study.attempts) == (Phase.RECEIVING, 0)
    assert study.judged_generation == (0 if end == "failed" else 1)
    assert station.complete(160, 60, 600) == ()
    assert station.complete(161, 60, 600) == (KEY,)


@pytest.mark.parametrize("end", ["judged", "refused", "failed"])
def test_images_that_come_after_the_end_begin_a_generation(
    station: Station, receive: Receive, end: str
) -> None:
    receive()
    judging(station)
    if end == "judged":
        station.judged(KEY, OUTCOME, 105)
    else:
        ended(station, end)
    assert study_of(station).phase == end
    receive(first=2, last=3, at=200)
    study = study_of(station)
    assert (study.phase, study.generation, study.generation_at) == (Phase.RECEIVING, 2, 200)


def test_a_refusal_takes_the_place_of_an_earlier_score(station: Station, receive: Receive) -> None:
    receive()
    judging(station)
    station.judged(KEY, OUTCOME, 105)
    receive(first=2, last=2, at=200)
    judging(station, 300)
    station.refused(KEY, "gap", "There is a gap. [gap]", 301)
    study = study_of(station)
    assert (study.phase, study.reason_code, study.study_score) == (Phase.REFUSED, "gap", None)
    assert dict(study.decisions) == {}


def test_what_cannot_be_judged_now_waits_its_pause(station: Station, receive: Receive) -> None:
    receive()
    judging(station)
    station.later(KEY, "ServerUnreachable", "Nobody answers.", 130)
    assert study_of(station).phase is Phase.WAITING
    assert station.begin(129) is None
    again = station.begin(130)
    assert again is not None
    assert again.attempts == 2


def test_a_station_that_stops_makes_no_attempt(station: Station, receive: Receive) -> None:
    receive()
    judging(station)
    station.put_back(KEY)
    assert (study_of(station).phase, study_of(station).attempts) == (Phase.WAITING, 0)


def test_a_killed_judgement_waits_again_until_it_seems_to_kill(
    station: Station, receive: Receive
) -> None:
    receive()
    station.complete(100, 0, 0)
    for attempt in (1, 2, 3):
        begun = station.begin(100)
        assert begun is not None
        assert begun.attempts == attempt
        waits = station.found_judging(3)
        assert waits == ((KEY,) if attempt < 3 else ())
    study = study_of(station)
    assert (study.phase, study.reason_code) == (Phase.FAILED, "station_ended")


@pytest.mark.parametrize("phase", list(Phase))
def test_a_rerun_is_judged_whatever_the_phase(
    station: Station, receive: Receive, phase: Phase
) -> None:
    receive(at=0)
    if phase is Phase.WAITING:
        station.complete(60, 60, 600)
    elif phase is not Phase.RECEIVING:
        judging(station)
    if phase is Phase.JUDGED:
        station.judged(KEY, OUTCOME, 105)
    elif phase in (Phase.REFUSED, Phase.FAILED):
        ended(station, phase)
    asked = station.rerun(KEY, 200)
    if phase is Phase.JUDGING:
        assert asked.phase is Phase.JUDGING
        station.judged(KEY, OUTCOME, 205)
        station.complete(205, 60, 600)
    begun = station.begin(206)
    assert begun is not None
    assert begun.attempts == 1


def test_a_rerun_of_an_unknown_study_is_told(station: Station) -> None:
    with pytest.raises(NothingFound, match=f"has no study {KEY}"):
        station.rerun(KEY, 0)


def test_a_forgotten_study_leaves_no_row(station: Station, receive: Receive) -> None:
    receive(last=3)
    receive(OTHER)
    station.forget(KEY)
    assert station.study(KEY) is None
    assert station.images(KEY) == ()
    assert len(station.images(OTHER)) == 1


def test_state_is_read_while_another_writes_and_cannot_be_changed(
    folder: StationFolder, station: Station, receive: Receive
) -> None:
    receive()
    with Station.reading(folder) as reader:
        assert [study.key for study in reader.studies()] == [KEY]
        receive(OTHER, at=1)
        assert [study.key for study in reader.studies(Phase.RECEIVING)] == [KEY, OTHER]
        assert reader.studies(Phase.JUDGED) == ()
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader.rerun(KEY, 0)


def test_state_is_read_when_nobody_writes(folder: StationFolder) -> None:
    Station(folder).close()
    with Station.reading(folder) as reader:
        assert reader.studies() == ()


def test_threads_and_a_second_connection_lose_nothing(
    folder: StationFolder, station: Station
) -> None:
    def images(of: Station, first: int) -> None:
        for number in range(first, first + 25):
            of.received(image_of(KEY, number), Identity("1.9"))

    with Station(folder) as second:
        threads = [
            threading.Thread(target=images, args=(station if odd else second, 100 * odd + 50 * one))
            for odd in (0, 1)
            for one in (0, 1)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert study_of(station).images == len(station.images(KEY)) == 100


def test_arrows_are_one_or_none(station: Station, receive: Receive) -> None:
    receive()
    judging(station)
    with pytest.raises(RuntimeError), station.together():  # noqa: PT012
        station.judged(KEY, OUTCOME, 105)
        raise RuntimeError
    assert study_of(station).phase is Phase.JUDGING


def test_a_failed_arrow_changes_nothing(station: Station, receive: Receive) -> None:
    receive(KEY)
    with pytest.raises(sqlite3.IntegrityError):  # the UID of another study's key
        station.received(image_of(OTHER, 5), Identity(f"1.9.{KEY}"))
    assert [study.key for study in station.studies()] == [KEY]
    assert station.images(OTHER) == ()


def test_another_schema_is_refused_and_left_as_it_is(folder: StationFolder) -> None:
    Station(folder).close()
    with sqlite3.connect(folder.database) as connection:
        connection.execute("PRAGMA user_version=7")
    connection.close()
    for opened in (Station, Station.reading):
        with pytest.raises(StationError, match="schema 7, and this ichclient knows 1"):
            opened(folder)


def test_any_other_file_is_refused(folder: StationFolder) -> None:
    connection = sqlite3.connect(folder.database)
    connection.execute("CREATE TABLE a (b)")
    connection.close()
    with pytest.raises(StationError, match="no station's"):
        Station(folder)
    folder.database.write_bytes(b"not a database at all" * 100)
    for opened in (Station, Station.reading):
        with pytest.raises(StationError, match="not a database"):
            opened(folder)
