"""Header -> the encoded bytes of its plane, and nothing else of the file.

A frame of a multi-frame file is found by its offset: computed where pixels are uncompressed, from
the fragments where they are encapsulated (their places are looked up once a file). What the file
claims to hold is held against the bytes that are there before any of it is decoded.
"""

from __future__ import annotations

import functools
import hashlib
import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ichclient.errors import RefusedInput
from ichclient.headers import SliceHeader, Warning_

DEFLATED_SYNTAX = "1.2.840.10008.1.2.1.99"
BIG_ENDIAN_SYNTAX = "1.2.840.10008.1.2.2"
IMPLICIT_SYNTAX = "1.2.840.10008.1.2"
EXPLICIT_SYNTAX = "1.2.840.10008.1.2.1"
UNCOMPRESSED = {IMPLICIT_SYNTAX, EXPLICIT_SYNTAX, DEFLATED_SYNTAX, BIG_ENDIAN_SYNTAX}

# No CT has more: 4,096 x 4,096 is four times the largest matrix in clinical use.
MAX_PIXELS = 4096 * 4096
MAX_INFLATED_BYTES = 512 * 2**20
# No codec for CT makes a plane larger than this; more is something else, or an attack.
_LARGEST_GROWTH = 4
_SMALLEST_LIMIT_BYTES = 64 * 1024

_KEYWORDS = {0x0008: "FloatPixelData", 0x0009: "DoubleFloatPixelData", 0x0010: "PixelData"}
_ITEM, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE0DD
_UNDEFINED = 0xFFFFFFFF
_INFLATE_STEP_BYTES = 2**20


@dataclass(frozen=True)
class EncodedPlane:
    """The bytes of one plane as stored; `keyword` and `vr` are those of the element they are in."""

    data: bytes
    encapsulated: bool
    keyword: str
    vr: str
    warnings: tuple[Warning_, ...] = ()


@dataclass(frozen=True)
class _Element:
    """A pixel data element: `start` is its first byte of value; `length` None if undefined."""

    keyword: str
    vr: str
    start: int
    length: int | None


def plane_bytes(header: SliceHeader) -> int:
    """How many bytes the plane has uncompressed, rounded up."""
    bits = (header.BitsAllocated or 16) * (header.Rows or 0) * (header.Columns or 0)
    return (bits * header.SamplesPerPixel + 7) // 8


def refused(header: SliceHeader, code: str, what: str) -> RefusedInput:
    """The error that names a plane, what is wrong with it, and the code of that."""
    return RefusedInput(f"{header.place}: {what}. [{code}]")


def plane_from_file(header: SliceHeader) -> EncodedPlane:
    """Read the bytes of one plane.

    Raises RefusedInput: `too_large`, `changed_file`, `unreadable`, `truncated_pixels`,
    `undecodable_pixels`.
    """
    pixels = (header.Rows or 0) * (header.Columns or 0)
    if not 0 < pixels <= MAX_PIXELS:
        what = f"{header.Rows} x {header.Columns} pixels are no CT slice"
        raise refused(header, "too_large", what)
    try:
        with header.path.open("rb") as file:
            _require_unchanged(header, os.fstat(file.fileno()))
            if header.TransferSyntaxUID == DEFLATED_SYNTAX:
                return _deflated(header, file)
            element = _element(header, file)
            if element.length is not None:
                return _native(header, file, element)
            return _encapsulated(header, file, element)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise refused(header, "unreadable", f"it cannot be read ({reason})") from error


def pixel_digest(header: SliceHeader) -> str:
    """SHA-256 of the plane's encoded bytes, to compare pixels undecoded.

    A plane that cannot be read has the digest of its whole file: it equals nothing but a copy.
    """
    try:
        return hashlib.sha256(plane_from_file(header).data).hexdigest()
    except RefusedInput:
        return f"{file_digest(header)} {header.frame_index}"


def file_digest(header: SliceHeader) -> str:
    """SHA-256 of a whole file, to tell a copied file from another with the same UID."""
    return _file_digest(header.path, header.modified_ns, header.file_bytes)


def inflates_within(path: Path, limit_bytes: int) -> bool:
    """Whether what follows the file meta of a deflated file stays below a size, unpacked."""
    with path.open("rb") as file:
        file.seek(132)
        group_length = file.read(12)
        if group_length[:4] != b"\2\0\0\0":
            return True  # there is no telling where the deflated part begins: pydicom will say
        file.seek(struct.unpack_from("<L", group_length, 8)[0], os.SEEK_CUR)
        unpacker, total = zlib.decompressobj(-zlib.MAX_WBITS), 0
        while chunk := unpacker.unconsumed_tail or file.read(_INFLATE_STEP_BYTES):
            try:
                total += len(unpacker.decompress(chunk, _INFLATE_STEP_BYTES))
            except zlib.error:
                return True
            if total > limit_bytes:
                return False
    return True


@functools.lru_cache(maxsize=4096)
def _file_digest(path: Path, modified_ns: int, size: int) -> str:
    """Cached, for every frame of a file has the same; the time and size are part of the key."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _require_unchanged(header: SliceHeader, status: os.stat_result) -> None:
    if header.modified_ns and (status.st_mtime_ns, status.st_size) != (
        header.modified_ns,
        header.file_bytes,
    ):
        what = "it changed after its header was read; wait until it is complete, and try again"
        raise refused(header, "changed_file", what)


def _element(header: SliceHeader, file: BinaryIO) -> _Element:
    """The head of the pixel data element, which the header scan has found."""
    order = ">" if header.TransferSyntaxUID == BIG_ENDIAN_SYNTAX else "<"
    file.seek(header.pixel_offset)
    head = file.read(12)
    if len(head) < 12:
        raise refused(header, "truncated_pixels", "it ends where its pixels begin")
    group, number = struct.unpack_from(f"{order}HH", head)
    if group != 0x7FE0 or number not in _KEYWORDS:
        raise refused(header, "undecodable_pixels", "there are no pixels where they should begin")
    vr = head[4:6].decode("latin-1")
    if header.TransferSyntaxUID == IMPLICIT_SYNTAX and vr not in ("OB", "OW", "OF", "OD"):
        vr, width, place = "OW", 8, 4
    else:
        width, place = 12, 8
    (length,) = struct.unpack_from(f"{order}L", head, place)
    start = header.pixel_offset + width
    return _Element(_KEYWORDS[number], vr, start, None if length == _UNDEFINED else length)


def _native(header: SliceHeader, file: BinaryIO, element: _Element) -> EncodedPlane:
    """Uncompressed: too little is refused, excess is told and not read."""
    size, frames = plane_bytes(header), header.NumberOfFrames
    expected = size * frames
    assert element.length is not None
    found = min(element.length, header.file_bytes - element.start)
    warnings: tuple[Warning_, ...] = ()
    if header.TransferSyntaxUID not in UNCOMPRESSED:
        if found not in (expected, expected + expected % 2):
            what = "its transfer syntax is a compressed one, but its pixels are not encapsulated"
            raise refused(header, "undecodable_pixels", what)
        text = f"{header.place} is labelled as compressed and is not; read as it is."
        warnings += (Warning_("wrong_transfer_syntax", text),)
    if found < expected:
        what = f"its pixel data hold {found} of {expected} bytes; copy or export it again"
        raise refused(header, "truncated_pixels", what)
    if found > expected + 1:  # an odd length is padded to an even one
        text = f"{header.place} has {found - expected} bytes after its pixels; not used."
        warnings += (Warning_("excess_pixels", text),)
    file.seek(element.start + size * (header.frame_index or 0))
    return EncodedPlane(file.read(size), False, element.keyword, element.vr, warnings)


def _deflated(header: SliceHeader, file: BinaryIO) -> EncodedPlane:
    """A deflated file has no places: it is unpacked as a whole, and was weighed before."""
    from pydicom import dcmread

    try:
        dataset = dcmread(file)
        keyword = next(name for name in _KEYWORDS.values() if name in dataset)
        value = dataset[keyword]
    except Exception as error:  # pydicom and zlib raise many kinds on broken bytes
        raise refused(header, "truncated_pixels", "its pixel data break off") from error
    size = plane_bytes(header)
    first = size * (header.frame_index or 0)
    if len(value.value) < size * header.NumberOfFrames:
        what = f"its pixel data hold {len(value.value)} of {size * header.NumberOfFrames} bytes"
        raise refused(header, "truncated_pixels", what)
    return EncodedPlane(value.value[first : first + size], False, keyword, str(value.VR))


def _encapsulated(header: SliceHeader, file: BinaryIO, element: _Element) -> EncodedPlane:
    """Compressed: the fragments of the one plane."""
    if header.TransferSyntaxUID in UNCOMPRESSED:
        what = "its transfer syntax is an uncompressed one, but its pixels are encapsulated"
        raise refused(header, "undecodable_pixels", what)
    spans = _spans(header.path, header.modified_ns, header.file_bytes, element.start)
    mine = _spans_of_frame(header, *spans)
    limit = max(_LARGEST_GROWTH * plane_bytes(header), _SMALLEST_LIMIT_BYTES)
    if sum(length for _, length in mine) > limit:
        what = "its compressed pixels have more bytes than the plane could need"
        raise refused(header, "too_large", what)
    parts = []
    for start, length in mine:
        file.seek(start)
        parts.append(file.read(length))
        if len(parts[-1]) < length:
            what = "its compressed pixels break off; copy or export it again"
            raise refused(header, "truncated_pixels", what)
    return EncodedPlane(b"".join(parts), True, element.keyword, element.vr)


_Span = tuple[int, int]


@functools.lru_cache(maxsize=8)
def _spans(
    path: Path, modified_ns: int, size: int, start: int
) -> tuple[tuple[int, ...], tuple[_Span, ...]]:
    """Basic offset table, and where each fragment lies: read once a file, not once a frame."""
    offsets: tuple[int, ...] = ()
    spans: list[_Span] = []
    with path.open("rb") as file:
        place = start
        for number in range(size // 8 + 1):
            file.seek(place)
            head = file.read(8)
            if len(head) < 8:
                break
            group, element, length = struct.unpack("<HHL", head)
            place += 8
            if group << 16 | element != _ITEM:
                break
            if number == 0:
                table = file.read(min(length, size))
                offsets = struct.unpack(f"<{len(table) // 4}L", table[: len(table) // 4 * 4])
            else:
                spans.append((place, length))
            place += length
    return offsets, tuple(spans)


def _spans_of_frame(
    header: SliceHeader, offsets: tuple[int, ...], spans: tuple[_Span, ...]
) -> tuple[_Span, ...]:
    """The fragments of one frame: by the offset table, or one each where there is none."""
    frames, index = header.NumberOfFrames, header.frame_index or 0
    if frames == 1:
        mine = spans
    elif len(spans) == frames:
        mine = spans[index : index + 1]
    elif len(offsets) == frames and spans:
        first = spans[0][0] - 8
        begin = first + offsets[index]
        end = first + offsets[index + 1] if index + 1 < frames else spans[-1][0]
        mine = tuple(span for span in spans if begin <= span[0] - 8 < max(end, begin + 1))
        if index + 1 == frames:
            mine = tuple(span for span in spans if span[0] - 8 >= begin)
    else:
        mine = ()
    if not mine:
        what = f"{len(spans)} fragments cannot be told apart into {frames} frames"
        raise refused(header, "truncated_pixels", what)
    return mine
