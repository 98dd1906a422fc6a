"""Path -> Scan: find DICOM images in a file or folder and read their headers, never their pixels.

The only place, beside `hounsfield.py`, that knows pydicom. Reading is never forced: pydicom accepts
a text file as an empty dataset when forced, and reads a file cut inside its header without any
error, so the position at which the header ends is compared with the file's size here.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import re
import secrets
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ichclient.errors import NothingFound
from ichclient.headers import CT_IMAGE_CLASSES, Fact, Scan, SliceHeader, Vector3, Verdict
from ichclient.rules import DEFAULT_BOOK, RuleBook

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset

_T = TypeVar("_T")

_DICOMDIR_CLASS = "1.2.840.10008.1.3.10"
_DEFLATED_SYNTAX = "1.2.840.10008.1.2.1.99"
_PREAMBLE_BYTES = 128
_MAGIC = b"DICM"
# A pixel data element is at least its tag, VR and length, and a byte of pixels.
_SHORTEST_PIXEL_ELEMENT = 13
_FARTHEST_MM = 1e5
_RUN_KEY = secrets.token_bytes(16)

_TEXTS = (
    "SOPInstanceUID", "SOPClassUID", "StudyInstanceUID", "SeriesInstanceUID",
    "FrameOfReferenceUID", "Modality", "Manufacturer", "SeriesDescription",
    "PhotometricInterpretation", "ConvolutionKernel", "ContrastBolusAgent",
    "BodyPartExamined", "PatientPosition", "RescaleType", "StudyDescription", "QualityControlImage",
)  # fmt: skip
_INTEGERS = (
    "SeriesNumber", "InstanceNumber", "AcquisitionNumber", "Rows", "Columns", "BitsAllocated",
    "PixelRepresentation", "PixelPaddingValue", "PixelPaddingRangeLimit",
)  # fmt: skip
_COUNTS = ("NumberOfFrames", "SamplesPerPixel")
_DECIMALS = ("SliceThickness", "WindowCenter", "RescaleSlope", "RescaleIntercept")
_VECTORS = {"ImagePositionPatient": 3, "ImageOrientationPatient": 6, "PixelSpacing": 2}
_IDENTITY = ("PatientID", "IssuerOfPatientID", "PatientName", "PatientBirthDate")
_TAGS = [
    *_TEXTS, *_INTEGERS, *_COUNTS, *_DECIMALS, *_VECTORS, *_IDENTITY, "ImageType", "PatientAge",
]  # fmt: skip
# Anchored: a WATERS is no water phantom, and a DAILY no daily check.
_PHANTOM_NAME = re.compile(r"(?:PHANTOM|CATPHAN|QA|QC|TEST[ ^_-]*PATIENT)(?![A-Z])")
_AGE_UNITS_PER_YEAR = {"Y": 1.0, "M": 12.0, "W": 52.18, "D": 365.25}


def headers_from_path(path: Path, book: RuleBook = DEFAULT_BOOK) -> Scan:
    """Read the headers of all DICOM images under a file or folder, in order of their paths.

    Raises NothingFound where the path does not exist, holds no file, or holds no DICOM image.
    """
    root = Path(path)
    if not root.exists():
        raise NothingFound(f"{root} does not exist. Give the folder or file of one CT study.")
    files = tuple(_files_below(root))
    if not files:
        raise NothingFound(f"{root} is an empty folder. Give the folder of one CT study.")
    base = root if root.is_dir() else root.parent
    found = tuple(_read(file, file.relative_to(base).as_posix()) for file in files)
    headers = tuple(item for item in found if isinstance(item, SliceHeader))
    skipped = tuple(item for item in found if isinstance(item, Verdict) and book.holds(item.code))
    if not headers:
        raise NothingFound(_nothing_sentence(root, skipped))
    return Scan(root=base, headers=headers, skipped=skipped)


def pixel_digest(header: SliceHeader) -> str:
    """SHA-256 of a file from its pixel data element to its end, to compare pixels undecoded."""
    with header.path.open("rb") as file:
        file.seek(header.pixel_offset)
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_digest(header: SliceHeader) -> str:
    """SHA-256 of a whole file, to tell a copied file from another with the same UID."""
    with header.path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _files_below(root: Path) -> Iterator[Path]:
    """Every file below a root, sorted; a folder reached twice through links is entered once."""
    if not root.is_dir():
        yield root
        return
    entered: set[str] = set()
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        real = os.path.realpath(folder)
        if real in entered:
            continue
        entered.add(real)
        try:
            entries = sorted(folder.iterdir())
        except OSError:
            yield folder  # reading it says why, as for any other file
            continue
        yield from (entry for entry in entries if not entry.is_dir())
        waiting.extend(entry for entry in reversed(entries) if entry.is_dir())


def _read(file: Path, relative: str) -> SliceHeader | Verdict:
    """The header of one file, or the verdict that says why there is none."""
    try:
        if not file.is_file():
            return Verdict("unreadable", "It is not a regular file that can be read.", relative)
        size = file.stat().st_size
        if size == 0:
            return Verdict("empty_file", "The file has no bytes. Copy it again.", relative)
        with file.open("rb") as opened:
            start = opened.read(_PREAMBLE_BYTES + len(_MAGIC))
        if not start.endswith(_MAGIC) or len(start) < _PREAMBLE_BYTES + len(_MAGIC):
            return Verdict("not_dicom", "There is no DICM mark at byte 128: not DICOM.", relative)
        return _parsed(file, relative, size)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        return Verdict("unreadable", f"The file cannot be read: {reason}.", relative)


def _parsed(file: Path, relative: str, size: int) -> SliceHeader | Verdict:
    """Parse a file that carries the DICOM mark."""
    from pydicom import dcmread

    with _quiet(), file.open("rb") as opened:
        try:
            dataset = dcmread(opened, stop_before_pixels=True, specific_tags=[*_TAGS])
            end = opened.tell()
        except OSError:
            raise
        except Exception as error:  # pydicom raises many kinds on broken bytes
            sentence = f"The header breaks off or is malformed ({type(error).__name__})."
            return Verdict("truncated_header", sentence, relative, {"bytes": size})
        return _header_or_verdict(dataset, file, relative, size, end)


def _header_or_verdict(
    dataset: FileDataset, file: Path, relative: str, size: int, end: int
) -> SliceHeader | Verdict:
    """Tell an image from a directory, from a document, and from a file cut inside its header."""
    meta = dataset.file_meta
    media_class = str(meta.get("MediaStorageSOPClassUID", ""))
    if media_class == _DICOMDIR_CLASS:
        return Verdict("dicomdir", "A DICOM directory lists files and is no image.", relative)
    syntax = str(meta.get("TransferSyntaxUID", ""))
    deflated = syntax == _DEFLATED_SYNTAX
    header = _header_from_dataset(dataset, file, relative, syntax, media_class)
    cut = not deflated and size - end < _SHORTEST_PIXEL_ELEMENT
    facts: dict[str, Fact] = {
        "bytes": size,
        "SOPClassUID": header.SOPClassUID,
        "Modality": header.Modality,
    }
    if header.Rows and header.Columns and header.SeriesInstanceUID and not cut:
        return _with_offset(header, 0 if deflated else end)
    if header.SOPClassUID in CT_IMAGE_CLASSES or not header.SeriesInstanceUID:
        sentence = f"The file ends after {size} bytes, before its pixel data. Copy it again."
        return Verdict("truncated_header", sentence, relative, facts)
    sentence = f"It is DICOM of modality {header.Modality or 'unknown'} without pixels: no image."
    return Verdict("not_image", sentence, relative, facts)


def _header_from_dataset(
    dataset: FileDataset, file: Path, relative: str, syntax: str, media_class: str
) -> SliceHeader:
    """Read each attribute on its own, so that a broken one costs only itself."""
    broken: list[str] = []

    def value(keyword: str, convert: Callable[[object], _T]) -> _T | None:
        try:
            raw = dataset.get(keyword)
            return None if raw is None or raw == "" else convert(raw)
        except Exception:  # a bad optional value never kills a study
            broken.append(keyword)
            return None

    texts = {name: value(name, _text) or "" for name in _TEXTS}
    texts["SOPClassUID"] = texts["SOPClassUID"] or media_class
    integers = {name: value(name, _integer) for name in _INTEGERS}
    counts = {name: value(name, _integer) or 1 for name in _COUNTS}
    decimals = {name: value(name, _decimal) for name in _DECIMALS}
    position = value("ImagePositionPatient", lambda raw: _within_a_room(_floats(raw, 3)))
    orientation = value("ImageOrientationPatient", lambda raw: _spanning(_floats(raw, 6)))
    spacing = value("PixelSpacing", lambda raw: _positive(_floats(raw, 2)))
    image_type = value("ImageType", lambda raw: tuple(part.upper() for part in _parts(raw)))
    patient = {name: _folded(value(name, _text) or "") for name in _IDENTITY}
    identity = "|".join(patient.values())
    return SliceHeader(
        path=file,
        relative_path=relative,
        TransferSyntaxUID=syntax,
        ImageType=image_type or (),
        ImagePositionPatient=None if position is None else _vector3(position),
        ImageOrientationPatient=None if orientation is None else (
            orientation[0], orientation[1], orientation[2],
            orientation[3], orientation[4], orientation[5],
        ),
        PixelSpacing=None if spacing is None else (spacing[0], spacing[1]),
        age_years=value("PatientAge", _years),
        identified=bool(patient["PatientID"]),
        named_phantom=any(
            _PHANTOM_NAME.match(patient[name]) for name in ("PatientID", "PatientName")
        ),
        malformed=tuple(broken),
        patient_key=hashlib.blake2b(identity.encode(), key=_RUN_KEY, digest_size=8).hexdigest(),
        **texts, **integers, **counts, **decimals,  # type: ignore[arg-type]
    )  # fmt: skip


def _with_offset(header: SliceHeader, offset: int) -> SliceHeader:
    """The same header, knowing where its pixels begin."""
    return replace(header, pixel_offset=offset)


def _parts(raw: object) -> tuple[str, ...]:
    """The values of a DICOM element as stripped texts, one or many."""
    if isinstance(raw, Iterable) and not isinstance(raw, str | bytes):
        return tuple(str(part).strip() for part in raw)
    return (str(raw).strip(),)


def _text(raw: object) -> str:
    return " ".join(part for part in _parts(raw) if part)


def _folded(text: str) -> str:
    """A name without what two machines write differently: case, empty parts, blanks."""
    return " ".join(text.upper().replace("^", " ").replace("=", " ").split())


def _years(raw: object) -> float:
    """An Age String (`045Y`, `018M`, `006W`, `003D`) in years."""
    text = _text(raw)
    return int(text[:-1]) / _AGE_UNITS_PER_YEAR[text[-1].upper()]


def _decimal(raw: object) -> float:
    number = float(_parts(raw)[0])
    if not math.isfinite(number):
        raise ValueError("not a finite number")
    return number


def _integer(raw: object) -> int:
    number = _decimal(raw)
    if number != int(number):
        raise ValueError("not a whole number")
    return int(number)


def _floats(raw: object, count: int) -> tuple[float, ...]:
    numbers = tuple(_decimal(part) for part in _parts(raw))
    if len(numbers) != count:
        raise ValueError(f"expected {count} numbers")
    return numbers


def _positive(numbers: tuple[float, ...]) -> tuple[float, ...]:
    if min(numbers) <= 0:
        raise ValueError("a distance must be positive")
    return numbers


def _within_a_room(numbers: tuple[float, ...]) -> tuple[float, ...]:
    if max(map(abs, numbers)) > _FARTHEST_MM:
        raise ValueError("no scanner is that large")
    return numbers


def _spanning(numbers: tuple[float, ...]) -> tuple[float, ...]:
    """Two directions that span a plane at all; how well they do is judged by a rule."""
    lengths = math.hypot(*numbers[:3]), math.hypot(*numbers[3:])
    along = sum(one * other for one, other in zip(numbers[:3], numbers[3:], strict=True))
    if not all(0.5 < length < 2 for length in lengths) or abs(along) > 0.9 * math.prod(lengths):
        raise ValueError("two directions of about unit length, not along each other, are needed")
    return numbers


def _vector3(numbers: tuple[float, ...]) -> Vector3:
    return numbers[0], numbers[1], numbers[2]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep pydicom from printing values it dislikes: they may identify a patient."""
    from pydicom import config

    with warnings.catch_warnings(), config.disable_value_validation():
        warnings.simplefilter("ignore")
        yield


def _nothing_sentence(root: Path, skipped: tuple[Verdict, ...]) -> str:
    """Why there is no image: counted reasons, in one sentence."""
    codes = [verdict.code for verdict in skipped]
    if set(codes) == {"not_dicom"}:
        return f"{root} holds {len(codes)} file(s), none of them DICOM. Give a DICOM CT study."
    counted = ", ".join(f"{codes.count(code)} {code}" for code in sorted(set(codes)))
    return f"{root} holds no readable DICOM image ({counted}). Copy or export the study again."
