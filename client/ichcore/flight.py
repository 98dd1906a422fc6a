"""Questions -> answers in their order, a few of them under way while the next is prepared."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

IN_FLIGHT = 2
"""Chunks of one series that a server has at once."""

_Question = TypeVar("_Question")
_Answer = TypeVar("_Answer")


def answers_in_order(
    questions: Iterable[_Question], ask: Callable[[_Question], _Answer], *, wait: bool
) -> Generator[tuple[_Question, _Answer]]:
    """Ask on threads, `IN_FLIGHT` questions at once; gives each question with its answer.

    The iterator raises what `questions` or `ask` raise, and takes no further question then.
    Close it (`contextlib.closing`): with `wait` it ends when no question is under way any more;
    without, whoever holds the connection has to end those that are.
    """
    waiting: deque[tuple[_Question, Future[_Answer]]] = deque()
    pool = ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="ich-ask")
    try:
        for question in questions:
            if len(waiting) == IN_FLIGHT:
                yield _taken(waiting)
            # In the context of whoever asks, so that what belongs together stays so on threads.
            waiting.append((question, pool.submit(copy_context().run, ask, question)))
        while waiting:
            yield _taken(waiting)
    finally:
        pool.shutdown(wait=wait, cancel_futures=True)


def _taken(
    waiting: deque[tuple[_Question, Future[_Answer]]],
) -> tuple[_Question, _Answer]:
    question, answer = waiting.popleft()
    return question, answer.result()
