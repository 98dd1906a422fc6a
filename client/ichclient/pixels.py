"""Header -> stored values of its plane [Rows, Columns], before any rescale."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from numpy.typing import NDArray

from ichclient.codecs import is_decoded, missing_codec
from ichclient.codestream import size_from_codestream
from ichclient.decoder import DecodeError, Encoding
from ichclient.frames import (
    EXPLICIT_SYNTAX,
    UNCOMPRESSED,
    EncodedPlane,
    plane_from_file,
    refused,
)
from ichclient.headers import SliceHeader, Warning_

Decode: TypeAlias = Callable[[bytes, Encoding], NDArray[Any]]


def stored_values(
    header: SliceHeader, decode: Decode
) -> tuple[NDArray[Any], int, tuple[Warning_, ...]]:
    """The values as stored, the bytes they took in the file, and what was noticed.

    Raises RefusedInput where the plane cannot be read or decoded, or is not what its header says.
    """
    if not is_decoded(header.TransferSyntaxUID):
        what = missing_codec(header.TransferSyntaxUID)
        raise refused(header, "unsupported_transfer_syntax", what)
    plane = plane_from_file(header)
    _require_claimed_size(header, plane)
    try:
        values = decode(plane.data, _encoding(header, plane))
    except DecodeError as error:
        what = f"its pixels cannot be decoded ({error}), so the file may be cut"
        raise refused(header, "undecodable_pixels", what) from error
    if values.shape != (header.Rows, header.Columns):
        what = f"its pixels have the shape {values.shape}, not Rows x Columns"
        raise refused(header, "unexpected_shape", what)
    return values, len(plane.data), plane.warnings


def _require_claimed_size(header: SliceHeader, plane: EncodedPlane) -> None:
    """A codestream that claims another size than the header is not decoded at all."""
    claimed = size_from_codestream(plane.data) if plane.encapsulated else None
    if claimed is not None and claimed != (header.Rows, header.Columns):
        rows, columns = claimed
        what = (
            f"its compressed pixels claim {rows} x {columns}, its header says "
            f"{header.Rows} x {header.Columns}"
        )
        raise refused(header, "unexpected_shape", what)


def _encoding(header: SliceHeader, plane: EncodedPlane) -> Encoding:
    syntax = header.TransferSyntaxUID
    if not plane.encapsulated and syntax not in UNCOMPRESSED:
        syntax = EXPLICIT_SYNTAX  # the label is wrong, and a warning says so
    bits = header.BitsAllocated or 16
    return Encoding(
        transfer_syntax_uid=syntax,
        encapsulated=plane.encapsulated,
        pixel_keyword=plane.keyword,
        pixel_vr=plane.vr,
        rows=header.Rows or 0,
        columns=header.Columns or 0,
        bits_allocated=bits,
        bits_stored=header.BitsStored or bits,
        pixel_representation=header.PixelRepresentation or 0,
        photometric_interpretation=header.PhotometricInterpretation or "MONOCHROME2",
        samples_per_pixel=header.SamplesPerPixel,
    )
