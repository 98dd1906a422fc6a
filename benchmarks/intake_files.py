"""CT slices -> long series of files in one transfer syntax, for the intake benchmark.

The slices are real ones, taken from a study, or made: a head of ellipses with a scanner's noise.
Each file of a series has its own place and UID; pixels are repeated, since what they show changes
nothing about what they cost.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    RLELossless,
)

from benchmarks.errors import BenchmarkError
from ichclient.dicom import headers_from_path
from ichclient.series import chosen_series, series_from_scan

SYNTAXES = {
    "uncompressed": str(ExplicitVRLittleEndian),
    "jpeg_2000": str(JPEG2000Lossless),
    "jpeg_lossless": str(JPEGLosslessSV1),
    "rle": str(RLELossless),
}
_MATRIX = 512
_MADE = 8
_NOISE_HU = 6
_LONGEST_SPACING_MM = 10.0
_HEIGHT_MM = 160.0


def slices_from_study(study: Path | None) -> list[Dataset]:
    """The slices of the series that would be judged, or made ones where no study is given."""
    if study is None:
        return [_made(seed) for seed in range(_MADE)]
    series = chosen_series(series_from_scan(headers_from_path(study)))
    return [dcmread(header.path) for header in series.slices]


def write_headers(folder: Path, slices: Sequence[Dataset], files: int) -> None:
    """Files whose headers are worth scanning, as they are; each with a UID of its own."""
    folder.mkdir()
    for number in range(files):
        dataset = slices[number % len(slices)]
        _name(dataset, number, float(number))
        dataset.save_as(folder / f"{number:05}.dcm", enforce_file_format=True)


def write_series(folder: Path, slices: Sequence[Dataset], syntax: str, count: int) -> Path:
    """One series of `count` slices in a transfer syntax; raises BenchmarkError without a codec."""
    folder.mkdir()
    for dataset in slices:
        _name(dataset, 0, 0.0)
    encoded = [_encoded(dataset, syntax) for dataset in slices[:count]]
    spacing_mm = min(_LONGEST_SPACING_MM, _HEIGHT_MM / count)
    for number in range(count):
        dataset = encoded[number % len(encoded)]
        _name(dataset, number, spacing_mm * number)
        dataset.save_as(folder / f"{number:05}.dcm", enforce_file_format=True)
    return folder


def _name(dataset: Dataset, number: int, height_mm: float) -> None:
    """Give a slice a UID and a place; the place is upright, so that any number of them stack."""
    dataset.SOPInstanceUID = f"1.2.826.0.1.3680043.10.1.{number + 1}"
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.InstanceNumber = number + 1
    dataset.ImagePositionPatient = [-125.0, -125.0, round(height_mm, 4)]
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]


def _encoded(dataset: Dataset, syntax: str) -> Any:
    """A copy in another transfer syntax; lossless JPEG is written by GDCM, the rest by pydicom."""
    copy: Any = deepcopy(dataset)
    if syntax == "uncompressed":
        return copy
    if syntax == "jpeg_lossless":
        return _encode_by_gdcm(copy)
    copy.compress(SYNTAXES[syntax], generate_instance_uid=False)
    return copy


def _encode_by_gdcm(dataset: Dataset) -> Dataset:
    """The same slice with JPEG Lossless pixels, by way of files: GDCM's objects outlive less."""
    try:
        import gdcm
    except ImportError as error:
        raise BenchmarkError(
            "JPEG Lossless is written with python-gdcm, which is absent"
        ) from error
    with tempfile.TemporaryDirectory() as name:
        plain, coded = f"{name}/plain.dcm", f"{name}/coded.dcm"
        dataset.save_as(plain, enforce_file_format=True)
        reader = gdcm.ImageReader()
        reader.SetFileName(plain)
        change = gdcm.ImageChangeTransferSyntax()
        change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
        if reader.Read():
            change.SetInput(reader.GetImage())
            writer = gdcm.ImageWriter()
            writer.SetFileName(coded)
            writer.SetFile(reader.GetFile())
            if change.Change():
                writer.SetImage(change.GetOutput())
                if writer.Write():
                    written = dcmread(coded)
                    dataset.PixelData = written.PixelData
                    dataset["PixelData"].VR = "OB"
                    dataset["PixelData"].is_undefined_length = True
                    dataset.file_meta.TransferSyntaxUID = JPEGLosslessSV1
                    return dataset
    raise BenchmarkError("JPEG Lossless cannot be written from these slices")


def _made(seed: int) -> FileDataset:
    """A head of ellipses with noise, 512 x 512, and a header as long as a scanner's."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[-1 : 1 : _MATRIX * 1j, -1 : 1 : _MATRIX * 1j]
    radius = np.hypot(rows, columns * 1.2)
    hu = np.where(radius < 0.7, 35.0, np.where(radius < 0.78, 1100.0, -1000.0))
    hu += rng.normal(0, _NOISE_HU, hu.shape)
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = CTImageStorage
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    values: dict[str, Any] = {
        "SOPClassUID": CTImageStorage, "StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "1.2.3.4",
        "FrameOfReferenceUID": "1.2.3.5", "PatientID": "MADE", "Modality": "CT",
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"], "SeriesNumber": 2,
        "SeriesDescription": "HEAD", "ConvolutionKernel": "STANDARD", "PixelSpacing": [0.49, 0.49],
        "Rows": _MATRIX, "Columns": _MATRIX, "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2", "BitsAllocated": 16, "BitsStored": 16,
        "HighBit": 15, "PixelRepresentation": 1, "RescaleSlope": 1, "RescaleIntercept": 0,
        "SliceThickness": 5, "KVP": 120, "WindowCenter": 35, "WindowWidth": 100,
        "PixelData": np.rint(hu).astype("<i2").tobytes(),
    }  # fmt: skip
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    block = dataset.private_block(0x0043, "ICH BENCHMARK", create=True)
    for element in range(60):
        block.add_new(element, "LO", f"value {element}")
    return dataset
