"""Series -> HU slices: decode lazily, rescale each slice by its own header, turn it canonical.

`pixels.py` reads and decodes a plane, `intensities.py` makes Hounsfield units of it; here they are
put in order, a few slices ahead of whoever takes them, and judged as a series.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ichclient.codecs import Codec, codecs
from ichclient.decoder import Encoding
from ichclient.decoders import decoder_pool, isolated_values
from ichclient.errors import RefusedInput
from ichclient.frames import UNCOMPRESSED, refused
from ichclient.geometry import canonical_orientation
from ichclient.headers import SliceHeader, Warning_
from ichclient.intensities import AIR_HU, plane_from_stored
from ichclient.pixels import Decode, stored_values
from ichclient.rules import DEFAULT_BOOK, RuleBook
from ichclient.series import Series
from ichclient.slabs import slabs_from_slices

__all__ = [
    "AIR_HU",
    "Codec",
    "HUSlice",
    "codecs",
    "hu_from_header",
    "hu_of_slice",
    "hu_slices_from_series",
]

# Every head CT shows air around the head or in its sinuses, bone of the skull, and soft tissue.
_AIR_BELOW_HU = -900.0
_BONE_ABOVE_HU = 200.0
_SOFT_TISSUE_HU = (0.0, 80.0)
_SOFT_TISSUE_SHARE = 0.01
_SPARSE = 3  # every third row and column is enough to estimate a share
_LOOK_AHEAD = 4
# Below this a series is decoded before child processes would have started.
_SLICES_WORTH_A_PROCESS = 48


@dataclass(frozen=True)
class HUSlice:
    """One slice in Hounsfield units, canonical: rows front to back, columns right to left.

    `hu` is float32 from -1024 to 3071. `air` and `bone` say whether the slice holds a measured
    value (never padding) as low as air or as high as bone, `tissue` whether a share of it lies
    where brain and muscle do.
    """

    hu: NDArray[np.float32]
    row_spacing_mm: float
    column_spacing_mm: float
    header: SliceHeader
    air: bool
    bone: bool
    tissue: bool = True
    warnings: tuple[Warning_, ...] = ()

    def __post_init__(self) -> None:
        """Hounsfield units are a finite plane of float32."""
        if self.hu.ndim != 2 or self.hu.dtype != np.float32:
            raise ValueError(f"hu must be a float32 plane, got {self.hu.dtype} {self.hu.shape}")
        if min(self.row_spacing_mm, self.column_spacing_mm) <= 0:
            raise ValueError("pixel spacings must be positive")


def hu_slices_from_series(
    series: Series, workers: int = 2, book: RuleBook = DEFAULT_BOOK
) -> Generator[HUSlice]:
    """Decode a series in order, a few slices ahead of whoever takes them; slabs are averaged.

    At most `workers` planes are decompressed at a time, and at most `workers` + 4 slices are
    decoded and not yet taken, so memory stays flat however long the series is. Closing the
    iterator cancels what has not begun. Raises RefusedInput at the first slice that cannot be
    trusted, and at the end where the whole series holds no air, no bone or no soft tissue, which
    no rescaled CT of a head does: take no result before the iterator has ended.
    """
    if workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")
    if not series.slabs:
        yield from _plausible(series, series.slices, workers, book)
        return
    planes = tuple(header for slab in series.slabs for header in slab)
    with contextlib.closing(_plausible(series, planes, workers, book)) as slices:
        yield from slabs_from_slices(slices, series.slabs)


def hu_of_slice(series: Series, index: int, book: RuleBook = DEFAULT_BOOK) -> HUSlice:
    """One slice of a series alone, averaged where it is a slab. Raises as `hu_from_header`."""
    planes = series.slabs[index] if series.slabs else series.slices[index : index + 1]
    decoded = (hu_from_header(header, book=book) for header in planes)
    return next(slabs_from_slices(decoded, [planes]))


def _plausible(
    series: Series, planes: tuple[SliceHeader, ...], workers: int, book: RuleBook
) -> Generator[HUSlice]:
    """The planes one by one, and the judgement of all of them at the end."""
    air = bone = tissue = False
    for one in _in_order(planes, workers, book):
        air, bone, tissue = air or one.air, bone or one.bone, tissue or one.tissue
        yield one
    absent = [
        name
        for name, present in (
            ("air (below -900 HU)", air),
            ("bone (above 200 HU)", bone),
            ("soft tissue (0 to 80 HU)", tissue),
        )
        if not present
    ]
    if absent and book.holds("implausible_hu"):
        raise RefusedInput(
            f"Series {series.identity.SeriesInstanceUID}: no slice holds {absent[0]}, so its "
            "values are not Hounsfield units of a head. Check RescaleSlope and RescaleIntercept "
            "in the export. [implausible_hu]"
        )


def hu_from_header(
    header: SliceHeader, decode: Decode = isolated_values, book: RuleBook = DEFAULT_BOOK
) -> HUSlice:
    """Decode the plane of a header to Hounsfield units.

    Raises RefusedInput where the pixels are cut short, of an unsupported transfer syntax or
    undecodable, where they have no position, or where a pixel rule refuses them.
    """
    if header.ImageOrientationPatient is None or header.PixelSpacing is None:
        raise refused(header, "no_position", "it lacks orientation or PixelSpacing; export again")
    plane = plane_from_stored(header, *stored_values(header, decode), rules=book.pixel_rules)
    hu = plane.hu
    sparse = hu[::_SPARSE, ::_SPARSE]
    soft = (sparse >= _SOFT_TISSUE_HU[0]) & (sparse <= _SOFT_TISSUE_HU[1])
    np.maximum(hu, np.float32(AIR_HU), out=hu)
    orientation = canonical_orientation(header.ImageOrientationPatient)
    row_spacing_mm, column_spacing_mm = orientation.spacing(header.PixelSpacing)
    return HUSlice(
        hu=np.ascontiguousarray(orientation.canonical(hu)),
        row_spacing_mm=row_spacing_mm,
        column_spacing_mm=column_spacing_mm,
        header=header,
        air=plane.lowest_hu < _AIR_BELOW_HU,
        bone=plane.highest_hu > _BONE_ABOVE_HU,
        tissue=np.count_nonzero(soft) >= _SOFT_TISSUE_SHARE * soft.size,
        warnings=tuple(plane.warnings),
    )


def _in_order(headers: tuple[SliceHeader, ...], workers: int, book: RuleBook) -> Iterator[HUSlice]:
    """Decode on threads with a bounded look-ahead."""
    waiting: deque[Future[HUSlice]] = deque()
    compressed = any(header.TransferSyntaxUID not in UNCOMPRESSED for header in headers)
    # Plain values cost less than two threads' quarrel over Python's lock; where children decode,
    # one thread more keeps all of them busy.
    threads = workers + 1 if compressed else 1
    decode = _decoder(headers, workers) if compressed else isolated_values
    pool = ThreadPoolExecutor(threads, thread_name_prefix="ichclient-decode")
    try:
        for header in headers:
            waiting.append(pool.submit(hu_from_header, header, decode, book))
            if len(waiting) >= workers + _LOOK_AHEAD:
                yield from _ruled(waiting.popleft(), book)
        while waiting:
            yield from _ruled(waiting.popleft(), book)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _ruled(decoding: Future[HUSlice], book: RuleBook) -> Iterator[HUSlice]:
    """A decoded slice and what the table of rules has to say of it; nothing else has an effect."""
    try:
        one = decoding.result()
    except RefusedInput as refusal:
        if book.holds(refusal.code):
            raise
        return
    warnings = tuple(warning for warning in one.warnings if book.holds(warning.code))
    yield one if warnings == one.warnings else replace(one, warnings=warnings)


def _decoder(headers: tuple[SliceHeader, ...], workers: int) -> Decode:
    """How the threads decode; for a long series, or a second one, each finds a child process."""
    children = decoder_pool()
    if len(headers) >= _SLICES_WORTH_A_PROCESS or children.is_warm:
        children.grow(workers)
    turns = threading.BoundedSemaphore(workers)

    def decode(data: bytes, encoding: Encoding) -> NDArray[Any]:
        with turns:
            return isolated_values(data, encoding)

    return decode
