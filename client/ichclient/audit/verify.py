"""audit.jsonl -> what was done to it: lines changed, removed, added or in another order.

The hashes find what was changed by accident or by somebody who left the rest alone. The seals find
what somebody wrote anew without the station's key, and the sealed head what was cut off the end.
Whoever has the key, or an old copy of log and head to put back, is found only by a hash that was
noted elsewhere: `expect`.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

from ichclient.audit.chain import (
    BEFORE,
    HEAD_FILE,
    LOG_FILE,
    START,
    Head,
    read_head,
    values_from_line,
)
from ichclient.audit.keyed import Pseudonyms
from ichclient.errors import BadAccess, NothingFound


class Kind(StrEnum):
    """What was done to the log."""

    CHANGED = "changed"
    REMOVED = "removed"
    ADDED = "added"
    REORDERED = "reordered"
    NOT_THERE = "not_there"


@dataclass(frozen=True)
class Finding:
    """Something wrong; `first` and `last` are lines of the file, or of the log where removed."""

    kind: Kind
    first: int
    last: int
    sentence: str


@dataclass(frozen=True)
class Verification:
    """What the whole log says about itself.

    `holds_until` is the last line of the file up to which nothing is wrong. `hash` and `at` are
    those of the last line that is whole. `sealed` tells whether the seals were looked at.
    `torn_bytes` are what a crash left of a line that was never finished; the next start sets it
    aside.
    """

    lines: int
    holds_until: int
    hash: str
    at: str | None
    sealed: bool
    torn_bytes: int
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings


@dataclass(frozen=True)
class _Line:
    """A line of the file: its number there, and what it says where it is authentic."""

    place: int
    n: int
    authentic: bool
    previous: str = ""
    hash: str = ""
    at: str = ""


def verification_of_folder(
    folder: Path, *, sealed: bool = True, expect: str | None = None
) -> Verification:
    """Read the log in `folder` from its first line; it may be written meanwhile.

    Without `sealed` the station's key is not needed. `expect` is a hash that one line must have.
    Raises NothingFound where there is no log, BadAccess for a key that cannot be read.
    """
    if not any((folder / name).exists() for name in (LOG_FILE, HEAD_FILE)):
        raise NothingFound(f"{folder} holds no {LOG_FILE}: name a station's folder.")
    pseudonyms = Pseudonyms.read(folder) if sealed else None
    lines, torn, head = _read(folder, pseudonyms)
    if torn and head is not None and head.n > max((line.n for line in lines), default=0):
        lines.append(_Line(len(lines) + 1, _claimed(torn), authentic=False))
        torn = b""
    findings = list(_findings(lines, head))
    if expect is not None and not any(line.authentic and line.hash == expect for line in lines):
        findings.append(Finding(Kind.NOT_THERE, 0, 0, f"No line has the hash {expect}."))
    whole = [line for line in lines if line.authentic]
    return Verification(
        lines=len(lines),
        holds_until=_holds_until(lines),
        hash=whole[-1].hash if whole else START,
        at=whole[-1].at if whole else None,
        sealed=sealed,
        torn_bytes=len(torn),
        findings=tuple(sorted(findings, key=lambda one: (one.first, one.last))),
    )


def _read(folder: Path, pseudonyms: Pseudonyms | None) -> tuple[list[_Line], bytes, Head | None]:
    """All lines, the bytes behind the last line end, and the head of the same moment."""
    path = folder / LOG_FILE
    lines: list[_Line] = []
    torn, read = b"", 0
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH)
            size = os.fstat(file.fileno()).st_size
            head = read_head(folder, pseudonyms)
            fcntl.flock(file, fcntl.LOCK_UN)
            while read < size and (line := file.readline(size - read)):
                read += len(line)
                if line.endswith(b"\n"):
                    lines.append(_line_from_bytes(len(lines) + 1, line[:-1], pseudonyms))
                else:
                    torn = line
    except FileNotFoundError:
        head = read_head(folder, pseudonyms)
    except OSError as error:
        raise BadAccess(f"{path} cannot be read ({error.strerror}).") from error
    return lines, torn, head


def _line_from_bytes(place: int, content: bytes, pseudonyms: Pseudonyms | None) -> _Line:
    values = values_from_line(content)
    if values is None:
        return _Line(place, _claimed(content), authentic=False)
    sealed = pseudonyms is None or pseudonyms.is_seal(values["seal"], values["hash"])
    return _Line(place, values["n"], sealed, values["previous"], values["hash"], values["at"])


def _claimed(content: bytes) -> int:
    """The number that a changed line still seems to have; 0 where none can be read."""
    _, found, rest = content.partition(b'"n":')
    digits = rest.split(b",")[0]
    return int(digits) if found and digits.isdigit() and len(digits) < 16 else 0


def _findings(lines: list[_Line], head: Head | None) -> Iterator[Finding]:
    if head is None:
        yield Finding(Kind.CHANGED, len(lines), len(lines), f"{HEAD_FILE} was changed.")
    known = head or BEFORE
    good: dict[int, _Line] = {}
    for line in lines:
        if line.authentic and line.n in good:
            first = good[line.n].place
            yield _about(Kind.ADDED, line.place, f"is a copy of line {first}")
        elif line.authentic:
            good[line.n] = line
    newest = max([*good, known.n], default=0)
    missing = sorted(set(range(1, newest + 1)) - good.keys())
    yield from _bad_lines(lines, missing)
    yield from _lost(missing, newest, known.n)
    yield from _moved(list(good.values()))
    for before, line in pairwise([good[n] for n in sorted(good)]):
        if line.n == before.n + 1 and line.previous != before.hash:
            yield _about(Kind.CHANGED, line.place, f"does not go on from line {before.place}")
    if 1 in good and good[1].previous != START:
        yield _about(Kind.CHANGED, good[1].place, "is no beginning of a log")
    if known.n in good and good[known.n].hash != known.hash:
        yield _about(Kind.CHANGED, good[known.n].place, f"is not the one that {HEAD_FILE} names")
    if head is not None and newest - known.n > 1:
        text = f"Lines after {known.n} are unknown to {HEAD_FILE}: it is missing or an old one."
        yield Finding(Kind.CHANGED, known.n + 1, newest, text)


def _bad_lines(lines: list[_Line], missing: list[int]) -> Iterator[Finding]:
    """Lines that nobody wrote so; takes from `missing` the numbers that they stand for."""
    before = 0
    for line in lines:
        if line.authentic:
            before = line.n
            continue
        stands_for = line.n if line.n in missing else before + 1
        if stands_for in missing:
            missing.remove(stands_for)
            before = stands_for
            yield _about(Kind.CHANGED, line.place, "was changed")
        else:
            yield _about(Kind.ADDED, line.place, "was added")


def _lost(missing: list[int], newest: int, of_head: int) -> Iterator[Finding]:
    for _, group in groupby(enumerate(missing), lambda pair: pair[1] - pair[0]):
        numbers = [number for _, number in group]
        first, last = numbers[0], numbers[-1]
        end = " at the end" if last == newest == of_head else ""
        yield Finding(Kind.REMOVED, first, last, f"{_range(first, last)} removed{end}.")


def _moved(good: list[_Line]) -> Iterator[Finding]:
    """Ranges of authentic lines that do not stand where their numbers say."""
    ordered = sorted(good, key=lambda line: line.n)
    wrong = [
        line.place for line, right in zip(good, ordered, strict=True) if line.place != right.place
    ]
    for _, group in groupby(enumerate(wrong), lambda pair: pair[1] - pair[0]):
        places = [place for _, place in group]
        text = f"Lines {places[0]} to {places[-1]} are not in their order."
        yield Finding(Kind.REORDERED, places[0], places[-1], text)


def _holds_until(lines: list[_Line]) -> int:
    previous = START
    for count, line in enumerate(lines):
        if not line.authentic or line.n != count + 1 or line.previous != previous:
            return count
        previous = line.hash
    return len(lines)


def _about(kind: Kind, place: int, words: str) -> Finding:
    return Finding(kind, place, place, f"Line {place} {words}.")


def _range(first: int, last: int) -> str:
    return f"Line {first} was" if first == last else f"Lines {first} to {last} were"


def values_of(verification: Verification) -> dict[str, Any]:
    """The verification as JSON has it."""
    return {
        "ok": verification.ok,
        "lines": verification.lines,
        "holds_until": verification.holds_until,
        "hash": verification.hash,
        "at": verification.at,
        "sealed": verification.sealed,
        "torn_bytes": verification.torn_bytes,
        "findings": [
            {"kind": one.kind, "first": one.first, "last": one.last, "sentence": one.sentence}
            for one in verification.findings
        ],
    }
