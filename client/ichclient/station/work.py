"""The worker: whatever is complete is judged in its turn, and its objects are queued.

One step is one study. Result, state and queue are changed so that a station which is killed
between any two of them does the study once more, which gives the same objects and no new ones.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ichclient.errors import AuditBroken
from ichclient.station.events import Events
from ichclient.station.judging import Judge, Judged, Refused, objects_of
from ichclient.station.queueing import queue_objects, remove_older
from ichclient.station.state import Station, StationStudy
from ichcore.errors import IchError


@dataclass(frozen=True)
class WorkOptions:
    """When a study counts as complete, and how often and how long it is tried; times in seconds."""

    quiet_s: float = 60.0
    longest_wait_s: float = 1800.0
    most_attempts: int = 10
    first_pause_s: float = 10.0
    longest_pause_s: float = 600.0

    def __post_init__(self) -> None:
        """Refuse what would never begin or end."""
        if self.quiet_s < 0 or self.longest_wait_s < self.quiet_s:
            raise ValueError("the longest wait must be at least the quiet time, and that 0 or more")
        if self.most_attempts < 1:
            raise ValueError("at least one attempt must be made")

    def pause_s(self, attempts: int) -> float:
        """Pause after so many attempts: each twice as long as the one before."""
        return min(self.first_pause_s * 2.0 ** (attempts - 1), self.longest_pause_s)


class Stopped(Exception):
    """The station stops, and the study that was being judged waits for the next one."""


class Worker:
    """Judges what is complete; `stopping` is asked while a study is judged."""

    def __init__(
        self,
        station: Station,
        judge: Judge,
        events: Events,
        options: WorkOptions,
        targets: Sequence[str] = (),
        stopping: Callable[[], bool] = lambda: False,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._station = station
        self._judge = judge
        self._events = events
        self._options = options
        self._targets = targets
        self._stopping = stopping
        self._now = now
        self._unfinished: str | None = None

    def begin(self) -> None:
        """What a station that was killed was judging waits again."""
        for key in self._station.found_judging(self._options.most_attempts):
            self._events.say("waiting", key=key, after="station_ended")

    def step(self) -> bool:
        """Judge the study whose turn it is; False where nothing waits.

        Raises Stopped, and AuditBroken, with the study waiting.
        """
        options = self._options
        if self._unfinished is not None:  # not even its failure could be written
            self._station.put_back(self._unfinished)
        for key in self._station.complete(self._now(), options.quiet_s, options.longest_wait_s):
            study = self._station.study(key)
            if study is not None:
                self._events.told(
                    "received", key=key, images=study.images, generation=study.generation
                )
        begun = self._station.begin(self._now())
        self._unfinished = begun.key if begun else None
        if begun is None:
            return False
        try:
            self._events.tell("judging", key=begun.key, generation=begun.generation)
            self._end(begun, self._judge.judge(begun.key, self._heard))
        except Stopped:
            self._station.put_back(begun.key)
            self._events.say("waiting", key=begun.key, after="stopped")
            raise
        except AuditBroken:
            self._station.put_back(begun.key)
            raise
        except IchError as error:
            self._again(begun, type(error).__name__, str(error))
        except Exception as error:  # a bug, of which the text might name anybody
            self._again(begun, "internal", f"It failed with {type(error).__name__}.")
        self._unfinished = None
        return True

    def _heard(self, *_: object) -> None:
        if self._stopping():
            raise Stopped

    def _end(self, begun: StationStudy, end: Judged | Refused) -> None:
        """Audit first, so that nothing is delivered of which the audit log does not know."""
        key, generation = begun.key, begun.generation
        if isinstance(end, Judged):
            self._events.tell("judged", key=key, generation=generation, **end.facts)
        else:
            self._events.tell("refused", key=key, generation=generation, code=end.code)
        folder = self._station.folder
        names = objects_of(folder, key)
        with self._station.together() as connection:
            queued = queue_objects(connection, folder, key, generation, names, self._targets)
            if isinstance(end, Judged):
                self._station.judged(key, end.outcome, self._now())
            else:
                self._station.refused(key, end.code, end.reason, self._now())
        remove_older(folder, key, generation)
        if queued:
            self._events.say("queued", key=key, objects=queued)

    def _again(self, begun: StationStudy, code: str, reason: str) -> None:
        """Try later, or give up after the last attempt."""
        if begun.attempts >= self._options.most_attempts:
            self._station.failed(begun.key, code, reason)
            self._events.told("failed", key=begun.key, code=code, attempts=begun.attempts)
            return
        pause_s = self._options.pause_s(begun.attempts)
        self._station.later(begun.key, code, reason, self._now() + pause_s)
        self._events.say(
            "later", key=begun.key, code=code, attempts=begun.attempts, in_s=round(pause_s)
        )
