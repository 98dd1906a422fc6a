"""Result -> files in a folder: written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ichclient.errors import CannotWrite


@contextmanager
def output_folder(folder: Path) -> Iterator[Path]:
    """Make the folder and prove that it can be written, before any work is done for it.

    Folders made here are removed again if the work ends in an error. Raises CannotWrite.
    """
    made: list[Path] = []
    try:
        with _told(folder):
            _make(folder, made)
            with tempfile.NamedTemporaryFile(dir=folder, prefix=".ichclient-"):
                pass
        yield folder
    except BaseException:
        for path in reversed(made):
            with contextlib.suppress(OSError):  # it holds what somebody else put there
                path.rmdir()
        raise


def write_files(folder: Path, files: Mapping[str, bytes | None]) -> None:
    """Write every file beside its place, then move all into place, in the order given.

    A name may lie in a folder below, and a content of None removes what an earlier result left
    there. A reader that sees the last file sees the others of the same result. Raises CannotWrite.
    """
    waiting: list[tuple[Path, Path]] = []
    made: list[Path] = []
    try:
        with _told(folder):
            for name, content in files.items():
                if content is not None:
                    _make((folder / name).parent, made)
                    waiting.append((_written(folder, content), folder / name))
            for name, content in files.items():
                if content is None:
                    (folder / name).unlink(missing_ok=True)
            for temporary, final in waiting:
                temporary.replace(final)
    finally:
        for temporary, _ in waiting:
            temporary.unlink(missing_ok=True)
        for path in reversed(made):
            with contextlib.suppress(OSError):  # it holds the files
                path.rmdir()


def _written(folder: Path, content: bytes) -> Path:
    descriptor, name = tempfile.mkstemp(dir=folder, prefix=".ichclient-")
    path = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        path.chmod(0o666 & ~_umask())
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return path


def _make(folder: Path, made: list[Path]) -> None:
    """Make a folder and its parents one by one, to know which of them are new."""
    missing = [folder, *folder.parents]
    for path in reversed([path for path in missing if not path.is_dir()]):
        path.mkdir()
        made.append(path)


def _umask() -> int:
    """The mode that other files of this user get; there is no way to read it but to set it."""
    current = os.umask(0)
    os.umask(current)
    return current


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise CannotWrite(
            f"{folder} cannot be written ({reason}): name another folder with --out."
        ) from error
