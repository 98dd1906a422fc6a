"""The delivery thread: what the outbox holds goes to its targets as long as the station runs.

Why a target refused an object stands in `ichclient status`: its words may name somebody.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ichclient.delivery.deliver import deliver_due
from ichclient.delivery.outbox import Queued, opened_outbox
from ichclient.delivery.outcome import Outcome
from ichclient.sources.options import SourceOptions
from ichclient.station.events import Events
from ichclient.station.folder import StationFolder
from ichcore.errors import IchError

_LOOK_EVERY_S = 0.5
_AFTER_ERROR_S = 10.0


class Deliveries:
    """Tells of every delivery, and of a target that is away once until it takes something."""

    def __init__(self, folder: StationFolder, options: SourceOptions, events: Events) -> None:
        self._folder = folder
        self._options = options
        self._events = events
        self._away: set[str] = set()
        self._ended = threading.Event()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Deliver within the block; a transfer that is under way at its end is finished first."""
        # A second Ctrl-C does not wait for a slow transfer: it is asked for at the next start.
        thread = threading.Thread(target=self._run, name="ichclient-deliver", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    def _run(self) -> None:
        pause_s = 0.0
        while not self._ended.wait(pause_s):
            pause_s = _LOOK_EVERY_S
            try:
                with opened_outbox(self._folder.database) as outbox:
                    while not self._ended.wait(pause_s):
                        deliver_due(
                            outbox, self._options, told=self._told, ended=self._ended.is_set
                        )
            except IchError as error:
                self._events.say("deliveries_stopped", reason=str(error))
                pause_s = _AFTER_ERROR_S
            except Exception as error:  # a bug: nothing more is known of it than its kind
                self._events.say("deliveries_stopped", error=type(error).__name__)
                pause_s = _AFTER_ERROR_S

    def _told(self, row: Queued, outcome: Outcome) -> None:
        facts = {"key": row.group, "target": row.target}
        name = row.file.rpartition("/")[2].removesuffix(".dcm")
        if outcome.kind == "later":
            if row.target not in self._away:
                self._away.add(row.target)
                self._events.say("target_away", target=row.target, reason=outcome.reason)
            return
        self._away.discard(row.target)
        if outcome.kind == "stored":
            self._events.told("delivered", **facts, object=name)
        else:
            self._events.told("delivery_refused", **facts, object=name)
