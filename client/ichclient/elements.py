"""First bytes of a DICOM file -> the few top-level elements that a header needs, in one pass.

A study's headers are read before anything else, so this is what a user waits for. It reads little
endian files whose elements are as they should be, and answers None for everything else (another
byte order, deflated, an unusual character set, an element of an unexpected VR, a header that
breaks off or is longer than what was read): pydicom then reads the file, and decides what is wrong
with it. A test holds both to the same headers.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

PREAMBLE_BYTES = 132

_IMPLICIT = "1.2.840.10008.1.2"
_EXPLICIT = "1.2.840.10008.1.2.1"
_ENCAPSULATED = ("1.2.840.10008.1.2.4.", "1.2.840.10008.1.2.5")
_META_CLASS, _META_SYNTAX = 0x00020002, 0x00020010
_PIXELS = {0x7FE00008, 0x7FE00009, 0x7FE00010}
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_UNDEFINED = 0xFFFFFFFF
_DEEPEST = 16
_LONG = {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
_SHORT = {
    b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"PN",
    b"SH", b"SL", b"SS", b"ST", b"TM", b"UI", b"UL", b"US",
}  # fmt: skip
_CODES = {"AS", "CS", "DA", "DS", "IS", "UI"}  # always ASCII
_WRITTEN = {"LO", "PN", "SH"}  # in the file's character set
_CHARACTER_SET = 0x00080005
_ENCODINGS = {"": "ascii", "ISO_IR 6": "ascii", "ISO_IR 100": "latin-1", "ISO_IR 192": "utf-8"}

_EXPLICIT_HEAD = struct.Struct("<HH2sH")
_IMPLICIT_HEAD = struct.Struct("<HHL")
_LENGTH = struct.Struct("<L")

Values = dict[str, "str | tuple[str, ...] | int"]
Wanted = Mapping[int, tuple[str, str]]
"""Tag -> keyword and VR. "US or SS" follows PixelRepresentation where a file does not say."""


class _Unusual(Exception):
    """Something that pydicom should read."""


@dataclass(frozen=True)
class Elements:
    """The wanted values by keyword, and where the pixel data element begins."""

    values: Values
    transfer_syntax: str
    media_class: str
    end: int


def elements_from_bytes(start: bytes, wanted: Wanted) -> Elements | None:
    """Read the header at the start of a file; None where it is better left to pydicom."""
    try:
        meta, place = _top_level(start, PREAMBLE_BYTES, {_META_CLASS: b"UI", _META_SYNTAX: b"UI"})
        syntax = _plain(meta[_META_SYNTAX][1])
        media_class = _plain(meta[_META_CLASS][1]) if _META_CLASS in meta else ""
        implicit = syntax == _IMPLICIT
        if not (implicit or syntax == _EXPLICIT or syntax.startswith(_ENCAPSULATED)):
            return None
        if implicit:
            if start[place + 4 : place + 6] in _LONG | _SHORT:
                return None  # labelled implicit, but it does name its VRs
            found, end = _implicit(start, place, wanted)
        else:
            found, end = _top_level(start, place, wanted, dataset=True)
        return Elements(_values(found, wanted), syntax, media_class, end)
    except (_Unusual, struct.error, KeyError, UnicodeDecodeError):
        return None


_Found = dict[int, tuple[bytes, bytes]]


def _top_level(
    data: bytes, place: int, wanted: Mapping[int, object], *, dataset: bool = False
) -> tuple[_Found, int]:
    """Explicit VR: the wanted elements of file meta, or of the dataset up to its pixels."""
    found: _Found = {}
    head, short, size = _EXPLICIT_HEAD.unpack_from, _SHORT, len(data)
    while True:
        group, element, vr, length = head(data, place)
        if not dataset and group != 2:
            return found, place
        tag = group << 16 | element
        if dataset and tag in _PIXELS:
            return found, place
        if vr in short:
            value = place + 8
        elif vr in _LONG:
            (length,) = _LENGTH.unpack_from(data, place + 8)
            value = place + 12
        else:
            raise _Unusual
        if length == _UNDEFINED:
            if vr != b"SQ":
                raise _Unusual
            place = _after_sequence(data, value, implicit=False, depth=0)
            continue
        place = value + length
        if place > size:
            raise _Unusual
        if tag in wanted or tag == _CHARACTER_SET:
            if tag in found:
                raise _Unusual
            found[tag] = vr, data[value:place]


def _implicit(data: bytes, place: int, wanted: Wanted) -> tuple[_Found, int]:
    """Implicit VR: the wanted elements up to the pixels; their VRs come from the table."""
    found: _Found = {}
    head, size = _IMPLICIT_HEAD.unpack_from, len(data)
    while True:
        group, element, length = head(data, place)
        tag = group << 16 | element
        if tag in _PIXELS:
            return found, place
        value = place + 8
        if length == _UNDEFINED:
            place = _after_sequence(data, value, implicit=True, depth=0)
            continue
        place = value + length
        if place > size:
            raise _Unusual
        if tag in wanted or tag == _CHARACTER_SET:
            if tag in found:
                raise _Unusual
            vr = "CS" if tag == _CHARACTER_SET else wanted[tag][1]
            found[tag] = vr.encode(), data[value:place]


def _after_sequence(data: bytes, place: int, *, implicit: bool, depth: int) -> int:
    """Where a sequence of undefined length ends."""
    if depth > _DEEPEST:
        raise _Unusual
    while True:
        group, element, length = _IMPLICIT_HEAD.unpack_from(data, place)
        tag = group << 16 | element
        place += 8
        if tag == _SEQUENCE_END:
            return place
        if tag != _ITEM:
            raise _Unusual
        if length == _UNDEFINED:
            place = _after_item(data, place, implicit=implicit, depth=depth)
        else:
            place += length


def _after_item(data: bytes, place: int, *, implicit: bool, depth: int) -> int:
    """Where an item of undefined length ends."""
    while True:
        group, element, length = _IMPLICIT_HEAD.unpack_from(data, place)
        if group << 16 | element == _ITEM_END:
            return place + 8
        value = place + 8
        if not implicit:
            vr = data[place + 4 : place + 6]
            if vr in _SHORT:
                length >>= 16  # the two bytes after the VR
            elif vr in _LONG:
                (length,) = _LENGTH.unpack_from(data, value)
                value += 4
                if length == _UNDEFINED and vr != b"SQ":
                    raise _Unusual
            else:
                raise _Unusual
        if length == _UNDEFINED:
            place = _after_sequence(data, value, implicit=implicit, depth=depth + 1)
        else:
            place = value + length


def _values(found: _Found, wanted: Wanted) -> Values:
    """Bytes -> what pydicom would give as text, texts or a number."""
    signed = found.get(0x00280103, (b"", b""))[1][:1] == b"\1"
    encoding = _ENCODINGS[_plain(found.pop(_CHARACTER_SET, (b"", b""))[1])]
    values: Values = {}
    for tag, (vr, raw) in found.items():
        keyword, known = wanted[tag]
        if not raw:
            continue
        if known in _CODES or known in _WRITTEN:
            if vr.decode("ascii") != known:
                raise _Unusual
            values[keyword] = _split(raw, "ascii" if known in _CODES else encoding)
        else:
            name = vr.decode("ascii")
            if name == "US or SS":
                name = "SS" if signed else "US"
            if len(raw) != 2 or name not in known.split(" or "):
                raise _Unusual
            values[keyword] = int.from_bytes(raw, "little", signed=name == "SS")
    return values


def _split(raw: bytes, encoding: str) -> str | tuple[str, ...]:
    parts = tuple(part.rstrip("\0 ") for part in raw.rstrip(b"\0 ").decode(encoding).split("\\"))
    return parts[0] if len(parts) == 1 else parts


def _plain(raw: bytes) -> str:
    return raw.decode("ascii").rstrip("\0 ")
