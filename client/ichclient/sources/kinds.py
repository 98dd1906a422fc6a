"""The first bytes of a file -> which kind of archive it is, if it is one."""

from __future__ import annotations

from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["zip", "tar", "gzip", "zstandard", "bzip2", "xz", "7z", "rar"]

START_BYTES = 512
READ: tuple[Kind, ...] = ("zip", "tar", "gzip", "zstandard")
_TAR_MARK = slice(257, 262)
_DICOM_MARK = slice(128, 132)
_MARKS: tuple[tuple[bytes, Kind], ...] = (
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"PK\x07\x08", "zip"),
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstandard"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"Rar!\x1a\x07", "rar"),
)


def archive_kind(start: bytes) -> Kind | None:
    """The kind of archive that begins with `start` (512 bytes tell); None for anything else."""
    if start[_DICOM_MARK] == b"DICM":
        return None
    if start[_TAR_MARK] == b"ustar":
        return "tar"
    return next((kind for mark, kind in _MARKS if start.startswith(mark)), None)
