"""DICOM file -> whose it is and where it belongs; the one file of this room that knows pydicom.

`ichclient.headers` keeps no patient on purpose. Training must know patients, to keep each in one
split, but needs no names: a PatientID becomes a code, the same for the same patient in any run.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ichtrain.errors import DataError

_TAGS = ["PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"]


@dataclass(frozen=True)
class Identity:
    """The UIDs of one DICOM file and its PatientID as it stands in the file."""

    PatientID: str
    StudyInstanceUID: str
    SeriesInstanceUID: str
    SOPInstanceUID: str

    @property
    def patient(self) -> str:
        """A code for the PatientID. It hides the number from a glance, not from a search."""
        return "P" + hashlib.sha256(self.PatientID.encode()).hexdigest()[:16]


def identity_from_file(path: Path) -> Identity:
    """Read whose file this is.

    Raises `DataError` where it is no readable DICOM, or lacks one of the four.
    """
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    try:
        with quiet():
            dataset = dcmread(path, stop_before_pixels=True, specific_tags=[*_TAGS])
            found = {tag: str(dataset.get(tag) or "").strip() for tag in _TAGS}
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}).") from error
    except InvalidDicomError as error:
        raise DataError(f"{path} is no DICOM file. Copy it again.") from error
    except Exception as error:  # pydicom raises many kinds on broken bytes
        raise DataError(f"{path} is broken DICOM ({type(error).__name__}).") from error
    missing = [tag for tag in _TAGS if not found[tag]]
    if missing:
        raise DataError(f"{path} holds no {', '.join(missing)}, so where it belongs is unknown.")
    return Identity(**found)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep pydicom from printing values that it dislikes: they may identify a patient."""
    from pydicom import config

    with warnings.catch_warnings(), config.disable_value_validation():
        warnings.simplefilter("ignore")
        yield
