"""Slices and masks -> small pictures, embedded once each, and the outlines drawn over them.

Every picture of a page shows the same square around the head in mm, so nothing jumps from slice to
slice. A slice of the series is kept in the wide window only; the page narrows it by a filter. The
slices with the highest scores come in both windows as they are.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ichclient.hounsfield import HUSlice
from ichclient.masks import Masks
from ichclient.report.contour import outlines_from_mask
from ichclient.report.windows import BRAIN, SUBDURAL
from ichclient.result import Result
from ichcore import HU_AIR

Decode = Callable[[int], HUSlice]
"""Slice of a result by its index -> its Hounsfield units."""

MAX_SLICES = 300
"""A longer series is thinned out evenly; the slices with the highest scores always stay."""

SERIES_BYTES = 9 * 2**20
"""What the pictures of a series weigh together at most, before base64 adds a third."""

MAX_TOP_SLICES = 5

_LARGE_PX, _SMALL_PX = 512, 384
_LARGE_UP_TO_SLICES = 120
_QUALITIES = (90, 75, 50, 25)
_FEWEST_PX = 64
_TOP_QUALITY = 92
_EFFORT = 2  # of WebP's 0 to 6: half the time of 4 for a twentieth of the bytes
_BONE_HU = 250.0
_STRAY = 0.002  # of the bone: a wire on the headrest does not widen the picture
_MUCH_BRAIN = 0.25
_SCALP_MM = 12.0
_RING_MM = 8.0


@dataclass(frozen=True)
class Square:
    """What all pictures of a page show of their slices, in mm from the slice's corner."""

    left_mm: float
    top_mm: float
    side_mm: float


@dataclass(frozen=True)
class SlicePicture:
    """One slice in the window SUBDURAL as a data URI; `outline` and `rings` are SVG paths."""

    index: int
    picture: str
    outline: str
    rings: str


@dataclass(frozen=True)
class TopPicture:
    """One of the slices with the highest scores, in both windows."""

    index: int
    brain: str
    subdural: str
    outline: str
    rings: str


@dataclass(frozen=True)
class Pictures:
    """All pictures of a page; `left_out` are slices that a long series has no room for."""

    side_mm: float
    slices: tuple[SlicePicture, ...]
    tops: tuple[TopPicture, ...]
    left_out: tuple[int, ...]
    mask_level: float
    """Lesion probability at which outlines are drawn."""
    has_masks: bool


def kept_slices(count: int, top: Sequence[int]) -> tuple[int, ...]:
    """Which of `count` slices get a picture: all, or MAX_SLICES spread evenly with the top ones."""
    if count <= MAX_SLICES:
        return tuple(range(count))
    first = tuple(dict.fromkeys(top))[:MAX_TOP_SLICES]
    even = np.linspace(0, count - 1, MAX_SLICES - len(first)).round().astype(int).tolist()
    return tuple(sorted({*first, *even}))


def pictures_from_slices(
    decode: Decode, masks: Masks | None, result: Result, workers: int = 2
) -> Pictures:
    """Decode the slices of a result once more and draw them; raises what `decode` does."""
    count = len(result.slices)
    kept = kept_slices(count, result.top_slices)
    level = result.mask_level
    square = square_of_head(decode, result)
    side_px = _LARGE_PX if len(kept) <= _LARGE_UP_TO_SLICES else _SMALL_PX
    tops = result.top_slices[:MAX_TOP_SLICES]
    limit_bytes = SERIES_BYTES // len(kept)

    def drawn(index: int) -> tuple[SlicePicture, TopPicture | None]:
        one = decode(index)
        outline, rings = _outline(masks, index, level, square)
        grey = SUBDURAL.grey(_cut(one, square, side_px))
        picture = SlicePicture(index, _data_uri(bounded_webp(grey, limit_bytes)), outline, rings)
        if index not in tops:
            return picture, None
        hu = _cut(one, square, _LARGE_PX)
        brain, subdural = (
            _data_uri(_webp(window.grey(hu), _TOP_QUALITY)) for window in (BRAIN, SUBDURAL)
        )
        return picture, TopPicture(index, brain, subdural, outline, rings)

    with ThreadPoolExecutor(workers, thread_name_prefix="ichclient-draw") as pool:
        all_drawn = list(pool.map(drawn, kept))
    by_index = {top.index: top for _, top in all_drawn if top is not None}
    return Pictures(
        side_mm=square.side_mm,
        slices=tuple(picture for picture, _ in all_drawn),
        tops=tuple(by_index[index] for index in tops),
        left_out=tuple(sorted(set(range(count)) - set(kept))),
        mask_level=level,
        has_masks=masks is not None,
    )


def square_of_head(decode: Decode, result: Result) -> Square:
    """The square around the skull of the slices that show brain, with room for the scalp.

    Looked up on three of them: the lowest, the one with the largest brain, and the highest.
    """
    areas = [one.brain_mm2 for one in result.slices]
    largest = max(areas)
    brain = [index for index, area in enumerate(areas) if area >= _MUCH_BRAIN * largest]
    looked_at = [decode(index) for index in {brain[0], areas.index(largest), brain[-1]}]
    boxes = np.array([_skull_mm(one) for one in looked_at])
    left, top = boxes[:, :2].min(axis=0)
    right, bottom = boxes[:, 2:].max(axis=0)
    side = max(right - left, bottom - top) + 2 * _SCALP_MM
    return Square(float(left + right - side) / 2, float(top + bottom - side) / 2, float(side))


def _skull_mm(one: HUSlice) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of the bone of a slice, of all of it where it has no bone."""
    bone = one.hu > _BONE_HU
    rows, columns = bone.shape

    def ends(profile: NDArray[np.int64], mm: float) -> tuple[float, float]:
        share = np.cumsum(profile) / profile.sum()
        first, last = np.searchsorted(share, (_STRAY, 1 - _STRAY))
        return float(first) * mm, float(last + 1) * mm

    if bone.mean() < _STRAY:
        return 0.0, 0.0, columns * one.column_spacing_mm, rows * one.row_spacing_mm
    left, right = ends(bone.sum(axis=0), one.column_spacing_mm)
    top, bottom = ends(bone.sum(axis=1), one.row_spacing_mm)
    return left, top, right, bottom


def _cut(one: HUSlice, square: Square, side_px: int) -> NDArray[np.float32]:
    """The square of a slice [side_px, side_px] in HU; what was not scanned is air."""
    left, right = (
        mm / one.column_spacing_mm for mm in (square.left_mm, square.left_mm + square.side_mm)
    )
    top, bottom = (
        mm / one.row_spacing_mm for mm in (square.top_mm, square.top_mm + square.side_mm)
    )
    rows, columns = one.hu.shape
    before = int(np.ceil(max(0.0, -top))), int(np.ceil(max(0.0, -left)))
    after = int(np.ceil(max(0.0, bottom - rows))), int(np.ceil(max(0.0, right - columns)))
    hu = one.hu
    if any(before + after):
        around = ((before[0], after[0]), (before[1], after[1]))
        hu = np.pad(hu, around, constant_values=np.float32(HU_AIR))
    box = (left + before[1], top + before[0], right + before[1], bottom + before[0])
    resized = Image.fromarray(hu).resize((side_px, side_px), Image.Resampling.BILINEAR, box=box)
    return np.asarray(resized, dtype=np.float32)


def _outline(masks: Masks | None, index: int, level: float, square: Square) -> tuple[str, str]:
    """The mask's outline, and rings round what is small in it, as SVG paths in mm of the square.

    Empty where nothing is marked.
    """
    if masks is None:
        return "", ""
    place, mask = masks.placements[index], masks.mask[index]
    left, top, right, bottom = place.box_on(masks.grid)
    rows, columns = mask.shape
    scale = np.array(
        [
            (right - left) / columns * place.column_spacing_mm,
            (bottom - top) / rows * place.row_spacing_mm,
        ]
    )
    corner = np.array(
        [
            left * place.column_spacing_mm - square.left_mm,
            top * place.row_spacing_mm - square.top_mm,
        ]
    )
    parts, drawn = [], []
    for outline in outlines_from_mask(mask, level * 255):
        points = outline * scale + corner
        drawn.append(points)
        parts.append("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points.tolist()) + "Z")
    return "".join(parts), "".join(_rings(drawn))


def _rings(outlines: Sequence[NDArray[np.float64]]) -> list[str]:
    """A circle round each outline that is too small to be found, one for several close by."""
    centres: list[NDArray[np.float64]] = []
    radius = f"{_RING_MM:.0f}"
    for points in outlines:
        low, high = points.min(axis=0), points.max(axis=0)
        centre = (low + high) / 2
        if (high - low).max() < _RING_MM and all(
            np.hypot(*(centre - other)) > _RING_MM for other in centres
        ):
            centres.append(centre)
    return [
        f"M{x - _RING_MM:.1f} {y:.1f}a{radius} {radius} 0 1 0 {2 * _RING_MM:.0f} 0"
        f"a{radius} {radius} 0 1 0 -{2 * _RING_MM:.0f} 0Z"
        for x, y in (centre.tolist() for centre in centres)
    ]


def bounded_webp(grey: NDArray[np.uint8], limit_bytes: int) -> bytes:
    """The picture at the highest quality that keeps to the limit, at last with fewer pixels."""
    for quality in _QUALITIES:
        content = _webp(grey, quality)
        if len(content) <= limit_bytes or min(grey.shape) < _FEWEST_PX:
            return content
    return bounded_webp(np.ascontiguousarray(grey[::2, ::2]), limit_bytes)


def _webp(grey: NDArray[np.uint8], quality: int) -> bytes:
    buffer = io.BytesIO()
    image = Image.fromarray(grey).convert("RGB")  # WebP has no grey; this costs no bytes
    image.save(buffer, format="WEBP", quality=quality, method=_EFFORT)
    return buffer.getvalue()


def _data_uri(content: bytes) -> str:
    return "data:image/webp;base64," + base64.b64encode(content).decode("ascii")
