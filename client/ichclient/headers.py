"""What a DICOM file says about itself: the typed values between `dicom.py` and `series.py`.

Nothing here reads a file or knows pydicom. Attributes carry their DICOM keyword; a value that a
file does not hold, or holds in a broken form, is `None` (or empty), and broken ones are named in
`SliceHeader.malformed`. No patient name, birth date or identifier is kept: `patient_key` is a
keyed hash that only tells two patients apart within one run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

Fact: TypeAlias = str | int | float | bool | None
Vector3: TypeAlias = tuple[float, float, float]

ENHANCED_CT_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.2.1": "Enhanced CT Image Storage",
    "1.2.840.10008.5.1.4.1.1.2.2": "Legacy Converted Enhanced CT Image Storage",
}
CT_IMAGE_CLASSES = {"1.2.840.10008.5.1.4.1.1.2": "CT Image Storage", **ENHANCED_CT_CLASSES}


@dataclass(frozen=True)
class Verdict:
    """A judgement as data: what was decided about a file or series, and why.

    `code` is stable and machine readable, `sentence` is for people, `path` is relative to the
    study (empty for a series), and `facts` are the values the judgement rests on.
    """

    code: str
    sentence: str
    path: str = ""
    facts: Mapping[str, Fact] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """A verdict without a code or a reason is no verdict."""
        if not self.code or not self.sentence:
            raise ValueError(f"a verdict needs a code and a sentence, got {self!r}")


@dataclass(frozen=True)
class Warning_:  # noqa: N801 - `Warning` is a builtin; the underscore keeps the domain's word
    """Something that was fixed for certain or must be known beside a result."""

    code: str
    sentence: str


def told_once(warnings: Iterable[Warning_]) -> tuple[Warning_, ...]:
    """Each code once, with its first sentence and how many other slices it holds for."""
    by_code: dict[str, dict[str, None]] = {}
    for warning in warnings:
        by_code.setdefault(warning.code, {})[warning.sentence] = None
    return tuple(
        Warning_(code, first if not rest else f"{first} The same holds for {len(rest)} more.")
        for code, (first, *rest) in by_code.items()
    )


@dataclass(frozen=True)
class SliceHeader:
    """The header of one CT plane, without its pixels: a file, or one frame of an enhanced image.

    `PixelSpacing` is (row spacing, column spacing) in mm, as DICOM orders it: the distance
    between rows comes first. `pixel_offset` is the byte where the pixel data element begins
    (0 in a deflated file, where no such place exists). `frame_index` counts the frames of an
    enhanced image from 0 and is None for any other file. `file_bytes` and `modified_ns` are what
    the file was like when its header was read. `identified` says whether PatientID is filled,
    `named_phantom` whether it or PatientName begins with a word for a phantom; the words
    themselves are not kept. `inferred_spacing` says that PixelSpacing is that of
    ReconstructionDiameter, `forced` that the file names no transfer syntax or lacks the DICOM mark.
    """

    path: Path
    relative_path: str
    SOPInstanceUID: str = ""
    SOPClassUID: str = ""
    StudyInstanceUID: str = ""
    SeriesInstanceUID: str = ""
    FrameOfReferenceUID: str = ""
    TransferSyntaxUID: str = ""
    Modality: str = ""
    Manufacturer: str = ""
    SeriesNumber: int | None = None
    SeriesDescription: str = ""
    ImageType: tuple[str, ...] = ()
    InstanceNumber: int | None = None
    AcquisitionNumber: int | None = None
    ImagePositionPatient: Vector3 | None = None
    ImageOrientationPatient: tuple[float, float, float, float, float, float] | None = None
    PixelSpacing: tuple[float, float] | None = None
    SliceThickness: float | None = None
    Rows: int | None = None
    Columns: int | None = None
    NumberOfFrames: int = 1
    SamplesPerPixel: int = 1
    PhotometricInterpretation: str = ""
    BitsAllocated: int | None = None
    BitsStored: int | None = None
    PixelRepresentation: int | None = None
    ConvolutionKernel: str = ""
    ContrastBolusAgent: str = ""
    BodyPartExamined: str = ""
    PatientPosition: str = ""
    WindowCenter: float | None = None
    RescaleSlope: float | None = None
    RescaleIntercept: float | None = None
    RescaleType: str = ""
    PixelPaddingValue: int | None = None
    PixelPaddingRangeLimit: int | None = None
    LossyImageCompression: str = ""
    LossyImageCompressionRatio: float | None = None
    StackID: str = ""
    TemporalPositionIndex: int | None = None
    StudyDescription: str = ""
    QualityControlImage: str = ""
    age_years: float | None = None
    identified: bool = True
    named_phantom: bool = False
    inferred_spacing: bool = False
    forced: bool = False
    frame_index: int | None = None
    malformed: tuple[str, ...] = ()
    pixel_offset: int = 0
    file_bytes: int = 0
    modified_ns: int = 0
    patient_key: str = field(default="", repr=False)

    @property
    def frame_number(self) -> int | None:
        """DICOM's ReferencedFrameNumber, counted from 1; None for a file of a single plane."""
        return None if self.frame_index is None else self.frame_index + 1

    @property
    def place(self) -> str:
        """Where the plane is, for a sentence: the file, and which of its frames."""
        frame = "" if self.frame_number is None else f" frame {self.frame_number}"
        return f"{self.relative_path}{frame}"

    @property
    def is_ct_image(self) -> bool:
        """Whether the file is an image of a CT storage class (a screen capture of CT is not).

        Some public files carry no class at all; their Modality speaks for them then.
        """
        return self.SOPClassUID in CT_IMAGE_CLASSES or (
            not self.SOPClassUID and self.Modality == "CT"
        )

    @property
    def is_stackable(self) -> bool:
        """Whether the slice says where it lies, so that it can be ordered among others."""
        return (
            self.is_ct_image
            and self.ImagePositionPatient is not None
            and self.ImageOrientationPatient is not None
            and self.PixelSpacing is not None
        )


@dataclass(frozen=True)
class Scan:
    """Every image header found under one path, and every other file with the reason it is not one.

    Both are ordered by path relative to `root`.
    """

    root: Path
    headers: tuple[SliceHeader, ...]
    skipped: tuple[Verdict, ...] = ()
