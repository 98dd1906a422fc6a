"""DICOMDIR -> a folder of links to the files that it lists.

The records are read one by one and not with pydicom's FileSet: that needs a complete tree of
records and leaves out files that are missing, while scanners also write trees without a first
record, and directory files that list further directory files (Philips). Only links are made, so
nothing is copied; a file that is missing stays a link to nothing, which the header scan tells.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path

from ichclient.errors import CannotWrite, RefusedInput

_DICOMDIR_CLASS = "1.2.840.10008.1.3.10"
_MARK_AT, _MARK = 128, b"DICM"
_IN_USE, _NOT_IN_USE = 0xFFFF, 0
# A directory cut short points behind its end; pydicom reads the records that are left.
_OFFSETS = ("OffsetOfTheNextDirectoryRecord", "OffsetOfReferencedLowerLevelDirectoryEntity")
# The standard allows eight; more is nothing that a scanner wrote.
_DEEPEST = 16


def is_dicomdir(path: Path) -> bool:
    """Whether a file says that it is a DICOM directory; its name does not matter."""
    from pydicom.filereader import read_file_meta_info

    try:
        with path.open("rb") as file:
            if file.read(_MARK_AT + len(_MARK))[_MARK_AT:] != _MARK:
                return False
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            meta = read_file_meta_info(path)
            return str(meta.get("MediaStorageSOPClassUID", "")) == _DICOMDIR_CLASS
    except Exception:  # a broken header is the header scan's to tell
        return False


def link_listed_files(directory: Path, folder: Path, max_files: int) -> None:
    """Link every file that the DICOM directory at `directory` lists into `folder`.

    Raises RefusedInput where it lists a file outside its own folder, too many, or cannot be read.
    """
    root = Path(os.path.realpath(directory)).parent
    listed: dict[str, Path] = {}
    for relative in _listed(directory, root, frozenset()):
        listed[relative.as_posix()] = root / relative
        if len(listed) > max_files:
            raise RefusedInput(
                f"{directory} lists more than {max_files} files. Give one study, or raise "
                "--max-files. [too_many_files]"
            )
    if not listed:
        raise RefusedInput(f"{directory} lists no files. Give the folder instead. [dicomdir]")
    try:
        for name, file in listed.items():
            link = folder / name
            link.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            link.symlink_to(file)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise CannotWrite(
            f"The temporary folder cannot be written ({reason}): name another in TMPDIR."
        ) from error


def _listed(directory: Path, root: Path, above: frozenset[Path]) -> Iterator[Path]:
    """Files that a directory lists, relative to `root`; those of directories it lists as well."""
    real = Path(os.path.realpath(directory))
    if real in above or len(above) >= _DEEPEST:
        return
    for parts in _referenced(directory):
        path = _found(root, parts)
        if (
            any("/" in part or part in ("", ".", "..") for part in parts)
            or not Path(os.path.realpath(path)).is_relative_to(root)
        ):  # fmt: skip
            raise RefusedInput(
                f"{directory} lists {'/'.join(parts)[:200]!r}, which is outside its folder. Do not "
                "trust it; give the folder of the study instead. [unsafe_dicomdir]"
            )
        if path.is_file() and is_dicomdir(path):
            yield from _listed(path, root, above | {real})
        else:
            yield path.relative_to(root)


def _referenced(directory: Path) -> Iterator[tuple[str, ...]]:
    """The file of each record that has one and is in use, as the parts of its path."""
    from pydicom import config, dcmread

    size = directory.stat().st_size
    try:
        with warnings.catch_warnings(), config.disable_value_validation():
            warnings.simplefilter("ignore")
            for record in dcmread(directory).get("DirectoryRecordSequence") or ():
                if any((record.get(keyword) or 0) >= size for keyword in _OFFSETS):
                    raise EOFError("a record that it points to is missing")
                value = record.get("ReferencedFileID")
                if not value or record.get("RecordInUseFlag", _IN_USE) == _NOT_IN_USE:
                    continue
                yield (value,) if isinstance(value, str) else tuple(map(str, value))
    except Exception as error:  # pydicom raises many kinds on broken bytes
        if isinstance(error, RefusedInput):
            raise
        raise RefusedInput(
            f"{directory} cannot be read as a DICOM directory ({type(error).__name__}). Give the "
            "folder of the study instead. [damaged_dicomdir]"
        ) from error


def _found(root: Path, parts: tuple[str, ...]) -> Path:
    """The path of a listed file; discs that were copied may spell it in small letters."""
    path = root
    for part in parts:
        exact = path / part
        if not exact.exists() and path.is_dir():
            spelled = (each for each in path.iterdir() if each.name.lower() == part.lower())
            exact = next(spelled, exact)
        path = exact
    return path
