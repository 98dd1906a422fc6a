"""Series -> HU slices: decode lazily, rescale each slice by its own header, turn it canonical.

The only place, beside `dicom.py`, that knows pydicom. Slope and intercept are applied by the rule
written here: pydicom's own `apply_rescale` does nothing at all where one of the two is missing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ichclient.errors import RefusedInput
from ichclient.geometry import canonical_orientation
from ichclient.headers import SliceHeader, Warning_
from ichclient.rules import DEFAULT_BOOK, RuleBook
from ichclient.series import Series

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset

AIR_HU = -1024.0
# Every head CT shows air around the head or in its sinuses, and bone of the skull.
_AIR_BELOW_HU = -900.0
_BONE_ABOVE_HU = 200.0
# A padding value inside this range would erase tissue, so it is doubted instead of applied.
_TISSUE_HU = (-250.0, 3000.0)
_LOOK_AHEAD = 4

_INSTALL_GDCM = "pip install python-gdcm"
_INSTALL_OPENJPEG = "pip install pylibjpeg pylibjpeg-openjpeg"
_SYNTAXES: tuple[tuple[str, str, str], ...] = (
    ("Implicit VR Little Endian", "1.2.840.10008.1.2", ""),
    ("Explicit VR Little Endian", "1.2.840.10008.1.2.1", ""),
    ("Deflated Explicit VR Little Endian", "1.2.840.10008.1.2.1.99", ""),
    ("Explicit VR Big Endian", "1.2.840.10008.1.2.2", ""),
    ("RLE Lossless", "1.2.840.10008.1.2.5", ""),
    ("JPEG Baseline", "1.2.840.10008.1.2.4.50", "pip install pillow"),
    ("JPEG Extended", "1.2.840.10008.1.2.4.51", _INSTALL_GDCM),
    ("JPEG Lossless", "1.2.840.10008.1.2.4.57", _INSTALL_GDCM),
    ("JPEG Lossless, first order", "1.2.840.10008.1.2.4.70", _INSTALL_GDCM),
    ("JPEG-LS Lossless", "1.2.840.10008.1.2.4.80", "pip install pyjpegls"),
    ("JPEG-LS Near-Lossless", "1.2.840.10008.1.2.4.81", "pip install pyjpegls"),
    ("JPEG 2000 Lossless", "1.2.840.10008.1.2.4.90", _INSTALL_OPENJPEG),
    ("JPEG 2000", "1.2.840.10008.1.2.4.91", _INSTALL_OPENJPEG),
    ("HTJ2K Lossless", "1.2.840.10008.1.2.4.201", _INSTALL_OPENJPEG),
    ("HTJ2K Lossless RPCL", "1.2.840.10008.1.2.4.202", _INSTALL_OPENJPEG),
    ("HTJ2K", "1.2.840.10008.1.2.4.203", _INSTALL_OPENJPEG),
)
_UNCOMPRESSED = {uid for _, uid, _ in _SYNTAXES[:4]}


@dataclass(frozen=True)
class Codec:
    """Whether pixels of one transfer syntax can be decoded here, and what to install if not."""

    name: str
    transfer_syntax_uid: str
    available: bool
    extra: str


@dataclass(frozen=True)
class HUSlice:
    """One slice in Hounsfield units, canonical: rows front to back, columns right to left.

    `hu` is float32, not below -1024 and not clipped above. `air` and `bone` say whether the slice
    holds a measured value (never padding) as low as air or as high as bone.
    """

    hu: NDArray[np.float32]
    row_spacing_mm: float
    column_spacing_mm: float
    header: SliceHeader
    air: bool
    bone: bool
    warnings: tuple[Warning_, ...] = ()

    def __post_init__(self) -> None:
        """Hounsfield units are a finite plane of float32."""
        if self.hu.ndim != 2 or self.hu.dtype != np.float32:
            raise ValueError(f"hu must be a float32 plane, got {self.hu.dtype} {self.hu.shape}")
        if min(self.row_spacing_mm, self.column_spacing_mm) <= 0:
            raise ValueError("pixel spacings must be positive")


def codecs() -> tuple[Codec, ...]:
    """Every transfer syntax that CT comes in, and whether this installation decodes it."""
    return tuple(Codec(name, uid, _decodes(uid), extra) for name, uid, extra in _SYNTAXES)


def hu_slices_from_series(
    series: Series, workers: int = 2, book: RuleBook = DEFAULT_BOOK
) -> Generator[HUSlice]:
    """Decode a series in order, a few slices ahead of whoever takes them.

    At most `workers` + 4 slices are decoded and not yet taken, so memory stays flat however long
    the series is. Closing the iterator cancels what has not begun. Raises RefusedInput at the
    first slice that cannot be trusted, and at the end where the whole series holds no air or no
    bone, which no rescaled CT of a head does: take no result before the iterator has ended.
    """
    if workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")
    air = bone = False
    for one in _in_order(series.slices, workers, book):
        air, bone = air or one.air, bone or one.bone
        yield one
    if not (air and bone) and book.holds("implausible_hu"):
        absent = "air (below -900 HU)" if not air else "bone (above 200 HU)"
        raise RefusedInput(
            f"Series {series.identity.SeriesInstanceUID}: no slice holds {absent}, so its values "
            "are not Hounsfield units of a head. Check RescaleSlope and RescaleIntercept in the "
            "export. [implausible_hu]"
        )


def hu_from_header(header: SliceHeader) -> HUSlice:
    """Decode the file of a header to Hounsfield units.

    Raises RefusedInput where the pixels are cut short, of an unsupported transfer syntax or
    undecodable, where they have no position, or where their rescale is absent or broken.
    """
    if header.ImageOrientationPatient is None or header.PixelSpacing is None:
        raise _refused(header, "no_position", "it lacks orientation or PixelSpacing; export again")
    raw, warnings = _raw_pixels(header)
    slope, intercept, told = _rescale(header)
    warnings += told
    with np.errstate(over="ignore", invalid="ignore"):  # the next line refuses what overflows
        values = raw.astype(np.float32) * np.float32(slope) + np.float32(intercept)
    if not np.isfinite(values).all():
        raise _refused(header, "not_finite", "its pixels or rescale give values that no CT has")
    padded, told = _padding(header, raw, slope, intercept)
    warnings += told
    values[padded] = AIR_HU
    measured = values[~padded]
    if measured.size == 0 or measured.min() == measured.max():
        warnings += (Warning_("empty_slice", f"{header.relative_path} holds one value only."),)
    np.maximum(values, np.float32(AIR_HU), out=values)
    orientation = canonical_orientation(header.ImageOrientationPatient)
    row_spacing_mm, column_spacing_mm = orientation.spacing(header.PixelSpacing)
    return HUSlice(
        hu=np.ascontiguousarray(orientation.canonical(values)),
        row_spacing_mm=row_spacing_mm,
        column_spacing_mm=column_spacing_mm,
        header=header,
        air=bool((measured < _AIR_BELOW_HU).any()),
        bone=bool((measured > _BONE_ABOVE_HU).any()),
        warnings=warnings,
    )


def _in_order(headers: tuple[SliceHeader, ...], workers: int, book: RuleBook) -> Iterator[HUSlice]:
    """Decode on threads (codecs and numpy let go of the interpreter) with a bounded look-ahead."""
    pool = ThreadPoolExecutor(workers, thread_name_prefix="ichclient-decode")
    waiting: deque[Future[HUSlice]] = deque()
    try:
        for header in headers:
            waiting.append(pool.submit(hu_from_header, header))
            if len(waiting) >= workers + _LOOK_AHEAD:
                yield from _ruled(waiting.popleft(), book)
        while waiting:
            yield from _ruled(waiting.popleft(), book)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _ruled(decoding: Future[HUSlice], book: RuleBook) -> Iterator[HUSlice]:
    """A decoded slice with what the table of rules has to say of it; nothing else has an effect."""
    try:
        one = decoding.result()
    except RefusedInput as refusal:
        if book.holds(refusal.code):
            raise
        return
    warnings = tuple(warning for warning in one.warnings if book.holds(warning.code))
    yield one if warnings == one.warnings else replace(one, warnings=warnings)


def _raw_pixels(header: SliceHeader) -> tuple[NDArray[Any], tuple[Warning_, ...]]:
    """The stored values [Rows, Columns], before any rescale."""
    from pydicom import dcmread

    _require_decoder(header)
    try:
        dataset = dcmread(header.path)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise _refused(header, "unreadable", f"it cannot be read ({reason})") from error
    except Exception as error:  # pydicom raises many kinds on broken bytes
        raise _refused(header, "truncated_pixels", "its pixel data break off") from error
    warnings = _trimmed(header, dataset)
    try:
        array: NDArray[Any] = dataset.pixel_array
    except Exception as error:  # each codec raises its own kinds
        what = f"its pixels cannot be decoded ({type(error).__name__}), so the file may be cut"
        raise _refused(header, "undecodable_pixels", what) from error
    if array.shape != (header.Rows, header.Columns):
        what = f"its pixels have the shape {array.shape}, not Rows x Columns"
        raise _refused(header, "unexpected_shape", what)
    return array, warnings


def _trimmed(header: SliceHeader, dataset: FileDataset) -> tuple[Warning_, ...]:
    """Compare uncompressed pixel data with the header: too little is refused, excess is cut off."""
    element = dataset.get("PixelData")
    if header.TransferSyntaxUID not in _UNCOMPRESSED or element is None:
        return ()
    bits = (header.BitsAllocated or 16) * (header.Rows or 0) * (header.Columns or 0)
    expected = bits // 8
    found = len(element)
    if found < expected:
        what = f"its pixel data hold {found} of {expected} bytes; copy or export it again"
        raise _refused(header, "truncated_pixels", what)
    if found <= expected + 1:  # an odd length is padded to an even one
        return ()
    dataset.PixelData = element[:expected]
    text = f"{header.relative_path} has {found - expected} bytes after its pixels; not used."
    return (Warning_("excess_pixels", text),)


def _require_decoder(header: SliceHeader) -> None:
    """Refuse a transfer syntax that cannot be decoded here, naming it and what to install."""
    from pydicom.uid import UID

    uid = header.TransferSyntaxUID
    if _decodes(uid):
        return
    extra = next((extra for _, known, extra in _SYNTAXES if known == uid and extra), "")
    name = UID(uid).name if uid else "absent"
    advice = f"{extra}, or export it uncompressed" if extra else "export it uncompressed"
    what = f"its transfer syntax {name} ({uid or 'no UID'}) cannot be decoded here: {advice}"
    raise _refused(header, "unsupported_transfer_syntax", what)


def _decodes(uid: str) -> bool:
    from pydicom.pixels.decoders.base import get_decoder

    try:
        return bool(get_decoder(uid).is_available)
    except NotImplementedError:
        return False


def _rescale(header: SliceHeader) -> tuple[float, float, tuple[Warning_, ...]]:
    """Slope and intercept of one slice, with DICOM's neutral value for a lone missing one."""
    slope, intercept = header.RescaleSlope, header.RescaleIntercept
    if {"RescaleSlope", "RescaleIntercept"} & set(header.malformed) or slope == 0:
        raise _refused(header, "bad_rescale", "its RescaleSlope or RescaleIntercept is no number")
    warnings: tuple[Warning_, ...] = ()
    if slope is None and intercept is None:
        if header.PixelRepresentation != 1:
            what = "it has no RescaleSlope and RescaleIntercept, and unsigned pixels are not HU"
            raise _refused(header, "no_rescale", what)
        text = "RescaleSlope and RescaleIntercept are absent; signed pixels were taken as HU."
        warnings += (Warning_("assumed_rescale", text),)
    elif slope is None or intercept is None:
        absent = "RescaleSlope" if slope is None else "RescaleIntercept"
        text = f"{absent} is absent; its neutral value {1 if slope is None else 0} was taken."
        warnings += (Warning_("lone_rescale", text),)
    if header.RescaleType.upper() not in ("", "HU"):
        text = f"RescaleType is '{header.RescaleType}', not HU; values were taken as HU."
        warnings += (Warning_("rescale_type", text),)
    return (1.0 if slope is None else slope), (0.0 if intercept is None else intercept), warnings


def _padding(
    header: SliceHeader, raw: NDArray[Any], slope: float, intercept: float
) -> tuple[NDArray[np.bool_], tuple[Warning_, ...]]:
    """Where pixels are padding, compared as stored; a value that means tissue is not believed."""
    nothing = np.zeros(raw.shape, dtype=np.bool_)
    if header.PixelPaddingValue is None:
        return nothing, ()
    limits = [_as_stored(header, header.PixelPaddingValue)]
    if header.PixelPaddingRangeLimit is not None:
        limits.append(_as_stored(header, header.PixelPaddingRangeLimit))
    in_hu = [limit * slope + intercept for limit in limits]
    if any(_TISSUE_HU[0] <= value <= _TISSUE_HU[1] for value in in_hu):
        text = f"PixelPaddingValue {limits[0]} would be tissue ({in_hu[0]:.0f} HU); it was ignored."
        return nothing, (Warning_("padding_in_tissue", text),)
    return (raw >= min(limits)) & (raw <= max(limits)), ()


def _as_stored(header: SliceHeader, value: int) -> int:
    """A padding value in the pixels' own signedness: 63536 and -2000 are the same 16 bits."""
    span = 1 << (header.BitsAllocated or 16)
    if header.PixelRepresentation == 1:
        return value - span if value >= span // 2 else value
    return value + span if value < 0 else value


def _refused(header: SliceHeader, code: str, what: str) -> RefusedInput:
    return RefusedInput(f"{header.relative_path}: {what}. [{code}]")
