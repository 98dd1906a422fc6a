"""An object that highdicom built -> the bytes of its file: whose it is, when it began, stamped.

highdicom stamps objects with the present; the same result would then be other bytes each time.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from ichclient.objects.judgement import PRODUCT, Provenance
from ichclient.objects.sources import SourceStudy

if TYPE_CHECKING:
    from pydicom import Dataset

MANUFACTURER = PRODUCT
UTF8 = "ISO_IR 192"
_DATES = ("InstanceCreationDate", "ContentDate", "SeriesDate", "DateOfSecondaryCapture")
_TIMES = ("InstanceCreationTime", "ContentTime", "SeriesTime", "TimeOfSecondaryCapture")
_LOSSY = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")


def equipment(version: str, **facts: Any) -> dict[str, Any]:
    """What every object says of its maker, as highdicom's arguments."""
    return {
        "manufacturer": MANUFACTURER,
        "manufacturer_model_name": PRODUCT,
        "software_versions": version,
        **facts,
    }


def copy_lossy(dataset: Dataset, source: SourceStudy) -> None:
    """What was made of lossy images is lossy itself, and says how much as they do."""
    if source.first.get("LossyImageCompression") == "01":
        for keyword in _LOSSY:
            if keyword in source.first:
                setattr(dataset, keyword, source.first[keyword].value)


def bytes_of(dataset: Dataset, source: SourceStudy, provenance: Provenance) -> bytes:
    """The file of an object: patient and study as the source has them, times of the analysis."""
    copied: Any = dataset
    copied.copy_patient_and_study_information(source.first)
    if source.first.get("PatientIdentityRemoved") == "YES" and not _method_is_told(dataset):
        dataset.DeidentificationMethod = "Not stated in the source images"
    if "TimezoneOffsetFromUTC" in source.first:
        dataset.TimezoneOffsetFromUTC = source.first.TimezoneOffsetFromUTC
    dataset.SeriesDate = dataset.SeriesTime = ""
    for keyword in _DATES:
        if keyword in dataset:
            setattr(dataset, keyword, provenance.began.strftime("%Y%m%d"))
    for keyword in _TIMES:
        if keyword in dataset:
            setattr(dataset, keyword, provenance.began.strftime("%H%M%S.%f"))
    for item in dataset.get("ContributingEquipmentSequence", []):
        if "ContributionDateTime" in item:
            item.ContributionDateTime = provenance.began.strftime("%Y%m%d%H%M%S.%f")
    _organise(dataset, provenance.uid("dimensions"))
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _organise(dataset: Dataset, uid: str) -> None:
    """Give the dimensions of a multi-frame object a UID that is not drawn by chance."""
    for item in dataset.get("DimensionOrganizationSequence", []):
        item.DimensionOrganizationUID = uid
    for item in dataset.get("DimensionIndexSequence", []):
        item.DimensionOrganizationUID = uid


def _method_is_told(dataset: Dataset) -> bool:
    """A file that names no patient has to say how; some that lie about do not."""
    told = (
        dataset.get("DeidentificationMethod"),
        dataset.get("DeidentificationMethodCodeSequence"),
    )
    return any(told)
