"""A study and a repository that a benchmark can be run on within seconds."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from ichcore import Calibration
from ichexport.engines import onnxruntime_from_onnx
from ichexport.repository import spec_of_repository, write_repository

CHECKOUT = Path(__file__).parents[2]
SLICES = 10


@pytest.fixture(scope="session")
def study_hu() -> NDArray[np.float16]:
    """The golden slices over and over, each with a ring that is different: [10, 1, R, C]."""
    with np.load(CHECKOUT / "model_repository" / "golden.npz", allow_pickle=False) as golden:
        hu = golden["HU"][np.arange(SLICES) % len(golden["HU"])].astype(np.float32)
    rows, columns = np.mgrid[: hu.shape[2], : hu.shape[3]] - 127.5
    for index, one in enumerate(hu):
        one[0][np.hypot(rows, columns) < 10 + 4 * index] += 6 * index
    return np.asarray(np.clip(np.rint(hu), -1024, 2047), dtype=np.float16)


@pytest.fixture(scope="session")
def study(
    study_hu: NDArray[np.float16],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """These slices as a CT series, 10 mm apart, on the pixels of the grid."""
    folder = tmp_path_factory.mktemp("study")
    for index, hu in enumerate(study_hu[:, 0]):
        write_slice(folder / f"{index:02}.dcm", hu.astype(np.int16), 10.0 * index)
    return folder


def write_slice(path: Path, hu: NDArray[np.int16], z: float) -> None:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    values = {
        "SOPClassUID": CTImageStorage,
        "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "StudyInstanceUID": "1.2.3",
        "SeriesInstanceUID": "1.2.3.4",
        "FrameOfReferenceUID": "1.2.3.5",
        "PatientID": "MADE",
        "Modality": "CT",
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "SeriesNumber": 2,
        "SeriesDescription": "HEAD",
        "ConvolutionKernel": "STANDARD",
        "ImagePositionPatient": [-128.0, -128.0, z],
        "ImageOrientationPatient": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
        "PixelSpacing": [1.0, 1.0],
        "Rows": hu.shape[0],
        "Columns": hu.shape[1],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 1,
        "RescaleSlope": 1,
        "RescaleIntercept": 0,
        "PixelData": hu.tobytes(),
    }
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    dataset.save_as(path, enforce_file_format=True)


@pytest.fixture(scope="session")
def repository(
    study_hu: NDArray[np.float16],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The bundle, calibrated so that the study's slices have scores far from each other."""
    folder = tmp_path_factory.mktemp("bundle") / "model_repository"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(CHECKOUT / "model_repository", folder, ignore=ignored)
    spec = spec_of_repository(folder)
    members = []
    for member in spec.members:
        run = onnxruntime_from_onnx(folder / member.name / "1" / "model.onnx")
        logit = np.asarray(run(study_hu)["LOGIT"], np.float64)
        slope = float(1.5 / logit.std())
        calibration = Calibration(slope=slope, intercept=float(-slope * logit.mean()))
        members.append(replace(member, calibration=calibration))
    write_repository(folder, replace(spec, members=tuple(members)))
    return folder
