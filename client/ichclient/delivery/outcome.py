"""What a target says of an object, and what every way to a target offers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Literal, Protocol, TypeAlias

from ichclient.delivery.outbox import Queued


@dataclass(frozen=True)
class Outcome:
    """The target stored an object, refused it, or has not got it now; why, or what it remarked.

    `unsure` is set where it may have been stored in spite of all.
    """

    kind: Literal["stored", "refused", "later"]
    reason: str = ""
    unsure: bool = False


@dataclass(frozen=True)
class Parcel:
    """An object that goes out: its row, and its open file, whose bytes are those of its hash."""

    row: Queued
    file: IO[bytes]
    length: int


Begin: TypeAlias = Callable[[Parcel], bool]
"""Called before the first byte of an object leaves; False where it is not to be sent."""


class TargetAway(Exception):
    """Nobody takes a connection or an association, so nothing was sent and nothing will be."""


class Route(Protocol):
    """A way to one target, open for some time. Every method may raise TargetAway."""

    def present(self, rows: Sequence[Queued]) -> set[str] | None:
        """The SOPInstanceUIDs that the target has already; None where it cannot be asked."""

    def send(self, parcels: Sequence[Parcel], begin: Begin) -> Iterator[tuple[Parcel, Outcome]]:
        """Send objects of one group, and say of each what became of it as soon as that is known."""


_FAILURES = {
    0x0110: "processing failure",
    0x0117: "invalid SOP instance",
    0x0122: "SOP class not supported",
    0x0124: "not authorised",
    0x0210: "duplicate invocation",
    0x0211: "unrecognised operation",
    0x0212: "mistyped argument",
    0xC122: "transfer syntax not supported",
}
_FAILURE_RANGES = (
    (0xA700, 0xA7FF, "out of resources"),
    (0xA900, 0xA9FF, "data set does not match SOP class"),
    (0xC000, 0xCFFF, "cannot understand"),
)
"""Failures of PS3.4 Table B.2-1, PS3.7 Annex C and PS3.18 Table I.2-2."""

_DUPLICATE = 0x0111
_WARNINGS = (0x0001, 0x0107, 0x0116, *range(0xB000, 0xC000))


def outcome_of_status(status: int) -> Outcome:
    """What a status of C-STORE, or a reason of STOW-RS, means for an object.

    A duplicate is stored: our UIDs are hashes of what an object says.
    """
    code = f"0x{status:04X}"
    if status == 0:
        return Outcome("stored")
    if status == _DUPLICATE:
        return Outcome("stored", f"was there already ({code})")
    if status in _WARNINGS:
        return Outcome("stored", f"stored with warning {code}")
    ranges = (words for first, last, words in _FAILURE_RANGES if first <= status <= last)
    words = _FAILURES.get(status) or next(ranges, "failure")
    return Outcome("later" if 0xA700 <= status <= 0xA7FF else "refused", f"{words} ({code})")
