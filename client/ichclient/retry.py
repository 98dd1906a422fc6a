"""A call -> its answer, tried again while that is safe and there is time.

Every call of the client only computes, so it may be repeated on any replica. It is repeated where
nobody answered, never where a server answered with a reason.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from ichclient.errors import ServerBusy, ServerError, ServerUnreachable

_T = TypeVar("_T")

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 2.0


class NoAnswer(Exception):
    """A try ended without an answer, and trying again is safe."""


class Shed(NoAnswer):
    """A server that is well had no room for the request."""


@dataclass
class Retry:
    """How long to try again, and a way to end that from another thread.

    `for_s` counts from the first try that failed. `interruptions` counts the tries that had no
    answer: whoever answers afterwards may be another server than before. A server that is full is
    asked again too, but is no other server afterwards.
    """

    for_s: float
    interruptions: int = 0
    _ended: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        """Refuse a negative time."""
        if not self.for_s >= 0:
            raise ValueError(f"for_s must be at least 0, not {self.for_s}")

    @property
    def ended(self) -> bool:
        """Whether `end` was called."""
        return self._ended.is_set()

    def end(self) -> None:
        """Let every waiting call fail now."""
        self._ended.set()

    def answer(self, call: Callable[[], _T], *, who: str, for_s: float | None = None) -> _T:
        """Call until it answers; raises ServerUnreachable naming `who` when the time is over.

        Raises ServerBusy instead where the last try found a server that was full.
        """
        allowed_s = self.for_s if for_s is None else min(for_s, self.for_s)
        started = time.monotonic()
        failed_at: float | None = None
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                return call()
            except NoAnswer as error:
                now = time.monotonic()
                failed_at = now if failed_at is None else failed_at
                if not isinstance(error, Shed):
                    with self._lock:
                        self.interruptions += 1
                left_s = failed_at + allowed_s - now
                # Jitter keeps many clients from returning to a restarted server all at once.
                if left_s <= 0 or self._ended.wait(min(left_s, pause_s * random.uniform(0.5, 1))):
                    raise _failure(who, now - started, error) from error
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


def _failure(who: str, tried_s: float, error: NoAnswer) -> ServerError:
    if isinstance(error, Shed):
        return ServerBusy(
            f"{who} was full and turned the request away for {tried_s:.1f} s ({error}): try again "
            "later, or have it serve with more instances or on more machines."
        )
    return ServerUnreachable(
        f"No answer from {who} in {tried_s:.1f} s ({error}). Check that a Triton server runs "
        "there and that the address is that of its gRPC port (8001 by default)."
    )
