"""The order of the work list: bleeds first, nothing sinks, nothing waits for ever."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ichclient.station.studies import Phase, StationStudy
from ichclient.worklist.order import Lane, Mark, Place, Rule, decision_of, ordered
from ichcore import Decision

from .conftest import POINTS, study_of

NOW = 100_000.0
CAP_S = 3600.0
RULE = Rule(longest_wait_s=CAP_S)
WORDS = [*Decision]


def keys_of(places: tuple[Place, ...]) -> list[str]:
    return [place.study.key for place in places]


def of_age(key: str, minutes: float, phase: Phase = Phase.JUDGED, **values: object) -> StationStudy:
    return study_of(key, phase, received_at=NOW - minutes * 60, **values)


@st.composite
def studies(draw: st.DrawFn) -> list[StationStudy]:
    made = []
    for number in range(draw(st.integers(0, 25))):
        phase = draw(st.sampled_from(Phase))
        judged = phase is Phase.JUDGED or (phase is not Phase.REFUSED and draw(st.booleans()))
        made.append(
            of_age(
                f"{number:020x}",
                draw(st.floats(-1, 200)),
                phase,
                word=draw(st.sampled_from(WORDS)) if judged else None,
                study_score=draw(st.sampled_from([0.1, 0.5, 0.9])) if judged else None,
            )
        )
    return made


@st.composite
def lists(draw: st.DrawFn) -> tuple[list[StationStudy], dict[str, Mark]]:
    made = draw(studies())
    read = draw(st.lists(st.sampled_from(made), unique_by=lambda one: one.key)) if made else []
    return made, {
        one.key: Mark(NOW + 100 - n, draw(st.integers(30, 33))) for n, one in enumerate(read)
    }


@given(lists())
@settings(deadline=None)
def test_every_study_is_there_once_and_what_waits_comes_first(
    case: tuple[list[StationStudy], dict[str, Mark]],
) -> None:
    places = ordered(*case, NOW, RULE)
    assert sorted(keys_of(places)) == sorted(study.key for study in case[0])
    waiting = [place.is_waiting for place in places]
    assert waiting == sorted(waiting, reverse=True)
    assert {p.study.key for p in places if not p.is_waiting} == {
        key for key, mark in case[1].items() if mark.images >= 32
    }


@given(lists())
@settings(deadline=None)
def test_nothing_waits_behind_more_than_its_turn(
    case: tuple[list[StationStudy], dict[str, Mark]],
) -> None:
    places = ordered(*case, NOW, RULE)
    for lane in (Lane.POSITIVE, Lane.OVERDUE):
        found = [n for n, place in enumerate(places, 1) if place.lane is lane]
        assert all(place <= 2 * k for k, place in enumerate(found, 1))
    waits = [p.waited_s for p in places if p.lane is Lane.OVERDUE]
    assert waits == sorted(waits, reverse=True), "the longest wait first"
    overdue = {p.study.key for p in places if p.is_waiting and p.waited_s > CAP_S}
    front = [p for p in places if p.lane in (Lane.POSITIVE, Lane.OVERDUE)]
    assert overdue <= set(keys_of(tuple(front)))
    assert list(places[: len(front)]) == front


@given(lists())
@settings(deadline=None)
def test_what_failed_or_was_refused_never_stands_below_a_negative(
    case: tuple[list[StationStudy], dict[str, Mark]],
) -> None:
    places = [place for place in ordered(*case, NOW, RULE) if place.is_waiting]
    ungated = [
        n
        for n, place in enumerate(places)
        if place.study.phase in (Phase.FAILED, Phase.REFUSED)
        or decision_of(place.study) is Decision.INDETERMINATE
    ]
    negative = [n for n, place in enumerate(places) if place.lane is Lane.NEGATIVE]
    assert max(ungated, default=-1) < min(negative, default=len(places))


@given(count=st.integers(1, 12), score=st.floats(0.5, 1))
@settings(deadline=None, max_examples=30)
def test_a_backlog_is_read_although_a_bleed_comes_with_every_reading(
    count: int, score: float
) -> None:
    waiting = {f"old{n}": of_age(f"old{n}", 61 + n, word="negative") for n in range(count)}
    everything, marks, read = dict(waiting), {}, []
    for step in range(2 * count):
        key = f"new{step}"
        everything[key] = of_age(key, 0, word="positive", study_score=score)
        first = ordered([*everything.values()], marks, NOW, RULE)[0]
        marks[first.study.key] = Mark(NOW + step, first.study.images)
        read.append(first.study.key)
    assert [key for key in read if key in waiting] == [f"old{n}" for n in reversed(range(count))]


def test_the_order_of_a_night() -> None:
    case = [
        of_age("negative-new", 5, word="negative"),
        of_age("negative-old", 30, word="negative"),
        of_age("receiving", 1, Phase.RECEIVING),
        of_age("judging", 4, Phase.JUDGING),
        of_age("refused", 20, Phase.REFUSED, reason_code="gap"),
        of_age("failed", 25, Phase.FAILED),
        of_age("indeterminate", 22, word="indeterminate"),
        of_age("bleed-0.7", 3, word="positive", study_score=0.7),
        of_age("bleed-0.9", 2, word="positive", study_score=0.9),
        of_age("bleed-late", 65, word="positive", study_score=0.6),
        of_age("negative-late", 70, word="negative"),
        of_age("failed-late", 90, Phase.FAILED),
    ]
    assert keys_of(ordered(case, {}, NOW, RULE)) == [
        "bleed-late", "failed-late", "bleed-0.9", "negative-late", "bleed-0.7",
        "failed", "indeterminate", "refused",
        "negative-old", "negative-new",
        "judging", "receiving",
    ]  # fmt: skip


def test_after_a_bleed_was_read_an_overdue_one_comes_first() -> None:
    case = [
        of_age("read", 5, word="positive", study_score=0.9),
        of_age("bleed", 4, word="positive", study_score=0.9),
        of_age("late", 70, word="negative"),
        of_age("also-read", 6, word="negative"),
    ]
    marks = {"read": Mark(NOW - 1, 32)}
    assert keys_of(ordered(case, marks, NOW, RULE)) == ["late", "bleed", "also-read", "read"]
    marks = {**marks, "also-read": Mark(NOW, 32)}
    assert keys_of(ordered(case, marks, NOW, RULE)) == ["bleed", "late", "also-read", "read"]


def test_a_study_that_grew_after_it_was_read_waits_again() -> None:
    study = of_age("one", 5, word="negative")
    mark = Mark(NOW, study.images)
    (place,) = ordered([study], {"one": mark}, NOW, RULE)
    assert (place.lane, place.is_waiting) == (Lane.READ, False)
    (place,) = ordered([replace(study, images=33)], {"one": mark}, NOW, RULE)
    assert (place.lane, place.is_waiting, place.mark) == (Lane.NEGATIVE, True, mark)


def test_a_mark_of_before_it_was_sent_again_is_none() -> None:
    study = of_age("one", 5, word="negative")
    (place,) = ordered([study], {"one": Mark(study.received_at - 1, 99)}, NOW, RULE)
    assert (place.lane, place.mark) == (Lane.NEGATIVE, None)


@pytest.mark.parametrize("phase", [Phase.RECEIVING, Phase.WAITING, Phase.JUDGING, Phase.FAILED])
def test_an_earlier_positive_result_counts_until_there_is_a_newer_one(phase: Phase) -> None:
    study = of_age("one", 5, phase, word="positive", study_score=0.9)
    assert ordered([study], {}, NOW, RULE)[0].lane is Lane.POSITIVE
    negative = of_age("one", 5, phase, word="negative", study_score=0.1)
    lane = Lane.LOOK if phase is Phase.FAILED else Lane.COMING
    assert ordered([negative], {}, NOW, RULE)[0].lane is lane


def test_an_operating_point_decides_where_it_is_named() -> None:
    words = dict(zip(POINTS, ("positive", "negative", "negative"), strict=True))
    study = of_age("one", 5, decisions=words, study_score=0.4)
    lanes = {
        point: ordered([study], {}, NOW, replace(RULE, operating_point=point))[0].lane
        for point in (None, *POINTS, "unheard of")
    }
    assert list(lanes.values()) == [
        Lane.POSITIVE, Lane.POSITIVE, Lane.NEGATIVE, Lane.NEGATIVE, Lane.LOOK,
    ]  # fmt: skip


def test_where_nobody_marks_what_is_old_counts_as_done() -> None:
    case = [of_age("new", 50, word="negative"), of_age("old", 800, word="positive")]
    rule = replace(RULE, marked=False, shown_s=12 * 3600)
    assert [p.lane for p in ordered(case, {}, NOW, rule)] == [Lane.NEGATIVE, Lane.EARLIER]
    assert [p.lane for p in ordered(case, {}, NOW, RULE)] == [Lane.POSITIVE, Lane.NEGATIVE]
