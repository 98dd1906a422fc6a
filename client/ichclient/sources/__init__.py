"""What the user named -> a folder or file on this disk, for as long as it is read.

    folder, DICOM file      as it is
    zip, tar, gz, zst       unpacked             archives.py
    DICOMDIR                the files it lists   dicomdir.py
    dicomweb:URL?...        fetched              dicomweb.py
    dimse:AET@HOST:PORT?... fetched              dimse.py

Whatever was put on disk for it lies in a folder that only this user can read, and is gone when the
study has been read, also after an error and after Ctrl-C.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ichclient.errors import RefusedInput
from ichclient.sources.address import Address, DicomwebAddress, DimseAddress, address_from_text
from ichclient.sources.folder import called, private_folder
from ichclient.sources.kinds import START_BYTES, archive_kind
from ichclient.sources.limits import Intake, Limits
from ichclient.sources.options import Progress, SourceOptions

__all__ = ["Limits", "SourceOptions", "address_from_text", "opened_source"]


@contextmanager
def opened_source(
    study: str | Path,
    options: SourceOptions | None = None,
    progress: Progress = lambda *_: None,
) -> Iterator[Path]:
    """The study that a text names, as a path for `headers_from_path`; gone at the end.

    `progress` hears the stage `fetching` or `unpacking`. Raises IchClientError; in the errors of
    whoever reads the study the temporary folder is called by the name that the user gave.
    """
    options = options or SourceOptions()
    try:
        address = address_from_text(study) if isinstance(study, str) else study
    except ValueError as error:
        raise RefusedInput(f"That names no study: {error}.") from error
    if isinstance(address, Path) and not _needs_a_folder(address):
        yield address
        return
    with private_folder() as folder, called(folder, _name(address), "!/"):
        _fill(folder, address, options, progress)
        yield folder


def _needs_a_folder(path: Path) -> bool:
    from ichclient.sources.dicomdir import is_dicomdir

    return path.is_file() and (archive_kind(_start(path)) is not None or is_dicomdir(path))


def _fill(folder: Path, address: Address, options: SourceOptions, progress: Progress) -> None:
    """Put the files of a study into the empty `folder`."""
    limits = options.limits
    if isinstance(address, DicomwebAddress):
        from ichclient.sources.dicomweb import fetch_by_dicomweb

        intake = Intake(folder, _name(address), limits, limits.max_bytes)
        fetch_by_dicomweb(address, options, intake, progress)
    elif isinstance(address, DimseAddress):
        from ichclient.sources.dimse import fetch_by_dimse

        intake = Intake(folder, _name(address), limits, limits.max_bytes)
        fetch_by_dimse(address, options, intake, progress)
    elif kind := archive_kind(_start(address)):
        from ichclient.sources.archives import unpack_archive

        progress("unpacking", 0, 0)
        allowed = limits.bytes_from_archive(address.stat().st_size)
        unpack_archive(address, kind, Intake(folder, _name(address), limits, allowed))
    else:
        from ichclient.sources.dicomdir import link_listed_files

        link_listed_files(address, folder, limits.max_files)


def _name(address: Address) -> str:
    """What errors call a study; what was asked for may identify a patient, and stays out."""
    if isinstance(address, DicomwebAddress):
        return address.url
    if isinstance(address, DimseAddress):
        return str(address.node)
    return str(address)


def _start(path: Path) -> bytes:
    """The first bytes of a file; none where it cannot be read, which the header scan tells."""
    try:
        with path.open("rb") as file:
            return file.read(START_BYTES)
    except OSError:
        return b""
