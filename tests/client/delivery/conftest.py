"""Objects to deliver, as small as DICOM allows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

STUDY, SERIES = "1.2.3", "1.2.3.9"


def write_object(
    file: Path,
    uid: str,
    sop_class: str = SecondaryCaptureImageStorage,
    remark: str = "",
    syntax: str = ExplicitVRLittleEndian,
) -> Path:
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, uid
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = STUDY, SERIES
    dataset.PatientID, dataset.PatientName, dataset.Modality = "MRN-4711", "DOE^JANE", "OT"
    dataset.StudyDate, dataset.ImageComments = "20260102", remark
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    file.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(file, enforce_file_format=True)
    return file


@pytest.fixture
def write_objects() -> Callable[..., list[Path]]:
    """Write one object for each UID into a folder; their files in that order."""

    def write(folder: Path, *uids: str, **changes: str) -> list[Path]:
        return [write_object(folder / f"{uid}.dcm", uid, **changes) for uid in uids]

    return write
