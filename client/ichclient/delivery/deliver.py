"""Outbox -> targets: what is due is sent, and whatever happens is written down at once.

A target that takes no connection, or twice in a row gives no answer, is left alone for a while.
What failed most often goes last, so that no object holds up the others for good.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from typing import TypeAlias

from ichclient.delivery.cstore import StoreRoute
from ichclient.delivery.outbox import SENDING, Outbox, Queued, Summary
from ichclient.delivery.outcome import Outcome, Parcel, Route, TargetAway
from ichclient.delivery.stow import StowRoute
from ichclient.delivery.targets import StowTarget, Target, target_from_text
from ichclient.errors import SourceError
from ichclient.sources.http import http_service
from ichclient.sources.node import DimseNode
from ichclient.sources.options import SourceOptions
from ichclient.sources.tls import tls_context

LONGEST_PAUSE_S = 300.0
_LEAST_PAUSE_S = 0.05
_MOST_FAULTS = 2

Told: TypeAlias = Callable[[Queued, Outcome], None]
"""Hears what became of an object; of a stored one the reason is a remark."""


def pause_s(attempts: int) -> float:
    """Seconds until the next attempt, after one that failed as the last of `attempts` + 1."""
    # Jitter keeps many stations from returning to a restarted PACS all at once.
    return min(2.0 ** min(attempts, 16), LONGEST_PAUSE_S) * random.uniform(0.8, 1.0)


def deliver_due(
    outbox: Outbox,
    options: SourceOptions,
    *,
    target: str | None = None,
    told: Told = lambda *_: None,
    ended: Callable[[], bool] = lambda: False,
    clock: Callable[[], float] = time.time,
) -> None:
    """Attempt once whatever is due, for one target or for all; stop between groups when `ended`.

    Raises MissingExtra where the library of a target is absent, and CannotWrite where the outbox
    does not take what became of an object.
    """
    due = outbox.due(clock(), target)
    for text, rows in groupby(due, key=lambda row: row.target):
        if ended():
            return
        _Delivery(outbox, options, told, ended, clock).to(text, tuple(rows))


def deliver_for(
    outbox: Outbox,
    options: SourceOptions,
    for_s: float,
    *,
    told: Told = lambda *_: None,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> Summary:
    """Attempt once, and again until nothing waits or `for_s` seconds are over; then a last time."""
    end = clock() + for_s
    while True:
        deliver_due(outbox, options, told=told, clock=clock)
        summary, now = outbox.summary(), clock()
        if summary.next_attempt_at is None or now >= end:
            return summary
        until = min(max(summary.next_attempt_at, now + _LEAST_PAUSE_S), end)
        sleep(until - now)
        if until == end:
            outbox.hasten()


@contextmanager
def route_to(target: Target, options: SourceOptions) -> Iterator[Route]:
    """The way to a target; raises MissingExtra, and TargetAway for unreadable certificates."""
    if not isinstance(target, StowTarget):
        yield StoreRoute(DimseNode(target.node, options, str(target.node)), options.timeout_s)
        return
    with ExitStack() as stack:
        try:
            http = stack.enter_context(http_service(target.url, options))
        except SourceError as error:
            raise TargetAway(str(error)) from error
        yield StowRoute(http)


def require_routes(targets: Iterable[Target], options: SourceOptions) -> None:
    """Raise MissingExtra or SourceError, before any work is done for a target that has no way."""
    for target in targets:
        tls_context(options)
        with route_to(target, options):
            pass


@dataclass
class _Delivery:
    """One pass over what is due for one target."""

    outbox: Outbox
    options: SourceOptions
    told: Told
    ended: Callable[[], bool]
    clock: Callable[[], float]
    left: dict[str, Queued] = field(default_factory=dict)
    begun: set[str] = field(default_factory=set)
    faults: int = 0

    def to(self, text: str, rows: Sequence[Queued]) -> None:
        """Attempt all of it, as long as the target answers."""
        self.left = {row.SOPInstanceUID: row for row in rows}
        try:
            target = target_from_text(text)
        except ValueError as error:
            for row in rows:
                self._record(row, Outcome("refused", f"this is no target: {error}"))
            return
        try:
            with route_to(target, self.options) as route:
                self._by(route, rows)
        except TargetAway as away:
            self.begun.clear()  # nothing was sent
            self._leave(str(away), failed=True)
        except OSError as error:
            self._leave(f"its file cannot be read ({error.strerror})", failed=True)

    def _by(self, route: Route, rows: Sequence[Queued]) -> None:
        groups = [sorted(each, key=_failed) for _, each in groupby(rows, key=lambda row: row.group)]
        for group in sorted(groups, key=lambda group: _failed(group[-1])):
            if self.ended():
                return
            for row, outcome in self._group(route, group):
                self._record(row, outcome)
            if self.faults >= _MOST_FAULTS:
                self._leave("the target gives no answer", failed=False)
                return

    def _group(self, route: Route, group: Sequence[Queued]) -> Iterator[tuple[Queued, Outcome]]:
        """Ask first for what may be there already, then send the rest."""
        unsure = [row for row in group if row.state == SENDING]
        there = (route.present(unsure) if unsure else None) or set()
        with ExitStack() as stack:
            parcels: list[Parcel] = []
            for row in group:
                if row.SOPInstanceUID in there:
                    yield row, Outcome("stored", "was there already")
                elif row.replaced:
                    self.left.pop(row.SOPInstanceUID)
                    self.outbox.drop(row)
                elif parcel := self._parcel(row, stack):
                    parcels.append(parcel)
                else:
                    reason = "its file is gone, or is not what was queued: judge the study again"
                    yield row, Outcome("refused", reason)
            for parcel, outcome in route.send(parcels, self._begin):
                yield parcel.row, outcome

    def _begin(self, parcel: Parcel) -> bool:
        self.begun.add(parcel.row.SOPInstanceUID)
        return self.outbox.sending(parcel.row)

    def _parcel(self, row: Queued, stack: ExitStack) -> Parcel | None:
        """The open file of an object; what replaces the file on disk does not change it."""
        with contextlib.suppress(OSError):
            file = stack.enter_context(self.outbox.path(row).open("rb"))
            if hashlib.file_digest(file, "sha256").hexdigest() == row.sha256:
                return Parcel(row, file, file.tell())
        return None

    def _record(self, row: Queued, outcome: Outcome) -> None:
        now = self.clock()
        self.left.pop(row.SOPInstanceUID, None)
        self.faults = self.faults + 1 if outcome.kind == "later" else 0
        if outcome.kind == "stored":
            self.outbox.sent(row, now, outcome.reason)
        elif outcome.kind == "refused":
            self.outbox.refused(row, outcome.reason)
        else:
            at = now + pause_s(row.attempts)
            self.outbox.later(row, outcome.reason, at, unsure=outcome.unsure)
        self.told(row, outcome)

    def _leave(self, reason: str, *, failed: bool) -> None:
        """Leave what was not attempted for later, as it was."""
        now = self.clock()
        unsure = {uid: row.state == SENDING or uid in self.begun for uid, row in self.left.items()}
        with self.outbox.together():
            for uid, row in self.left.items():
                at = now + pause_s(row.attempts)
                self.outbox.later(row, reason, at, unsure=unsure[uid], failed=failed)
        for uid, row in self.left.items():
            self.told(row, Outcome("later", reason, unsure[uid]))


def _failed(row: Queued) -> int:
    return row.attempts
