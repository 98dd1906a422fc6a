"""DICOM attributes -> the typed fields of a `SliceHeader`, each read on its own.

A source is anything with `get(keyword)`: a pydicom dataset, the elements of a quick header scan,
or one functional group of an enhanced image. Sources are asked in order, so that what a frame says
of itself comes before what its file says of all. A broken value costs only itself.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from ichclient.headers import Vector3

_T = TypeVar("_T")

TEXTS = (
    "SOPInstanceUID", "SOPClassUID", "StudyInstanceUID", "SeriesInstanceUID",
    "FrameOfReferenceUID", "Modality", "Manufacturer", "SeriesDescription",
    "PhotometricInterpretation", "ConvolutionKernel", "ContrastBolusAgent",
    "BodyPartExamined", "PatientPosition", "RescaleType", "LossyImageCompression",
    "StudyDescription", "QualityControlImage",
)  # fmt: skip
INTEGERS = (
    "SeriesNumber", "InstanceNumber", "AcquisitionNumber", "Rows", "Columns", "BitsAllocated",
    "BitsStored", "PixelRepresentation", "PixelPaddingValue", "PixelPaddingRangeLimit",
)  # fmt: skip
COUNTS = ("NumberOfFrames", "SamplesPerPixel")
DECIMALS = (
    "SliceThickness", "WindowCenter", "RescaleSlope", "RescaleIntercept",
    "LossyImageCompressionRatio", "ReconstructionDiameter",
)  # fmt: skip
VECTORS = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
IDENTITY = ("PatientID", "IssuerOfPatientID", "PatientName", "PatientBirthDate")
KEYWORDS = (
    *TEXTS, *INTEGERS, *COUNTS, *DECIMALS, *VECTORS, *IDENTITY, "ImageType", "PatientAge",
)  # fmt: skip

# Anchored: a WATERS is no water phantom, and a DAILY no daily check.
_PHANTOM_NAME = re.compile(r"(?:PHANTOM|CATPHAN|QA|QC|TEST[ ^_-]*PATIENT)(?![A-Z])")
_AGE_UNITS_PER_YEAR = {"Y": 1.0, "M": 12.0, "W": 52.18, "D": 365.25}
_FARTHEST_MM = 1e5


class Source(Protocol):
    """Something that gives an attribute's value by its DICOM keyword, or None."""

    def get(self, key: str, /) -> Any: ...  # noqa: D102


class Attributes:
    """Values by keyword, from the first source that has one; `broken` names those that do not read.

    A source that holds a broken value is not passed over for the next one: a frame whose own
    position is malformed does not lie where another does.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = sources
        self.broken: list[str] = []

    def value(self, keyword: str, convert: Callable[[object], _T]) -> _T | None:
        """The converted value; None where there is none or it is broken."""
        try:
            for source in self._sources:
                raw = source.get(keyword)
                if raw is not None and raw != "":
                    return convert(raw)
        except Exception:  # a bad optional value never kills a study
            self.broken.append(keyword)
        return None

    def identity(self) -> str:
        """What tells one patient from another; to be hashed, never kept."""
        return "|".join(folded(self.value(name, text) or "") for name in IDENTITY)


def header_fields(attributes: Attributes) -> dict[str, Any]:
    """Every field of a `SliceHeader` that comes from attributes, by its name."""
    value = attributes.value
    fields: dict[str, Any] = {name: value(name, text) or "" for name in TEXTS}
    fields |= {name: value(name, integer) for name in INTEGERS}
    fields |= {name: value(name, integer) or 1 for name in COUNTS}
    fields |= {name: value(name, decimal) for name in DECIMALS}
    fields["ImagePositionPatient"] = value("ImagePositionPatient", position)
    fields["ImageOrientationPatient"] = value("ImageOrientationPatient", directions)
    fields["PixelSpacing"] = value("PixelSpacing", lambda raw: positive(decimals(raw, 2)))
    _infer_spacing(fields, attributes.broken)
    fields["ImageType"] = value("ImageType", labels) or ()
    fields["age_years"] = value("PatientAge", years)
    names = [folded(value(name, text) or "") for name in ("PatientID", "PatientName")]
    fields["identified"] = bool(names[0])
    fields["named_phantom"] = any(_PHANTOM_NAME.match(name) for name in names)
    fields["malformed"] = tuple(attributes.broken)
    return fields


def _infer_spacing(fields: dict[str, Any], broken: Sequence[str]) -> None:
    """PixelSpacing that is absent, from the diameter that a square image was reconstructed in."""
    diameter, rows = fields.pop("ReconstructionDiameter"), fields["Rows"]
    fields["inferred_spacing"] = False
    absent = fields["PixelSpacing"] is None and "PixelSpacing" not in broken
    if absent and diameter and diameter > 0 and rows and rows == fields["Columns"]:
        fields["PixelSpacing"] = (diameter / rows, diameter / rows)
        fields["inferred_spacing"] = True


def parts(raw: object) -> tuple[str, ...]:
    """The values of a DICOM element as stripped texts, one or many."""
    # A PersonName can be iterated, letter by letter, and is no sequence.
    if isinstance(raw, Sequence) and not isinstance(raw, str | bytes):
        return tuple(str(part).strip() for part in raw)
    return (str(raw).strip(),)


def text(raw: object) -> str:
    """All values of an element in one text."""
    return " ".join(part for part in parts(raw) if part)


def labels(raw: object) -> tuple[str, ...]:
    """The values of a code string, in capitals."""
    return tuple(part.upper() for part in parts(raw))


def decimal(raw: object) -> float:
    """The first value as a finite number; raises ValueError."""
    number = float(parts(raw)[0])
    if not math.isfinite(number):
        raise ValueError("not a finite number")
    return number


def integer(raw: object) -> int:
    """The first value as a whole number; raises ValueError."""
    number = decimal(raw)
    if number != int(number):
        raise ValueError("not a whole number")
    return int(number)


def decimals(raw: object, count: int) -> tuple[float, ...]:
    """Exactly `count` finite numbers; raises ValueError."""
    numbers = tuple(decimal(part) for part in parts(raw))
    if len(numbers) != count:
        raise ValueError(f"expected {count} numbers")
    return numbers


def positive(numbers: tuple[float, ...]) -> tuple[float, ...]:
    """The same numbers, which are distances; raises ValueError."""
    if min(numbers) <= 0:
        raise ValueError("a distance must be positive")
    return numbers


def position(raw: object) -> Vector3:
    """A place in the patient, mm; raises ValueError."""
    x, y, z = decimals(raw, 3)
    if max(abs(x), abs(y), abs(z)) > _FARTHEST_MM:
        raise ValueError("no scanner is that large")
    return x, y, z


def directions(raw: object) -> tuple[float, ...]:
    """Two directions that span a plane at all; how well they do is judged by a rule."""
    numbers = decimals(raw, 6)
    row, column = numbers[:3], numbers[3:]
    lengths = math.hypot(*row), math.hypot(*column)
    along = sum(one * other for one, other in zip(row, column, strict=True))
    if not all(0.5 < length < 2 for length in lengths) or abs(along) > 0.9 * math.prod(lengths):
        raise ValueError("two directions of about unit length, not along each other, are needed")
    return numbers


def folded(name: str) -> str:
    """A name without what two machines write differently: case, empty parts, blanks."""
    return " ".join(name.upper().replace("^", " ").replace("=", " ").split())


def years(raw: object) -> float:
    """An Age String (`045Y`, `018M`, `006W`, `003D`) in years; raises ValueError."""
    value = text(raw)
    if value[-1:].upper() not in _AGE_UNITS_PER_YEAR:
        raise ValueError("no unit of an age")
    return int(value[:-1]) / _AGE_UNITS_PER_YEAR[value[-1].upper()]
