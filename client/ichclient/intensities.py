"""Stored values -> Hounsfield units, by a table of pixel rules.

A rule is an entry: a code, what it does (refuse, fix with a recorded warning, warn), and when. The
rules of stage "stored" see the values as the file holds them, those of stage "hu" see them
rescaled; within a stage they are asked in order. A rule looks at one plane; what only a whole
series can show is judged in `hounsfield.py`. No pixel is ever inverted: MONOCHROME1 says how to
display, and the rescale alone says what a value means.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ichclient.bits import (
    only_stored_bits,
    overlay_bits,
    sign_not_extended,
    unknown_bits,
    unsigned_wrap,
    unsigned_wrap_fixed,
    unwrap,
    wrong_bits_stored,
)
from ichclient.codecs import LOSSY_SYNTAXES
from ichclient.dicom import has_modality_lut
from ichclient.frames import UNCOMPRESSED, plane_bytes, refused
from ichclient.headers import SliceHeader, Warning_
from ichclient.plane import Plane

Action: TypeAlias = Literal["refused", "fixed", "warned"]

AIR_HU = -1024.0
# What a 12-bit scanner can say; above is metal on an extended scale, far beyond bone.
METAL_HU = 3071.0
# A padding value inside this range would erase tissue, so it is doubted instead of applied.
_TISSUE_HU = (-250.0, 3000.0)


@dataclass(frozen=True)
class PixelRule:
    """One entry of the table: `told` is a sentence's middle where the rule holds, else empty.

    `fix` changes the plane; only rules that are `fixed` have one.
    """

    code: str
    action: Action
    stage: Literal["stored", "hu"]
    told: Callable[[Plane], str]
    fix: Callable[[Plane], None] = lambda plane: None


def plane_from_stored(
    header: SliceHeader,
    stored: NDArray[Any],
    encoded_bytes: int,
    noticed: tuple[Warning_, ...],
    *,
    rules: Sequence[PixelRule],
) -> Plane:
    """Judge, fix and rescale the stored values of a plane, by the pixel rules that hold.

    Raises RefusedInput with the code of the first rule that refuses it.
    """
    plane = Plane(
        header,
        stored,
        encoded_bytes,
        1.0 if header.RescaleSlope is None else header.RescaleSlope,
        0.0 if header.RescaleIntercept is None else header.RescaleIntercept,
        warnings=list(noticed),
    )
    _judge(plane, "stored", rules)
    _rescale(plane)
    _judge(plane, "hu", rules)
    return plane


def _judge(plane: Plane, stage: str, rules: Sequence[PixelRule]) -> None:
    for rule in rules:
        if rule.stage != stage or not (sentence := rule.told(plane)):
            continue
        if rule.action == "refused":
            raise refused(plane.header, rule.code, sentence)
        rule.fix(plane)
        plane.warnings.append(Warning_(rule.code, f"{plane.header.place}: {sentence}."))


def _rescale(plane: Plane) -> None:
    """Slope and intercept of this plane, in float32: padding may lie beyond 16 bits."""
    padded = _padding(plane)
    with np.errstate(over="ignore", invalid="ignore"):  # a rule refuses what overflows
        hu = plane.stored.astype(np.float32)
        if plane.slope != 1:
            hu *= np.float32(plane.slope)
        if plane.intercept:
            hu += np.float32(plane.intercept)
    plane.hu = hu
    if padded is None:
        plane.lowest_hu, plane.highest_hu = float(hu.min()), float(hu.max())
        return
    plane.padded = padded
    # A measured value for all padding, so that it takes no part in the range; argmin finds one.
    np.copyto(hu, hu.flat[int(padded.argmin())], where=padded)
    plane.lowest_hu, plane.highest_hu = float(hu.min()), float(hu.max())
    np.copyto(hu, np.float32(AIR_HU), where=padded)
    if padded.all():
        plane.lowest_hu = plane.highest_hu = AIR_HU


def _padding(plane: Plane) -> NDArray[np.bool_] | None:
    """Where pixels are padding, compared as stored; what a rule already marked stays marked."""
    limits = _padding_limits(plane)
    if not limits or _padding_told(plane):
        return plane.padded
    low, high = min(limits), max(limits)
    stored = plane.stored
    here = stored == low if low == high else (stored >= low) & (stored <= high)
    return np.asarray(here if plane.padded is None else here | plane.padded)


def _padding_limits(plane: Plane) -> list[int]:
    """PixelPaddingValue, and PixelPaddingRangeLimit if there is one, in the pixels' signedness."""
    header = plane.header
    if header.PixelPaddingValue is None:
        return []
    limits = [header.PixelPaddingValue]
    if header.PixelPaddingRangeLimit is not None:
        limits.append(header.PixelPaddingRangeLimit)
    return [_as_stored(header, limit) for limit in limits]


def _as_stored(header: SliceHeader, value: int) -> int:
    """63536 and -2000 are the same 16 bits."""
    span = 1 << (header.BitsAllocated or 16)
    if header.PixelRepresentation == 1:
        return value - span if value >= span // 2 else value
    return value + span if value < 0 else value


def _padding_told(plane: Plane) -> str:
    limits = _padding_limits(plane)
    in_hu = [limit * plane.slope + plane.intercept for limit in limits]
    if not any(_TISSUE_HU[0] <= value <= _TISSUE_HU[1] for value in in_hu):
        return ""
    return f"PixelPaddingValue {limits[0]} would be tissue ({in_hu[0]:.0f} HU); it was ignored"


def _not_monochrome(plane: Plane) -> str:
    name = plane.header.PhotometricInterpretation
    known = name in ("", "MONOCHROME1", "MONOCHROME2")
    return "" if known else f"its pixels are {name}, which are no Hounsfield units"


def _bad_rescale(plane: Plane) -> str:
    broken = {"RescaleSlope", "RescaleIntercept"} & set(plane.header.malformed)
    bad = broken or plane.header.RescaleSlope == 0
    return "its RescaleSlope or RescaleIntercept is no number" if bad else ""


def _modality_lut(plane: Plane) -> str:
    header = plane.header
    absent = header.RescaleSlope is None and header.RescaleIntercept is None
    if not (absent and has_modality_lut(header)):
        return ""
    return "it has a ModalityLUTSequence where CT has slope and intercept; export it again"


def _no_rescale(plane: Plane) -> str:
    header = plane.header
    absent = header.RescaleSlope is None and header.RescaleIntercept is None
    if not absent or header.PixelRepresentation == 1 or plane.stored.dtype.kind == "f":
        return ""
    return "it has no RescaleSlope and RescaleIntercept, and unsigned pixels are not HU"


def _assumed_rescale(plane: Plane) -> str:
    header = plane.header
    absent = header.RescaleSlope is None and header.RescaleIntercept is None
    text = "RescaleSlope and RescaleIntercept are absent; its values were taken as HU"
    return text if absent else ""


def _lone_rescale(plane: Plane) -> str:
    slope, intercept = plane.header.RescaleSlope, plane.header.RescaleIntercept
    if (slope is None) == (intercept is None):
        return ""
    absent, neutral = ("RescaleSlope", 1) if slope is None else ("RescaleIntercept", 0)
    return f"{absent} is absent; its neutral value {neutral} was taken"


def _rescale_type(plane: Plane) -> str:
    name = plane.header.RescaleType
    fine = name.upper() in ("", "HU", "HU_MOD")
    return "" if fine else f"RescaleType is '{name}', not HU; values were taken as HU"


def _lossy_source(plane: Plane) -> str:
    header = plane.header
    by_syntax = header.TransferSyntaxUID in LOSSY_SYNTAXES
    if not (header.LossyImageCompression == "01" or by_syntax):
        return ""
    if header.LossyImageCompression == "00":
        return ""
    ratio, how = header.LossyImageCompressionRatio, "stated"
    if ratio is None and header.TransferSyntaxUID not in UNCOMPRESSED:
        ratio, how = plane_bytes(header) / max(plane.encoded_bytes, 1), "measured"
    by = "by an unknown ratio" if ratio is None else f"{ratio:.1f}:1 ({how})"
    return f"its pixels were compressed with loss, {by}; fine detail may be gone"


def _not_finite(plane: Plane) -> str:
    fine = bool(np.isfinite(plane.lowest_hu) and np.isfinite(plane.highest_hu))
    return "" if fine else "its pixels or rescale give values that no CT has"


def _empty_slice(plane: Plane) -> str:
    return "it holds one value only" if plane.lowest_hu == plane.highest_hu else ""


def _metal(plane: Plane) -> str:
    if plane.highest_hu <= METAL_HU:
        return ""
    return f"values up to {plane.highest_hu:.0f} HU were cut to {METAL_HU:.0f}: metal"


def _clip_metal(plane: Plane) -> None:
    np.minimum(plane.hu, np.float32(METAL_HU), out=plane.hu)


PIXEL_RULES: tuple[PixelRule, ...] = (
    PixelRule("not_monochrome", "refused", "stored", _not_monochrome),
    PixelRule("bad_rescale", "refused", "stored", _bad_rescale),
    PixelRule("modality_lut", "refused", "stored", _modality_lut),
    PixelRule("no_rescale", "refused", "stored", _no_rescale),
    PixelRule("assumed_rescale", "warned", "stored", _assumed_rescale),
    PixelRule("lone_rescale", "warned", "stored", _lone_rescale),
    PixelRule("rescale_type", "warned", "stored", _rescale_type),
    PixelRule("overlay_bits", "fixed", "stored", overlay_bits, only_stored_bits),
    PixelRule("sign_not_extended", "fixed", "stored", sign_not_extended, only_stored_bits),
    PixelRule("wrong_bits_stored", "warned", "stored", wrong_bits_stored),
    PixelRule("unknown_bits", "refused", "stored", unknown_bits),
    PixelRule("unsigned_wrap_fixed", "fixed", "stored", unsigned_wrap_fixed, unwrap),
    PixelRule("unsigned_wrap", "refused", "stored", unsigned_wrap),
    PixelRule("padding_in_tissue", "warned", "stored", _padding_told),
    PixelRule("lossy_source", "warned", "stored", _lossy_source),
    PixelRule("not_finite", "refused", "hu", _not_finite),
    PixelRule("empty_slice", "warned", "hu", _empty_slice),
    PixelRule("metal_clipped", "fixed", "hu", _metal, _clip_metal),
)
