"""Studies, marks and the time -> the order in which to read them.

    1  positive     the highest score first
    2  overdue      anything else that has waited longer than the cap, the longest wait first
    3  look         indeterminate, refused and failed: no score stands for them, the oldest first
    4  negative     the oldest first
    5  coming       not judged yet, the oldest first

1 and 2 take turns: what was read last was positive, so an overdue one comes next, and the other way
round. The k-th of either stands at place 2k or before, however many there are of the other, and
whoever always reads the first study reads one of either in every two. So a bleed does not wait
behind a backlog, and a backlog does not wait behind bleeds that keep coming. Positive studies over
the cap go before those under it, whatever their scores. Waiting counts from the first image. What
somebody marked as read waits no longer, until further images come.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain, zip_longest

from ichclient.station.studies import Phase, StationStudy
from ichcore import Decision

LONGEST_WAIT_MIN = 60.0
HOURS_SHOWN = 12.0


class Lane(StrEnum):
    """Why a study stands where it stands."""

    POSITIVE = "positive"
    OVERDUE = "overdue"
    LOOK = "look"
    NEGATIVE = "negative"
    COMING = "coming"
    READ = "read"
    EARLIER = "earlier"


@dataclass(frozen=True)
class Mark:
    """When a study was marked as read, and how many images it had then."""

    read_at: float
    images: int


@dataclass(frozen=True)
class Rule:
    """The cap on waiting, the operating point that decides, and whether reading is marked here.

    Without an operating point a study is positive that is so at any of them. Where nobody marks
    (`marked` is false), what is older than `shown_s` counts as done.
    """

    longest_wait_s: float = LONGEST_WAIT_MIN * 60
    operating_point: str | None = None
    marked: bool = True
    shown_s: float = HOURS_SHOWN * 3600


@dataclass(frozen=True)
class Place:
    """A study, its lane, how long it has waited, and its mark, of now or of fewer images."""

    study: StationStudy
    lane: Lane
    waited_s: float
    is_overdue: bool
    mark: Mark | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether somebody still has to read it."""
        return self.lane not in (Lane.READ, Lane.EARLIER)


def ordered(
    studies: Sequence[StationStudy], marks: Mapping[str, Mark], now: float, rule: Rule
) -> tuple[Place, ...]:
    """All studies: those that wait in their order, then the earlier and the read, newest first."""
    lanes: dict[Lane, list[Place]] = {lane: [] for lane in Lane}
    for study in studies:
        place = _place(study, marks.get(study.key), now, rule)
        lanes[place.lane].append(place)
    for lane in (Lane.OVERDUE, Lane.LOOK, Lane.NEGATIVE, Lane.COMING):
        lanes[lane].sort(key=_oldest)
    lanes[Lane.POSITIVE].sort(key=_most_urgent)
    lanes[Lane.EARLIER].sort(key=_oldest, reverse=True)
    lanes[Lane.READ].sort(key=lambda place: place.mark.read_at if place.mark else 0, reverse=True)
    turns = [lanes[Lane.POSITIVE], lanes[Lane.OVERDUE]]
    last_read = next(iter(lanes[Lane.READ]), None)
    if last_read is not None and _lane(last_read.study, rule) is Lane.POSITIVE:
        turns.reverse()
    front = chain.from_iterable(zip_longest(*turns))
    rest = (Lane.LOOK, Lane.NEGATIVE, Lane.COMING, Lane.EARLIER, Lane.READ)
    return (*filter(None, front), *chain.from_iterable(lanes[lane] for lane in rest))


def decision_of(study: StationStudy, operating_point: str | None = None) -> Decision | None:
    """The decision that places a study: of one operating point, or the one most to be looked at.

    None where it was not judged, or not at that operating point.
    """
    words = set(study.decisions.values())
    if operating_point is not None:
        words = {study.decisions[operating_point]} if operating_point in study.decisions else set()
    order = (Decision.POSITIVE, Decision.INDETERMINATE, Decision.NEGATIVE)
    return next((word for word in order if word in words), None)


def _place(study: StationStudy, mark: Mark | None, now: float, rule: Rule) -> Place:
    waited_s = max(0.0, now - study.received_at)
    overdue = waited_s > rule.longest_wait_s
    lane = _lane(study, rule)
    if mark is not None and mark.read_at < study.received_at:
        mark = None  # of the same study, which was removed here and sent again
    if mark is not None and study.images <= mark.images:
        return Place(study, Lane.READ, waited_s, is_overdue=False, mark=mark)
    if not rule.marked and waited_s > rule.shown_s:
        return Place(study, Lane.EARLIER, waited_s, is_overdue=False, mark=mark)
    if overdue and lane is not Lane.POSITIVE:
        lane = Lane.OVERDUE
    return Place(study, lane, waited_s, overdue, mark)


def _lane(study: StationStudy, rule: Rule) -> Lane:
    """By what is known of it now: an earlier positive result counts until there is a newer one."""
    decision = decision_of(study, rule.operating_point)
    if decision is Decision.POSITIVE:
        return Lane.POSITIVE
    if decision is Decision.INDETERMINATE or study.phase in (Phase.REFUSED, Phase.FAILED):
        return Lane.LOOK
    if study.phase is Phase.JUDGED:
        return Lane.NEGATIVE if decision is not None else Lane.LOOK
    return Lane.COMING


def _oldest(place: Place) -> tuple[float, str]:
    return place.study.received_at, place.study.key


def _most_urgent(place: Place) -> tuple[bool, float, float, str]:
    score = place.study.study_score or 0.0
    return (not place.is_overdue, 0.0 if place.is_overdue else -score, *_oldest(place))
