"""Slice of a phantom -> CT Image Storage dataset (PS3.3 A.3) and its file.

The one file of this room that uses pydicom.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ichtrain.phantom.options import Phantom, PhantomOptions

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_UID_PREFIX = "1.2.826.0.1.3680043.8.498."
_DATE, _TIME = "20200101", "120000"
_COMMENT = "Synthetic research phantom made by a program; no patient was scanned."


def uid_from_options(options: PhantomOptions) -> str:
    """SeriesInstanceUID of a phantom that goes straight to a grid, known before it is made."""
    from pydicom.uid import generate_uid

    return str(generate_uid(prefix=_UID_PREFIX, entropy_srcs=[repr(options)]))


class SeriesIdentity:
    """Names and places of a phantom's instances, the same each time for the same phantom."""

    def __init__(self, phantom: Phantom) -> None:
        spacing = (phantom.pixel_spacing_mm, phantom.slice_spacing_mm, phantom.tilt_degrees)
        self._sources = [phantom.kind, str(phantom.seed), str(phantom.hu.shape), str(spacing)]
        self._sources.append(phantom.kernel)
        self._phantom = phantom
        self.study_uid = self._uid("study")
        self.series_uid = self._uid("series")
        self.frame_uid = self._uid("frame")

    def _uid(self, name: str) -> str:
        from pydicom.uid import generate_uid

        return str(generate_uid(prefix=_UID_PREFIX, entropy_srcs=[*self._sources, name]))

    def sop_instance_uid(self, index: int) -> str:
        """UID of the slice at `index`, counted from the most inferior."""
        return self._uid(f"slice {index}")

    def filename(self, index: int) -> str:
        """File name, which follows InstanceNumber."""
        return f"IM{index + 1:04d}.dcm"

    def orientation(self) -> list[float]:
        """ImageOrientationPatient: columns to the left, rows posterior and with the tilt down."""
        tilt = np.deg2rad(self._phantom.tilt_degrees)
        return [1.0, 0.0, 0.0, 0.0, round(float(np.cos(tilt)), 7), round(float(-np.sin(tilt)), 7)]

    def position_mm(self, index: int) -> list[float]:
        """ImagePositionPatient: slice centres move along z with the table, as with real tilt."""
        phantom = self._phantom
        rows, columns = phantom.hu.shape[1:]
        tilt = float(np.deg2rad(phantom.tilt_degrees))
        step = phantom.slice_spacing_mm / float(np.cos(tilt))
        down = 0.5 * phantom.pixel_spacing_mm * (rows - 1)
        across = 0.5 * phantom.pixel_spacing_mm * (columns - 1)
        position = (-across, -down * np.cos(tilt), step * index + down * np.sin(tilt))
        return [round(float(value), 5) for value in position]


def dataset_from_slice(phantom: Phantom, identity: SeriesIdentity, index: int) -> Dataset:
    """The CT image of one slice, uncompressed, explicit VR little endian."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = identity.sop_instance_uid(index)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    _set_patient_and_study(dataset, phantom, identity)
    _set_series_and_equipment(dataset, phantom, identity)
    _set_plane(dataset, phantom, identity, index)
    _set_pixels(dataset, phantom, index)
    return dataset


def _set_patient_and_study(dataset: Dataset, phantom: Phantom, identity: SeriesIdentity) -> None:
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.PatientName = f"PHANTOM^{phantom.kind.upper()}"
    dataset.PatientID = f"PHANTOM-{phantom.seed}"
    dataset.PatientBirthDate = ""
    dataset.PatientSex = "O"
    dataset.StudyInstanceUID = identity.study_uid
    dataset.StudyDate = dataset.SeriesDate = dataset.AcquisitionDate = dataset.ContentDate = _DATE
    dataset.StudyTime = dataset.SeriesTime = dataset.AcquisitionTime = dataset.ContentTime = _TIME
    dataset.AccessionNumber = ""
    dataset.ReferringPhysicianName = ""
    dataset.StudyID = str(phantom.seed)
    dataset.StudyDescription = "HEAD PHANTOM"


def _set_series_and_equipment(dataset: Dataset, phantom: Phantom, identity: SeriesIdentity) -> None:
    dataset.Modality = "CT"
    dataset.SeriesInstanceUID = identity.series_uid
    dataset.SeriesNumber = 2
    dataset.SeriesDescription = f"HEAD {phantom.slice_spacing_mm:.0f}MM PHANTOM"
    dataset.BodyPartExamined = "HEAD"
    dataset.PatientPosition = "HFS"
    dataset.ProtocolName = "HEAD PHANTOM"
    dataset.FrameOfReferenceUID = identity.frame_uid
    dataset.PositionReferenceIndicator = "OM"
    dataset.Manufacturer = "ich-triton"
    dataset.ManufacturerModelName = "procedural phantom"
    dataset.DeviceSerialNumber = "0"
    dataset.SoftwareVersions = "1"
    dataset.KVP = "120"
    dataset.GantryDetectorTilt = f"{phantom.tilt_degrees:.3f}"
    dataset.ConvolutionKernel = "STANDARD" if phantom.kernel == "soft" else "SHARP"
    dataset.ImageComments = _COMMENT


def _set_plane(dataset: Dataset, phantom: Phantom, identity: SeriesIdentity, index: int) -> None:
    position = identity.position_mm(index)
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.AcquisitionNumber = 1
    dataset.InstanceNumber = index + 1
    dataset.ImagePositionPatient = [f"{value:.5f}" for value in position]
    dataset.ImageOrientationPatient = [f"{value:.7f}" for value in identity.orientation()]
    table_step = phantom.slice_spacing_mm / float(np.cos(np.deg2rad(phantom.tilt_degrees)))
    dataset.SliceLocation = f"{table_step * index:.4f}"
    dataset.SliceThickness = f"{phantom.slice_spacing_mm:.4f}"
    dataset.SpacingBetweenSlices = f"{phantom.slice_spacing_mm:.4f}"
    dataset.PixelSpacing = [f"{phantom.pixel_spacing_mm:.6f}"] * 2


def _set_pixels(dataset: Dataset, phantom: Phantom, index: int) -> None:
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = phantom.hu.shape[1:]
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit = 15
    dataset.PixelRepresentation = 1
    dataset.RescaleIntercept = "0"
    dataset.RescaleSlope = "1"
    dataset.RescaleType = "HU"
    dataset.WindowCenter = "40"
    dataset.WindowWidth = "80"
    dataset.PixelData = np.ascontiguousarray(phantom.hu[index], dtype="<i2").tobytes()


def write_dataset(dataset: Dataset, path: Path, compress: bool) -> None:
    """Write one Part 10 file; with `compress` its pixels become JPEG 2000 Lossless."""
    from pydicom.uid import JPEG2000Lossless

    if compress:
        dataset.compress(JPEG2000Lossless, encoding_plugin="pylibjpeg", generate_instance_uid=False)
    dataset.save_as(path, enforce_file_format=True)
