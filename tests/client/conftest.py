"""Fixtures of the client's tests: small but valid axial CT series, written file by file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

SIZE = 32
UPRIGHT = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def head_hu() -> NDArray[np.int16]:
    """A plane of air with a ring of bone around brain, and a mark front right of the middle."""
    rows, columns = np.mgrid[:SIZE, :SIZE]
    radius = np.hypot(rows - 15.5, columns - 15.5)
    hu = np.where(radius < 11, 35, np.where(radius < 13, 1000, -1000)).astype(np.int16)
    hu[8:10, 9:12] = 70
    return hu


def write_slice(path: Path, hu: NDArray[Any] | None = None, **tags: Any) -> FileDataset:
    """Write one CT slice; a tag given as None is left out of the file."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = tags.pop("TransferSyntaxUID", ExplicitVRLittleEndian)
    values: dict[str, Any] = {
        "SOPClassUID": CTImageStorage,
        "SOPInstanceUID": generate_uid(),
        "StudyInstanceUID": "1.2.3",
        "SeriesInstanceUID": "1.2.3.4",
        "FrameOfReferenceUID": "1.2.3.5",
        "PatientID": "MADE",
        "Modality": "CT",
        "Manufacturer": "GE MEDICAL SYSTEMS",
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "SeriesNumber": 2,
        "SeriesDescription": "HEAD",
        "ConvolutionKernel": "STANDARD",
        "ImagePositionPatient": [-16.0, -16.0, 0.0],
        "ImageOrientationPatient": list(UPRIGHT),
        "PixelSpacing": [6.0, 6.0],
        "Rows": SIZE,
        "Columns": SIZE,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 1,
        "RescaleSlope": 1,
        "RescaleIntercept": -1024,
        **tags,
    }
    values.setdefault("PixelData", ((head_hu() if hu is None else hu) + 1024).tobytes())
    meta.MediaStorageSOPClassUID = values["SOPClassUID"] or CTImageStorage
    meta.MediaStorageSOPInstanceUID = values["SOPInstanceUID"]
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    for keyword, value in values.items():
        if value is not None:
            setattr(dataset, keyword, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return dataset


def write_series(folder: Path, z_mm: Sequence[float] | None = None, **tags: Any) -> Path:
    """Write a series with one slice at each height; 20 slices every 5 mm unless told."""
    heights = [5.0 * index for index in range(20)] if z_mm is None else list(z_mm)
    for index, z in enumerate(heights):
        own = {"ImagePositionPatient": [-16.0, -16.0, z], "InstanceNumber": index + 1, **tags}
        write_slice(folder / f"{index:03}.dcm", **own)
    return folder


@pytest.fixture
def make_slice() -> Callable[..., FileDataset]:
    """`write_slice`, for tests that need one file."""
    return write_slice


@pytest.fixture
def make_series() -> Callable[..., Path]:
    """`write_series`, for tests that need a study."""
    return write_series


@pytest.fixture
def made_hu() -> NDArray[np.int16]:
    """The Hounsfield units that every made slice holds."""
    return head_hu()
