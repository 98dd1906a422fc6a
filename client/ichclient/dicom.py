"""Path -> Scan: find DICOM images in a file or folder and read their headers, never their pixels.

With `pixels.py` the only place that reads with pydicom. Reading is never forced: pydicom accepts
a text file as an empty dataset when forced, and reads a file cut inside its header without any
error, so the position at which the header ends is compared with the file's size here.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import secrets
import stat
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ichclient.attributes import KEYWORDS, Attributes, header_fields, text
from ichclient.elements import elements_from_bytes
from ichclient.enhanced import FUNCTIONAL_GROUPS, frames_from_dataset
from ichclient.errors import NothingFound
from ichclient.frames import (
    BIG_ENDIAN_SYNTAX,
    DEFLATED_SYNTAX,
    EXPLICIT_SYNTAX,
    IMPLICIT_SYNTAX,
    MAX_INFLATED_BYTES,
    inflates_within,
)
from ichclient.headers import (
    CT_IMAGE_CLASSES,
    ENHANCED_CT_CLASSES,
    Fact,
    Scan,
    SliceHeader,
    Verdict,
)
from ichclient.sources.kinds import archive_kind

if TYPE_CHECKING:
    from ichclient.rules import RuleBook

# Implicit or not, little endian or not, as pydicom guesses it from the first elements.
_SYNTAX_BY_ENCODING: dict[tuple[bool | None, bool | None], str] = {
    (True, True): IMPLICIT_SYNTAX,
    (False, True): EXPLICIT_SYNTAX,
    (False, False): BIG_ENDIAN_SYNTAX,
}
# A file without preamble begins with its file meta, or else with group 0008.
_FIRST_GROUPS = (b"\2\0", b"\10\0", b"\0\10")
_DICOMDIR_CLASS = "1.2.840.10008.1.3.10"
_PREAMBLE_BYTES = 128
_MAGIC = b"DICM"
# A pixel data element is at least its tag, VR and length, and a byte of pixels.
_SHORTEST_PIXEL_ELEMENT = 13
# Headers of single-frame CT have 2 to 20 kB; longer ones are left to pydicom.
_FIRST_READ_BYTES = 32 * 1024
_RUN_KEY = secrets.token_bytes(16)


def headers_from_path(path: Path, book: RuleBook | None = None) -> Scan:
    """Read the headers of all DICOM images under a file or folder, in order of their paths.

    `book` is the table of rules by which files are told; None stands for the whole of it.

    Raises NothingFound where the path does not exist, holds no file, or holds no DICOM image.
    """
    root = Path(path)
    base = _base(root)
    found = [found for _, found in found_below(root)]
    headers = tuple(header for item in found if isinstance(item, tuple) for header in item)
    skipped = tuple(
        item
        for item in found
        if isinstance(item, Verdict) and (book is None or book.holds(item.code))
    )
    if not headers:
        raise NothingFound(_nothing_sentence(root, skipped))
    return Scan(root=base, headers=headers, skipped=skipped)


def found_below(path: Path) -> Iterator[tuple[Path, tuple[SliceHeader, ...] | Verdict]]:
    """Every file under a path, relative to it, with its headers or why there are none.

    One after another, so that a caller need not keep them. Raises NothingFound where the path does
    not exist or holds no file.
    """
    root = Path(path)
    if not root.exists():
        raise NothingFound(f"{root} does not exist. Give the folder or file of one CT study.")
    base, empty = _base(root), True
    for file in files_below(root):
        empty = False
        relative = file.relative_to(base)
        yield relative, _read(file, relative.as_posix())
    if empty:
        raise NothingFound(f"{root} is an empty folder. Give the folder of one CT study.")


def has_overlay_in_pixels(header: SliceHeader) -> bool:
    """Whether a file keeps an overlay in the unused bits of its pixels, as old scanners did."""
    from pydicom import dcmread

    groups = range(0x6000, 0x6020, 2)
    tags = [group << 16 | element for group in groups for element in (0x0100, 0x0102)]
    try:
        with _quiet():
            found = dcmread(header.path, stop_before_pixels=True, specific_tags=[*tags])
    except Exception:  # its header was read before; whatever is wrong now is no overlay
        return False
    return any(
        (group << 16 | 0x0102) in found and int(found[group << 16 | 0x0102].value or 0) > 0
        for group in groups
    )


def has_modality_lut(header: SliceHeader) -> bool:
    """Whether a file has a table where CT has a slope and an intercept."""
    from pydicom import dcmread

    try:
        with _quiet():
            found = dcmread(
                header.path, stop_before_pixels=True, specific_tags=["ModalityLUTSequence"]
            )
    except Exception:  # its header was read before; whatever is wrong now is no table
        return False
    return bool(found.get("ModalityLUTSequence"))


def _base(root: Path) -> Path:
    """What paths of files are relative to."""
    return root if root.is_dir() else root.parent


def files_below(root: Path) -> Iterator[Path]:
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


def _read(file: Path, relative: str) -> tuple[SliceHeader, ...] | Verdict:
    """The headers of the planes in one file, or the verdict that says why there is none."""
    try:
        # Without waiting: nobody may ever write into a pipe that lies in the folder.
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | getattr(os, "O_BINARY", 0))
        with open(descriptor, "rb", buffering=0) as opened:  # noqa: PTH123 - it is a descriptor
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                return Verdict("unreadable", "It is not a regular file that can be read.", relative)
            if status.st_size == 0:
                return Verdict("empty_file", "The file has no bytes. Copy it again.", relative)
            start = opened.read(_FIRST_READ_BYTES)
        if start[_PREAMBLE_BYTES : _PREAMBLE_BYTES + len(_MAGIC)] != _MAGIC:
            return _without_mark(_File(file, relative, status.st_size, status.st_mtime_ns), start)
        return _parsed(_File(file, relative, status.st_size, status.st_mtime_ns), start)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        return Verdict("unreadable", f"The file cannot be read: {reason}.", relative)


@dataclass(frozen=True)
class _File:
    """A file that may be DICOM, and what it was like when it was opened."""

    path: Path
    relative: str
    size: int
    modified_ns: int


def _parsed(file: _File, start: bytes) -> tuple[SliceHeader, ...] | Verdict:
    """Parse a file that carries the DICOM mark: quickly if it is as usual, else with pydicom."""
    quick = elements_from_bytes(start, _wanted())
    if quick is not None:
        attributes = Attributes((quick.values,))
        header = _header(attributes, file, quick.transfer_syntax, quick.media_class)
        if header.SOPClassUID not in ENHANCED_CT_CLASSES:
            return _header_or_verdict(header, file, quick.media_class, quick.end)
    return _parsed_by_pydicom(file, start)


def _without_mark(file: _File, start: bytes) -> tuple[SliceHeader, ...] | Verdict:
    """A file without preamble, if it begins as DICOM does and proves to be an image of a series."""
    if start[:2] in _FIRST_GROUPS and DEFLATED_SYNTAX.encode() not in start:
        found = _parsed_by_pydicom(file, start, force=True)
        if not isinstance(found, Verdict) and found[0].StudyInstanceUID and found[0].is_ct_image:
            return found
    if kind := archive_kind(start):
        sentence = f"A {kind} archive among the files is not opened. Give it by itself."
        return Verdict("archive", sentence, file.relative)
    return Verdict("not_dicom", "There is no DICM mark at byte 128: not DICOM.", file.relative)


@functools.cache
def _wanted() -> dict[int, tuple[str, str]]:
    """Tag -> keyword and VR of everything that a header holds."""
    from pydicom.datadict import dictionary_VR, tag_for_keyword

    tags = {tag_for_keyword(keyword): keyword for keyword in KEYWORDS}
    return {tag: (keyword, dictionary_VR(tag)) for tag, keyword in tags.items() if tag is not None}


def _parsed_by_pydicom(
    file: _File, start: bytes, *, force: bool = False
) -> tuple[SliceHeader, ...] | Verdict:
    """Parse whatever DICOM there is."""
    from pydicom import dcmread

    if DEFLATED_SYNTAX.encode() in start and not inflates_within(file.path, MAX_INFLATED_BYTES):
        sentence = f"Inflated it would have more than {MAX_INFLATED_BYTES >> 20} MiB: no slice."
        return Verdict("too_large", sentence, file.relative, {"bytes": file.size})
    tags = [*KEYWORDS, *FUNCTIONAL_GROUPS]
    with _quiet(), file.path.open("rb") as opened:
        try:
            dataset = dcmread(opened, stop_before_pixels=True, specific_tags=tags, force=force)
            end = opened.tell()
        except OSError:
            raise
        except Exception as error:  # pydicom raises many kinds on broken bytes
            sentence = f"The header breaks off or is malformed ({type(error).__name__})."
            return Verdict("truncated_header", sentence, file.relative, {"bytes": file.size})
        meta = Attributes((dataset.file_meta,))
        media_class = meta.value("MediaStorageSOPClassUID", text) or ""
        named = meta.value("TransferSyntaxUID", text) or ""
        syntax = named or _SYNTAX_BY_ENCODING.get(dataset.original_encoding, "")
        header = _header(Attributes((dataset,)), file, syntax, media_class)
        header = replace(header, forced=force or not named)
        found = _header_or_verdict(header, file, media_class, end)
        if isinstance(found, Verdict) or header.SOPClassUID not in ENHANCED_CT_CLASSES:
            return found
        try:
            return frames_from_dataset(found[0], dataset)
        except Exception as error:  # groups are parsed when they are looked at
            sentence = f"Its functional groups are malformed ({type(error).__name__})."
            return Verdict("truncated_header", sentence, file.relative, {"bytes": file.size})


def _header_or_verdict(
    header: SliceHeader, file: _File, media_class: str, end: int
) -> tuple[SliceHeader] | Verdict:
    """Tell an image from a directory, from a document, and from a file cut inside its header."""
    if media_class == _DICOMDIR_CLASS:
        sentence = "A DICOM directory lists files and is no image."
        return Verdict("dicomdir", sentence, file.relative)
    deflated = header.TransferSyntaxUID == DEFLATED_SYNTAX
    cut = not deflated and file.size - end < _SHORTEST_PIXEL_ELEMENT
    if header.Rows and header.Columns and header.SeriesInstanceUID and not cut:
        return (replace(header, pixel_offset=0 if deflated else end),)
    facts: dict[str, Fact] = {
        "bytes": file.size,
        "SOPClassUID": header.SOPClassUID,
        "Modality": header.Modality,
    }
    if header.SOPClassUID in CT_IMAGE_CLASSES or not header.SeriesInstanceUID:
        sentence = f"The file ends after {file.size} bytes, before its pixel data. Copy it again."
        return Verdict("truncated_header", sentence, file.relative, facts)
    sentence = f"It is DICOM of modality {header.Modality or 'unknown'} without pixels: no image."
    return Verdict("not_image", sentence, file.relative, facts)


def _header(attributes: Attributes, file: _File, syntax: str, media_class: str) -> SliceHeader:
    """The header of a file as a whole."""
    fields = header_fields(attributes)
    fields["SOPClassUID"] = fields["SOPClassUID"] or media_class
    identity = attributes.identity().encode("utf-8", "replace")
    return SliceHeader(
        path=file.path,
        relative_path=file.relative,
        TransferSyntaxUID=syntax,
        patient_key=hashlib.blake2b(identity, key=_RUN_KEY, digest_size=8).hexdigest(),
        file_bytes=file.size,
        modified_ns=file.modified_ns,
        **fields,
    )


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
