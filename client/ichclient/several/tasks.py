"""What the user named -> studies in turn, each with the folder that its result belongs into.

Several studies that were named keep their own names. The studies of an archive get a running
number and the beginning of a hash of their StudyInstanceUID, and keep the folder that they have
already: names of folders in an archive often are names of patients.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

from ichclient.sources import SourceOptions, address_from_text, opened_source
from ichclient.sources.options import Progress
from ichclient.sources.studies import StudyFiles, linked_study, studies_below
from ichcore.errors import IchError

_ARCHIVE_ENDS = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.zst")
_NUMBERED = re.compile(r"(\d{4,})-([0-9a-f]{8})")

Opened: TypeAlias = AbstractContextManager[Path]


@dataclass(frozen=True)
class Task:
    """One study: the folder of its result, its place among all, and how it is opened.

    `StudyInstanceUID` is None where nobody has looked yet; `lost` counts files beside it that
    belong to no study, and is told with the first study of an archive.
    """

    folder: str
    number: int
    total: int
    opened: Callable[[Progress], Opened]
    StudyInstanceUID: str | None = None
    lost: int = 0


Tasks: TypeAlias = Generator[Task, None, None]


@contextmanager
def tasks_from_arguments(
    studies: Sequence[str],
    each: bool,
    source: SourceOptions | None,
    names: Iterable[str],
    progress: Progress,
) -> Iterator[Iterator[Task]]:
    """The studies that a user named, or with `each` every study within them, one after another.

    `names` are the folders that studies have already. An archive stays open while its studies are
    judged; of several, one that cannot be opened is a task that fails.
    """
    tasks = _archived(studies, source, names, progress) if each else _named(studies, source)
    with closing(tasks):
        yield tasks


def _named(studies: Sequence[str], source: SourceOptions | None) -> Tasks:
    taken: set[str] = set()
    for number, study in enumerate(studies, start=1):
        opened = partial(opened_source, study, source)
        yield Task(_free(_own_name(study, number), taken), number, len(studies), opened)


def _archived(
    archives: Sequence[str], source: SourceOptions | None, names: Iterable[str], progress: Progress
) -> Tasks:
    folders = _Folders(names)
    before = 0
    for archive in archives:
        with ExitStack() as stack:
            try:
                path = stack.enter_context(opened_source(archive, source, progress))
                progress("reading", 0, 0)
                found = studies_below(path)
            except IchError as error:
                if len(archives) == 1:
                    raise
                before += 1
                name = folders.free(_own_name(archive, before))
                yield Task(name, before, before, partial(_failed, error))
                continue
            total = before + len(found.studies)
            for number, study in enumerate(found.studies, start=before + 1):
                uid = study.StudyInstanceUID
                lost = len(found.without_study) if number == before + 1 else 0
                yield Task(folders.of(uid), number, total, partial(_linked, study), uid, lost)
            before = total


def _linked(study: StudyFiles, _: Progress) -> Opened:
    return linked_study(study)


@contextmanager
def _failed(error: IchError, _: Progress) -> Iterator[Path]:
    raise error
    yield  # what a context manager needs to be one


class _Folders:
    """Folder names of studies: what a folder is called already, or the next number."""

    def __init__(self, names: Iterable[str]) -> None:
        numbered = sorted(match.groups() for name in names if (match := _NUMBERED.fullmatch(name)))
        self._by_hash = {digest: f"{number}-{digest}" for number, digest in numbered}
        self._last = max((int(number) for number, _ in numbered), default=0)
        self._taken: set[str] = set()

    def of(self, uid: str) -> str:
        digest = hashlib.sha256(uid.encode()).hexdigest()[:8]
        if digest not in self._by_hash:
            self._last += 1
            self._by_hash[digest] = f"{self._last:04d}-{digest}"
        return self.free(self._by_hash[digest])

    def free(self, name: str) -> str:
        return _free(name, self._taken)


def _own_name(study: str, number: int) -> str:
    """What the user calls a study; a study on a PACS is asked for by what may name a patient."""
    try:
        address = address_from_text(study)
    except ValueError:
        return f"study-{number}"
    if not isinstance(address, Path):
        return f"study-{number}"
    name = address.name if address.name not in ("", "..") else address.resolve().name
    for end in _ARCHIVE_ENDS:
        if name.lower().endswith(end) and len(name) > len(end):
            return name[: -len(end)]
    return name or f"study-{number}"


def _free(name: str, taken: set[str]) -> str:
    """The name, with a number behind it where it was used before."""
    free, count = name, 1
    while free in taken:
        count += 1
        free = f"{name}-{count}"
    taken.add(free)
    return free
