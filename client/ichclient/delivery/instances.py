"""A file -> which DICOM object it is, and the hash by which it is known again."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from ichclient.errors import DeliveryError

_KEYWORDS = ("SOPInstanceUID", "SOPClassUID", "StudyInstanceUID", "SeriesInstanceUID")


@dataclass(frozen=True)
class Instance:
    """One object in a file, known by its UIDs and by the SHA-256 of the whole file."""

    file: Path
    sha256: str
    SOPInstanceUID: str
    SOPClassUID: str
    StudyInstanceUID: str
    SeriesInstanceUID: str


def instance_from_file(file: Path) -> Instance:
    """Read which object a file holds; raises DeliveryError where it holds none."""
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    try:
        with file.open("rb") as content:
            sha256 = hashlib.file_digest(content, "sha256").hexdigest()
            content.seek(0)
            header = dcmread(content, stop_before_pixels=True, specific_tags=list(_KEYWORDS))
            return Instance(file, sha256, *(str(header[keyword].value) for keyword in _KEYWORDS))
    except (OSError, InvalidDicomError, KeyError) as error:
        reason = getattr(error, "strerror", None) or "it is no DICOM object"
        raise DeliveryError(
            f"{file} cannot be delivered ({reason}). Judge the study again. [no_object]"
        ) from error
