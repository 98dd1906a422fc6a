"""Headers of the judged series -> what the objects say of their source images and their patient.

Whose study it is goes from the source file into the objects and nowhere else: `SourceStudy` hides
it in its representation, and no message holds it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ichclient.errors import ObjectsError
from ichclient.headers import SliceHeader

if TYPE_CHECKING:
    from pydicom import Dataset

CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
_UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "SOPInstanceUID")
# Type 2: they have to be there, and are empty where nothing is known.
_MAY_BE_EMPTY = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyID", "StudyDate",
    "StudyTime", "AccessionNumber", "ReferringPhysicianName", "PositionReferenceIndicator",
)  # fmt: skip
_TEXT_AS_UTF8 = "ISO_IR 192"


@dataclass(frozen=True)
class SourceStudy:
    """The images that an object refers to, one dataset a slice, and the header of one of them.

    `images` carry geometry and UIDs but no identity, in the order of the slices; `frame_numbers`
    say which frame of an enhanced image each is, None for an image of one plane. `first` is the
    whole header of the first image, its text decoded.
    """

    images: tuple[Dataset, ...]
    frame_numbers: tuple[int | None, ...]
    first: Dataset = field(repr=False)


def source_study(
    headers: Sequence[SliceHeader], slice_spacing_mm: float | None = None
) -> SourceStudy:
    """What the objects need of the files of these headers; one of them is read.

    A segmentation has to say how thick its slices are: `slice_spacing_mm` where a file does not.
    Raises ObjectsError where an object could not refer to the images honestly.
    """
    for header in headers:
        _check(header)
    images = tuple(_image(header, slice_spacing_mm) for header in headers)
    numbers = tuple(header.frame_number for header in headers)
    return SourceStudy(images, numbers, _first(headers[0]))


def _check(header: SliceHeader) -> None:
    missing = [name for name in _UIDS if not getattr(header, name)]
    if missing:
        raise ObjectsError(
            f"{header.relative_path}: it has no {', '.join(missing)}, so no object can refer to "
            "it. Export the study with its UIDs, or leave --dicom out. [no_reference]"
        )


def _image(header: SliceHeader, slice_spacing_mm: float | None) -> Dataset:
    """An image as highdicom wants to see it: geometry and UIDs, and nobody's name."""
    from pydicom import Dataset

    image = Dataset()
    for name in _MAY_BE_EMPTY:
        setattr(image, name, None)
    for name in _UIDS:
        setattr(image, name, getattr(header, name))
    # `inferred_sop_class` is among the warnings of a result whose files name no class.
    image.SOPClassUID = header.SOPClassUID or CT_IMAGE_STORAGE
    image.Modality = "CT"
    image.SpecificCharacterSet = _TEXT_AS_UTF8
    if header.frame_number is not None:
        image.NumberOfFrames = header.NumberOfFrames
    image.Rows, image.Columns = header.Rows, header.Columns
    image.ImagePositionPatient = _decimals(header.ImagePositionPatient)
    image.ImageOrientationPatient = _decimals(header.ImageOrientationPatient)
    image.PixelSpacing = _decimals(header.PixelSpacing)
    if thickness_mm := header.SliceThickness or slice_spacing_mm:
        (image.SliceThickness,) = _decimals([thickness_mm])
    return image


def _decimals(values: Sequence[float] | None) -> list[str]:
    """Decimal strings of at most 16 characters, as VR DS has them."""
    from pydicom.valuerep import format_number_as_ds

    return [format_number_as_ds(float(value)) for value in values or ()]


def _first(header: SliceHeader) -> Dataset:
    from pydicom import dcmread

    try:
        dataset = dcmread(header.path, stop_before_pixels=True, force=True)
        dataset.decode()
    except Exception as error:  # pydicom raises many kinds; none may quote what it read
        raise ObjectsError(
            f"{header.relative_path}: its header cannot be read again ({type(error).__name__}), "
            "so no object can be written of it."
        ) from None
    dataset.SOPClassUID = header.SOPClassUID or CT_IMAGE_STORAGE
    return dataset
