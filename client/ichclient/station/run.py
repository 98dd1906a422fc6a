"""A station, from its first to its last moment: whoever takes images in, a worker, deliveries.

The worker runs in the thread that calls; images and deliveries have threads of their own. A signal
sets one event, and everything ends by it: nobody is let in, the study that is being judged waits
for the next station, a transfer is finished, the server ends.
"""

from __future__ import annotations

import contextlib
import importlib
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from ichclient.audit.keyed import Pseudonyms
from ichclient.audit.log import AuditLog
from ichclient.connect import ServerOptions
from ichclient.delivery.outbox import Outbox
from ichclient.delivery.targets import target_from_text
from ichclient.rules import DEFAULT_BOOK, RuleBook
from ichclient.sources.options import SourceOptions
from ichclient.station.deliveries import Deliveries
from ichclient.station.events import Events
from ichclient.station.folder import StationFolder
from ichclient.station.judging import Judge
from ichclient.station.retention import remove_done
from ichclient.station.shelf import Room, Shelf, swept
from ichclient.station.state import Station
from ichclient.station.work import Stopped, Worker, WorkOptions
from ichclient.warm import WarmServer

# Threads that import parts of one of these at once find it half made.
_BEFORE_THREADS = ("pydicom.pixels", "pynetdicom", "highdicom", "httpx")
_LOOK_EVERY_S = 0.25
_CLEAN_EVERY_S = 600.0


@dataclass(frozen=True)
class StationOptions:
    """What a station does, however its images come; `targets` are names of the outbox."""

    server: ServerOptions
    work: WorkOptions = field(default_factory=WorkOptions)
    room: Room = field(default_factory=Room)
    targets: Sequence[str] = ()
    delivery: SourceOptions = field(default_factory=SourceOptions)
    book: RuleBook = DEFAULT_BOOK
    objects: bool = True
    keep_days: float | None = None


@dataclass(frozen=True)
class Running:
    """What whoever takes images in may use."""

    station: Station
    shelf: Shelf
    events: Events


TakesIn = Callable[[Running], AbstractContextManager[object]]
"""Takes images in as long as its block lasts."""


def run_station(
    path: Path, options: StationOptions, takes_in: TakesIn, line: Callable[[str], None]
) -> int | None:
    """Run the station at `path` until a signal; gives its number. `line` takes lines of log.

    Raises StationError, whatever `takes_in` raises as it begins, and AuditBroken, also later when
    the audit log was changed. Call it from the main thread of a process.
    """
    folder = StationFolder.made(path)
    for library in _BEFORE_THREADS:
        with contextlib.suppress(ImportError):  # of an extra that is not installed
            importlib.import_module(library)
    with ExitStack() as stack:
        stack.enter_context(folder.locked())
        station = stack.enter_context(Station(folder))
        events = Events(AuditLog(folder.path), line)
        with station.together() as connection:
            Outbox(connection, folder.path).prepare()
        _begin(station, events, options)
        shelf = Shelf(station, Pseudonyms.of_folder(folder.path), options.room, time.time)
        server = stack.enter_context(WarmServer(options.server))
        stopping = stack.enter_context(_Signals())
        judge = Judge(station, server, options.book, objects=options.objects)
        worker = Worker(
            station, judge, events, options.work, options.targets, stopping.event.is_set
        )
        worker.begin()
        with ExitStack() as threads:
            if options.targets:
                threads.enter_context(Deliveries(folder, options.delivery, events).running())
            threads.enter_context(takes_in(Running(station, shelf, events)))
            _work(worker, station, shelf, events, options, stopping.event)
        events.told("stopped", signal=stopping.number)
        return stopping.number


def _begin(station: Station, events: Events, options: StationOptions) -> None:
    events.tell("started", targets=len(options.targets), studies=len(station.studies()))
    for target in options.targets:
        if target_from_text(target).in_the_clear:
            events.say("in_the_clear", target=target)
    removed, incomplete = swept(station)
    if removed:
        events.say("removed_leftovers", files=removed)
    for key in incomplete:
        events.told("images_missing", key=key)


def _work(
    worker: Worker,
    station: Station,
    shelf: Shelf,
    events: Events,
    options: StationOptions,
    stopping: threading.Event,
) -> None:
    """Judge, and clean up now and then, until the station stops."""
    clean_at = 0.0
    while not stopping.is_set():
        if events.broken is not None:
            raise events.broken
        try:
            if options.keep_days is not None and time.monotonic() >= clean_at:
                clean_at = time.monotonic() + _CLEAN_EVERY_S
                remove_done(station, shelf, events, options.keep_days, time.time())
            worked = worker.step()
        except Stopped:
            return
        except (sqlite3.Error, OSError) as error:  # a full disk ends nothing: it is tried again
            events.say("state_not_written", reason=str(error))
            worked = False
        if not worked:
            stopping.wait(_LOOK_EVERY_S)


class _Signals:
    """SIGINT and SIGTERM as an event; a second one interrupts whatever is under way."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self.number: int | None = None

    def __enter__(self) -> _Signals:
        self._before = {
            number: signal.signal(number, self._heard) for number in (signal.SIGINT, signal.SIGTERM)
        }
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def _heard(self, number: int, _: FrameType | None) -> None:
        if self.event.is_set():
            raise KeyboardInterrupt
        self.number = number
        self.event.set()
