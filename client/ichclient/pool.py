"""Several servers with one bundle -> one transport: calls go round, and a lost server costs none.

Each server has proven the golden slices before it judges, and again when it comes back; one that
comes back untrue is shut out. One that is full is passed over for that call alone.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ichclient.access import OPEN, ServerAccess
from ichclient.answers import ChunkScores, ServerFacts
from ichclient.errors import ServerBusy, ServerError, ServerRefused, ServerUnreachable
from ichclient.readiness import server_is_ready
from ichclient.retry import NoAnswer, Retry, Shed
from ichclient.transport import DEADLINE_S, RETRY_FOR_S, TritonTransport
from ichcore import SliceScores, StudyScore

_T = TypeVar("_T")

_LOOK_AGAIN_AFTER_S = 2.0
_READY_WITHIN_S = 1.0
_NEVER = math.inf


@dataclass
class _Place:
    """One server; `look_at` is None while it answers, else when to look for it again (s)."""

    transport: TritonTransport
    look_at: float | None = None


class ServerPool:
    """Servers that prove one bundle, called in turn; close it, or use it in a `with` block.

    `model` judges slices, as for a `TritonTransport`; servers that differ in what they have need
    it.
    `prove` judges one server and gives the provenance of its answers, or raises ServerRefused.
    Raises what TritonTransport raises; ServerUnreachable only when none of them answers in time,
    and ServerBusy when those that live are full for as long.
    """

    def __init__(
        self,
        urls: Sequence[str],
        prove: Callable[[TritonTransport], str],
        *,
        model: str | None = None,
        access: ServerAccess = OPEN,
        deadline_s: float = DEADLINE_S,
        retry_for_s: float = RETRY_FOR_S,
    ) -> None:
        self.url = ",".join(urls)
        self._access = access
        self._prove = prove
        self._retry = Retry(retry_for_s)
        self._places = [
            # One try each: whoever does not answer is passed over.
            _Place(
                TritonTransport(
                    url, model=model, access=access, deadline_s=deadline_s, retry_for_s=0
                )
            )
            for url in urls
        ]
        self._lock = threading.Lock()
        self._next = 0
        self._provenance: str | None = None

    def __enter__(self) -> ServerPool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End every call that is under way, and the connections."""
        self._retry.end()
        for place in self._places:
            place.transport.close()

    @property
    def interruptions(self) -> int:
        """How often a call had no answer and went elsewhere."""
        return sum(place.transport.interruptions for place in self._places)

    def prove(self) -> None:
        """Prove all servers at once; one that is absent or full is left out until it is there.

        Raises ServerRefused where one is untrue or has another bundle than the others, and
        ServerUnreachable or ServerBusy where none answers.
        """
        places = [place for place in self._places if place.look_at != _NEVER]
        with ThreadPoolExecutor(len(self._places), thread_name_prefix="ich-prove") as pool:
            absent = [error for error in pool.map(self._absence, places) if error]
        if len(absent) == len(places):
            raise absent[0] if absent else ServerRefused(f"No server of {self.url} is true.")

    def metadata(self) -> ServerFacts:
        """What a server says of itself and its bundle."""
        return self._asked(lambda server: server.metadata())

    def infer(self, chunk: NDArray[np.float16]) -> ChunkScores:
        """Judge HU [N, S, R, C] on the server whose turn it is."""
        return self._asked(lambda server: server.infer(chunk))

    def study(self, slices: SliceScores) -> StudyScore:
        """Apply the bundle's study rule."""
        return self._asked(lambda server: server.study(slices))

    def _asked(self, call: Callable[[TritonTransport], _T]) -> _T:
        return self._retry.answer(lambda: self._once_round(call), who=self.url)

    def _once_round(self, call: Callable[[TritonTransport], _T]) -> _T:
        """Ask one after another until one answers."""
        lost: ServerError = ServerRefused("no server is left that is true")
        full: ServerBusy | None = None
        for place in self._in_turn():
            try:
                if place.look_at is not None and not self._taken_back(place):
                    continue
                return call(place.transport)
            except ServerBusy as error:
                full = error
            except ServerUnreachable as error:
                place.look_at = time.monotonic() + _LOOK_AGAIN_AFTER_S
                lost = error
        if full is not None:
            raise Shed(str(full)) from full
        raise NoAnswer(str(lost)) from lost

    def _in_turn(self) -> list[_Place]:
        """All servers from the next one on; those that are lost last, until it is time to look."""
        with self._lock:
            turned = self._places[self._next :] + self._places[: self._next]
            self._next = (self._next + 1) % len(self._places)
            now = time.monotonic()
            turned = [place for place in turned if place.look_at != _NEVER]
            first = [place for place in turned if place.look_at is None or place.look_at <= now]
            last = [place for place in turned if place not in first]
        return first + last

    def _taken_back(self, place: _Place) -> bool:
        """Let a lost server judge again if it is ready and true; shut it out if it is untrue."""
        url = place.transport.url
        place.look_at = time.monotonic() + _LOOK_AGAIN_AFTER_S  # others need not look meanwhile
        if not server_is_ready(url, timeout_s=_READY_WITHIN_S, access=self._access):
            raise ServerUnreachable(f"the server at {url} is not ready")
        try:
            self._proven(place)
        except ServerRefused:
            place.look_at = _NEVER
            return False
        return True

    def _absence(self, place: _Place) -> ServerError | None:
        """Prove a server, waiting where it is full; what kept it from answering, if anything."""

        def once() -> None:
            try:
                self._proven(place)
            except ServerBusy as error:
                raise Shed(str(error)) from error

        try:
            self._retry.answer(once, who=place.transport.url)
        except (ServerUnreachable, ServerBusy) as error:
            place.look_at = time.monotonic() + _LOOK_AGAIN_AFTER_S
            return error
        return None

    def _proven(self, place: _Place) -> None:
        try:
            provenance = self._prove(place.transport)
        except ServerRefused as error:
            raise ServerRefused(f"{place.transport.url}: {error}") from error
        with self._lock:
            expected = self._provenance = self._provenance or provenance
        if provenance != expected:
            raise ServerRefused(
                f"{place.transport.url} serves another bundle or other engines ({provenance}) "
                f"than the servers beside it ({expected}): give servers of one kind to --url, or a "
                "--model that all of them have."
            )
        place.look_at = None
