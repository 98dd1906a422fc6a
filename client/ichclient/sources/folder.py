"""A folder for a patient's images, that only this user can read and that does not stay."""

from __future__ import annotations

import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from ichclient.errors import IchClientError


@contextmanager
def private_folder() -> Iterator[Path]:
    """An empty folder of mode 0700 below TMPDIR; gone at the end, also after SIGTERM."""
    with _ended_in_order(), tempfile.TemporaryDirectory(prefix="ichclient-") as folder:
        yield Path(folder)


@contextmanager
def called(folder: Path, name: str, inside: str = "/") -> Iterator[None]:
    """Errors that name a temporary folder name what it stands for, as the user knows it.

    `inside` stands between that name and a file below the folder.
    """
    try:
        yield
    except IchClientError as error:
        named = str(error).replace(f"{folder}/", f"{name}{inside}").replace(str(folder), name)
        if named == str(error):
            raise
        raise type(error)(named) from error


@contextmanager
def _ended_in_order() -> Iterator[None]:
    """Let SIGTERM unwind the program, as Ctrl-C does, where nothing else was arranged."""
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def end(number: int, _: FrameType | None) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
