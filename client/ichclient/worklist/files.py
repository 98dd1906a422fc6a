"""A study's key and a name -> the bytes of a known file of its result, and of no other file.

A name of a request is looked up in a table and never becomes part of a path. Links are not
followed, neither for the study's folder nor for the file.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from ichclient.station.folder import StationFolder, checked_key

HTML = "text/html; charset=utf-8"
REPORT = "report"
KNOWN = {
    # name in an address: the file, and what it is
    REPORT: ("report.html", HTML),
    "result.json": ("result.json", "application/json"),
    "slices.csv": ("slices.csv", "text/csv; charset=utf-8"),
    "top_slice.png": ("top_slice.png", "image/png"),
}
_TITLE = re.compile(rb"<title>.*?</title>", re.DOTALL)


def file_of_study(folder: StationFolder, key: str, name: str) -> tuple[bytes, str] | None:
    """Content and type of the file that `name` stands for; None where there is none.

    The title of a report becomes the study's key, since a browser keeps titles.
    """
    if name not in KNOWN:
        return None
    file, kind = KNOWN[name]
    try:
        with _opened(folder, key, file) as opened:
            content = opened.read()
    except (OSError, ValueError):
        return None
    if name == REPORT:
        content = _TITLE.sub(f"<title>Study {key}</title>".encode(), content, count=1)
    return content, kind


def has_report(folder: StationFolder, key: str) -> bool:
    """Whether a study has a report to be shown."""
    try:
        with _opened(folder, key, KNOWN[REPORT][0]):
            return True
    except (OSError, ValueError):
        return False


@contextmanager
def _opened(folder: StationFolder, key: str, file: str) -> Iterator[BinaryIO]:
    """A regular file of a study's result, reached without any link below `results/`."""
    results = os.open(folder.results, os.O_RDONLY | os.O_DIRECTORY)
    try:
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
        study = os.open(checked_key(key), flags, dir_fd=results)
    finally:
        os.close(results)
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=study)
    finally:
        os.close(study)
    with os.fdopen(descriptor, "rb") as opened:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError("no regular file")
        yield opened
