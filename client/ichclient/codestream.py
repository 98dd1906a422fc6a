"""First bytes of a JPEG-family codestream -> the size it claims, before a decoder believes it.

A decoder makes room for what the codestream says, not for what the DICOM header says: a few bytes
that claim 60,000 x 60,000 pixels must not reach it.
"""

from __future__ import annotations

import struct

_JPEG_2000 = b"\xff\x4f\xff\x51"
_JPEG = b"\xff\xd8\xff"
_NO_FRAME_HEADERS = {0xC4, 0xC8, 0xCC}
_JPEG_LS_FRAME = 0xF7
_LONGEST_SEARCH_BYTES = 4096


def size_from_codestream(data: bytes) -> tuple[int, int] | None:
    """(rows, columns) of a JPEG, JPEG-LS, JPEG 2000 or HTJ2K codestream; None if it has none."""
    start = data.find(_JPEG_2000, 0, _LONGEST_SEARCH_BYTES)
    try:
        if start >= 0:
            width, height, left, top = struct.unpack_from(">4L", data, start + 8)
            return height - top, width - left
        if data.startswith(_JPEG):
            return _jpeg_size(data)
    except struct.error:  # it ends within the part that says so
        return None
    return None


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Walk the marker segments up to the frame header."""
    place = 2
    while place < len(data):
        if data[place] != 0xFF:
            return None
        marker = data[place + 1] if place + 1 < len(data) else 0
        if marker == 0xFF:  # a fill byte
            place += 1
            continue
        (length,) = struct.unpack_from(">H", data, place + 2)
        if marker == _JPEG_LS_FRAME or (0xC0 <= marker <= 0xCF and marker not in _NO_FRAME_HEADERS):
            rows, columns = struct.unpack_from(">HH", data, place + 5)
            return rows, columns
        place += 2 + length
    return None
