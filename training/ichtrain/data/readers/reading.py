"""What every reader shares: the record it returns, its common options, and how cases are read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ichtrain.data.parallel import Progress, Work, outcomes
from ichtrain.data.rows import SliceRow
from ichtrain.errors import DataError

_TOLD = 10


@dataclass(frozen=True)
class ReaderOptions:
    """Options of every reader.

    `site` and `split` are written into every row, unless the layout says better;
    `skip_broken` leaves out what cannot be read, with a note, instead of ending; `workers` are
    processes.
    """

    site: str = ""
    split: str = ""
    skip_broken: bool = False
    workers: int = 1


@dataclass(frozen=True)
class Reading:
    """Rows of a manifest, not checked yet, and notes on what was left out or resolved."""

    rows: tuple[SliceRow, ...]
    notes: tuple[str, ...] = ()


def reading_from_cases(
    function: Callable[[Work], list[SliceRow]],
    cases: Sequence[Work],
    name: Callable[[Work], object],
    options: ReaderOptions,
    progress: Progress,
) -> Reading:
    """Read cases one by one into rows; `name` says in a message which case was broken.

    Raises `DataError` at the first broken case, or with `skip_broken` where none could be read.
    """
    rows: list[SliceRow] = []
    broken: list[str] = []
    progress(0, len(cases))
    for done, (case, outcome) in enumerate(outcomes(function, cases, options.workers), 1):
        if isinstance(outcome, DataError):
            told = f"{name(case)}: {outcome}"
            if not options.skip_broken:
                raise type(outcome)(f"{told} Leave such cases out with --skip-broken.")
            broken.append(f"left out: {told}")
        else:
            rows.extend(outcome)
        progress(done, len(cases))
    if broken and not rows:
        raise DataError(f"None of {len(cases)} cases could be read, the first because {broken[0]}")
    return Reading(tuple(rows), tuple(broken))


def shortened(notes: Sequence[str]) -> list[str]:
    """The first notes and how many more there are, for a terminal."""
    rest = [f"and {len(notes) - _TOLD} more"] if len(notes) > _TOLD else []
    return [*notes[:_TOLD], *rest]
