"""A study that is read on a thread while its server starts -> its refusal, before any other word.

What speaks against the study itself is told at once: no other server would help it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from contextlib import contextmanager
from typing import Any

from ichcore import IchError

MOMENT_S = 0.5
GLIMPSE_S = 0.05


def give_a_moment(reading: Future[Any], moment_s: float = MOMENT_S) -> None:
    """Wait so many seconds at most; raises the refusal that comes meanwhile."""
    with contextlib.suppress(NotYet):
        reading.result(timeout=moment_s)


def raise_refusal(reading: Future[Any]) -> None:
    """Raise the refusal if there is one by now."""
    if reading.done():
        reading.result()


@contextmanager
def refusal_first(reading: Future[Any]) -> Iterator[None]:
    """Of a refusal and a failure of the block, raise the refusal."""
    try:
        yield
    except IchError:
        give_a_moment(reading)
        raise
