"""Work -> its outcomes in order, on several processes with one BLAS thread each."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import TypeVar

from ichcore.errors import IchError
from ichexport.errors import MissingExtra
from ichtrain.errors import DataError

Work = TypeVar("Work")
Result = TypeVar("Result")
Progress = Callable[[int, int], None]
"""Called with how much is done and how much there is."""

_AHEAD = 2


def silent(done: int, total: int) -> None:
    """Progress that nobody watches."""


def outcomes(
    function: Callable[[Work], Result], work: Sequence[Work], workers: int = 1
) -> Iterator[tuple[Work, Result | DataError]]:
    """Each piece of work with its result, or with the `DataError` that it ended in.

    Few results wait at any time, however slowly they are taken. With more than one worker the
    function must be importable and its work picklable.
    """
    if workers <= 1 or len(work) <= 1:
        for piece in work:
            yield piece, _outcome(function, piece)
        return
    # Forking a program with threads, such as a progress bar's, can hang; so new interpreters.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(work)), context, initializer=_one_thread)
    waiting: deque[tuple[Work, Future[Result | DataError]]] = deque()
    rest = iter(work)
    try:
        for piece in islice(rest, workers * _AHEAD):
            waiting.append((piece, pool.submit(_outcome, function, piece)))
        while waiting:
            piece, future = waiting.popleft()
            yield piece, future.result()
            for following in islice(rest, 1):
                waiting.append((following, pool.submit(_outcome, function, following)))
    except BrokenProcessPool as error:
        raise DataError(
            "A worker process ended by itself, most often for lack of memory. Use fewer --workers "
            "and run the same command again: what is done is kept."
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _outcome(function: Callable[[Work], Result], piece: Work) -> Result | DataError:
    try:
        return function(piece)
    except MissingExtra:
        raise  # every other piece would end in the same
    except DataError as error:
        return error
    except IchError as error:
        return DataError(str(error))
    except OSError as error:
        return DataError(f"{error.filename or 'A file'} cannot be read ({error.strerror}).")


def _one_thread() -> None:
    # Left alone, each process starts a thread per core, and they wait for each other.
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)
