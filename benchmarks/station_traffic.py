"""The two ends of a station: a modality that sends studies, and a PACS that takes objects.

Both live in the process that measures, so that one clock tells when an image was answered and when
an object came.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from pynetdicom import AE, evt

from benchmarks.errors import BenchmarkError

REPORT = "1.2.840.10008.5.1.4.1.1.88.34"
OBJECTS = (
    REPORT, "1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.7",
    "1.2.840.10008.5.1.4.1.1.88.59",
)  # fmt: skip
_AWAITED_S = 1800.0
_SIZE = 32


@dataclass(frozen=True)
class Arrival:
    """One object that came, and when (`perf_counter`)."""

    study: str
    SOPClassUID: str
    SOPInstanceUID: str
    at: float


@dataclass
class Pacs:
    """What came so far."""

    port: int
    arrivals: list[Arrival] = field(default_factory=list)
    _came: threading.Condition = field(default_factory=threading.Condition)

    def take(self, event: Any) -> int:
        """Note an object; a second coming of one is refused, and ends the measurement later."""
        dataset, request = event.dataset, event.request
        arrival = Arrival(
            str(dataset.StudyInstanceUID), str(request.AffectedSOPClassUID),
            str(request.AffectedSOPInstanceUID), time.perf_counter(),
        )  # fmt: skip
        with self._came:
            self.arrivals.append(arrival)
            self._came.notify_all()
        return 0

    def await_reports(self, studies: Sequence[str]) -> None:
        """Wait until the report of every study is there."""
        with self._came:
            if not self._came.wait_for(lambda: self._reported(studies), _AWAITED_S):
                raise BenchmarkError("Not every study was judged and delivered in half an hour.")

    def _reported(self, studies: Sequence[str]) -> bool:
        return set(studies) <= {one.study for one in self.arrivals if one.SOPClassUID == REPORT}

    def refuse_doubles(self) -> None:
        """Raise BenchmarkError where an object came twice."""
        uids = [one.SOPInstanceUID for one in self.arrivals]
        if len(uids) != len(set(uids)):
            raise BenchmarkError("An object was delivered twice.")


@contextmanager
def running_pacs() -> Iterator[Pacs]:
    """A storage service on a free loopback port."""
    entity = AE("PACS")
    for uid in OBJECTS:
        entity.add_supported_context(uid, [ExplicitVRLittleEndian])
    pacs = Pacs(0)
    server = entity.start_server(
        ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, pacs.take)]
    )
    assert server is not None  # it does not block
    pacs.port = int(server.server_address[1])
    try:
        yield pacs
    finally:
        server.shutdown()


def images_of(folder: Path) -> list[Dataset]:
    """The images of a study, uncompressed, as a modality would hold them."""
    images: list[Dataset] = [dcmread(path) for path in sorted(folder.glob("*.dcm"))]
    if not images:
        raise BenchmarkError(f"{folder} holds no file of the name *.dcm.")
    for image in images:
        if image.file_meta.TransferSyntaxUID.is_compressed:
            image.decompress(generate_instance_uid=False)
    return images


def tiny_images() -> list[Dataset]:
    """Ten slices of 32 x 32 pixels, a ring of bone with brain in it: judged, and soon."""
    rows, columns = np.mgrid[:_SIZE, :_SIZE]
    radius = np.hypot(rows - 15.5, columns - 15.5)
    hu = np.where(radius < 11, 35, np.where(radius < 13, 1000, -1000)).astype(np.int16)
    images = []
    for number in range(10):
        image = Dataset()
        image.file_meta = FileMetaDataset()
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        image.SOPClassUID, image.Modality = CTImageStorage, "CT"
        image.PatientID, image.PatientName = "MADE", ""
        image.Manufacturer, image.SeriesDescription = "MADE", "HEAD"
        image.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        image.FrameOfReferenceUID, image.SeriesNumber = "1.2.3.5", 2
        image.ImagePositionPatient = [-96.0, -96.0, 9.0 * number]
        image.ImageOrientationPatient = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
        image.PixelSpacing, image.InstanceNumber = [6.0, 6.0], number + 1
        image.ConvolutionKernel = "STANDARD"
        image.Rows = image.Columns = _SIZE
        image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
        image.BitsAllocated = image.BitsStored = 16
        image.HighBit, image.PixelRepresentation = 15, 1
        image.RescaleSlope, image.RescaleIntercept = 1, -1024
        image.PixelData = (hu + 1024).tobytes()
        images.append(image)
    return images


def as_study(images: Sequence[Dataset], study: str) -> Iterator[Dataset]:
    """The same pixels as another study; one image at a time, changed in place."""
    series = generate_uid()
    for image in images:
        image.StudyInstanceUID, image.SeriesInstanceUID = study, series
        image.SOPInstanceUID = generate_uid()
        image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
        image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID
        yield image


def send(port: int, images: Sequence[Dataset], studies: Sequence[str]) -> dict[str, float]:
    """Send studies one after the other; when the last image of each was answered."""
    entity = AE("MODALITY")
    entity.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
    association = entity.associate("127.0.0.1", port, ae_title="ICHCLIENT")
    if not association.is_established:
        raise BenchmarkError("The station takes no association.")
    answered = {}
    for study in studies:
        for image in as_study(images, study):
            status = association.send_c_store(image).get("Status")
            if status != 0:
                association.abort()
                raise BenchmarkError(f"The station refused an image with status {status}.")
        answered[study] = time.perf_counter()
    association.release()
    return answered
