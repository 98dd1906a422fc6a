"""One of many studies, a server that is already proven -> its result, written to a folder."""

from __future__ import annotations

import time
from pathlib import Path

from ichclient.connect import ProvenServer
from ichclient.infer import result_from_study, study_from_path
from ichclient.output import output_folder, write_files
from ichclient.result import Result
from ichclient.result_files import files_from_judged
from ichclient.rules import DEFAULT_BOOK, RuleBook
from ichclient.sources import SourceOptions, opened_source


def result_on_server(
    path: Path | str,
    server: ProvenServer,
    out: Path,
    *,
    source: SourceOptions | None = None,
    book: RuleBook = DEFAULT_BOOK,
    slab_mm: float | None = None,
) -> Result:
    """Judge one of many studies on a server that is already proven, and write it to `out`.

    Raises an IchError for whatever stands in the way; nothing is written then.
    """
    started = time.monotonic()
    with output_folder(out), opened_source(path, source, lambda *_: None) as opened:
        study = study_from_path(opened, book=book, slab_mm=slab_mm)
        result, judged = result_from_study(study, server, lambda *_: None, started)
        result, files = files_from_judged(study.series, book, judged, result)
        write_files(out, files)
    return result
