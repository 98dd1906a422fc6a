"""Studies in turn on one warm server: what fails becomes a row, and the next one is judged."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from ichclient.connect import ServerOptions
from ichclient.errors import NothingFound, RefusedInput, ServerUnreachable
from ichclient.infer import result_from_path
from ichclient.objects.extra import require_highdicom
from ichclient.objects.files import Written
from ichclient.output import output_folder
from ichclient.result import Result
from ichclient.rules import DEFAULT_BOOK, RuleBook
from ichclient.saved import result_from_file
from ichclient.several.fingerprint import sha256_of_input
from ichclient.several.rows import StudyRow, row_from_error, row_from_result
from ichclient.several.summary import Summary, folders_known, rows_from_folder
from ichclient.several.tasks import Task, tasks_from_arguments
from ichclient.sources import SourceOptions
from ichclient.sources.options import Progress
from ichclient.warm import WarmServer


@dataclass(frozen=True)
class Wishes:
    """What holds for every study of a run; the fields are those of `result_from_path`."""

    source: SourceOptions | None = None
    book: RuleBook = DEFAULT_BOOK
    slab_mm: float | None = None
    dicom: bool = False
    written: Written = lambda _: None

    @property
    def text(self) -> str:
        """What of them changes a result, the same for the same wishes."""
        site, allowed = self.book.site.sha256, sorted(self.book.allowed)
        return json.dumps([site, allowed, self.slab_mm, self.dicom])


@dataclass(frozen=True)
class Judged:
    """One study of a run: its row, its place, and the result if it was judged now."""

    row: StudyRow
    number: int
    total: int
    result: Result | None = None
    skipped: bool = False
    lost: int = 0


@dataclass
class _Run:
    """What the studies of one run share."""

    server: WarmServer
    wishes: Wishes
    out: Path | None
    summary: Summary | None
    progress: Progress
    _provenance: str | None = field(default=None)

    def judged(self, task: Task) -> Judged:
        """Judge one study, or find that it was. Raises what no other study would escape."""
        started = time.monotonic()
        known: str | None = None
        try:
            with task.opened(self.progress) as path:
                if self.out is not None:
                    known = sha256_of_input(path, self.wishes.text)
                if known and (earlier := self._earlier(task.folder, known)):
                    return Judged(earlier, task.number, task.total, skipped=True, lost=task.lost)
                result = self._result(path, task.folder)
        except Exception as error:
            if self.server.start_failed:
                raise
            uid, took = task.StudyInstanceUID, time.monotonic() - started
            row = row_from_error(task.folder, uid, error, took, known)
            return Judged(row, task.number, task.total, lost=task.lost)
        row = row_from_result(task.folder, result, time.monotonic() - started, known)
        return Judged(row, task.number, task.total, result, lost=task.lost)

    def _result(self, path: Path, folder: str) -> Result:
        """Judge a study; once more where the server ended under it, and nobody else's did."""
        try:
            return self._once(path, folder)
        except ServerUnreachable:
            if self.server.start_failed:
                raise
            return self._once(path, folder)

    def _once(self, path: Path, folder: str) -> Result:
        wishes = self.wishes
        return result_from_path(
            path,
            self.server,
            source=wishes.source,
            book=wishes.book,
            slab_mm=wishes.slab_mm,
            out=None if self.out is None else self.out / folder,
            dicom=wishes.dicom,
            written=wishes.written,
            progress=self.progress,
        )

    def _earlier(self, folder: str, known: str) -> StudyRow | None:
        """The row of the same study by the same bundle, if its result is still there."""
        row = self.summary.row_of(folder) if self.summary is not None else None
        if row is None or self.out is None or row.exit_code or row.input_sha256 != known:
            return None
        try:
            result = result_from_file(self.out / folder)
        except (NothingFound, RefusedInput):
            return None
        if result.study.StudyInstanceUID != row.StudyInstanceUID:
            return None
        return row if result.bundle.provenance == row.provenance == self._bundle() else None

    def _bundle(self) -> str:
        """The provenance of whoever judges now; asked once."""
        if self._provenance is None:
            with self.server.lent() as server:
                self._provenance = server.transport.infer(server.golden.hu[:1]).provenance[0]
        return self._provenance


def judged_studies(
    studies: Sequence[str],
    options: ServerOptions,
    *,
    each: bool = False,
    wishes: Wishes = Wishes(),
    out: Path | None = None,
    resume: bool = False,
    progress: Progress = lambda *_: None,
    heard: Callable[[Judged], object] = lambda _: None,
) -> tuple[StudyRow, ...]:
    """Judge each of `studies`, or with `each` every study within them, one after another.

    With `out` each result is written into a folder of its own below it, and the summary is
    replaced after each study. With `resume` a study is skipped whose result is there, made of the
    same files by the same bundle, rules and client. `heard` gets each study as it is done.

    Raises an IchError for what no study would escape: no server can be had, an archive cannot be
    opened, or the summary cannot be written. What is done stays done.
    """
    if wishes.dicom:
        require_highdicom()
    rows: list[StudyRow] = []
    earlier = rows_from_folder(out) if resume and out is not None else ()
    with (
        output_folder(out) if out is not None else nullcontext(),
        WarmServer(options) as server,
        tasks_from_arguments(studies, each, wishes.source, folders_known(out), progress) as tasks,
    ):
        summary = Summary(out, earlier) if out is not None else None
        run = _Run(server, wishes, out, summary if resume else None, progress)
        for done in _all(run, tasks, progress):
            rows.append(done.row)
            if summary is not None:
                summary.put(done.row)
            heard(done)
    return tuple(rows)


def _all(run: _Run, tasks: Iterator[Task], progress: Progress) -> Iterator[Judged]:
    for task in tasks:
        progress("studies", task.number - 1, task.total)
        yield run.judged(task)
        progress("studies", task.number, task.total)
