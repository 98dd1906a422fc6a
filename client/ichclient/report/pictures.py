"""Slices and masks -> small pictures, embedded once each, and the outlines drawn over them.

Every picture of a page shows the same square of the patient in mm, so nothing jumps from slice to
slice. A slice of the series is kept in the wide window only; the page narrows it by a filter. The
slices with the highest scores come in both windows as they are.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ichclient.headers import SliceHeader
from ichclient.hounsfield import HUSlice, hu_from_header
from ichclient.masks import Masks
from ichclient.report.contour import outlines_from_mask
from ichclient.report.windows import BRAIN, SUBDURAL
from ichclient.result import Result
from ichcore import HU_AIR, Grid, placement_from_hu

MAX_SLICES = 300
"""A longer series is thinned out evenly; the slices with the highest scores always stay."""

SERIES_BYTES = 9 * 2**20
"""What the pictures of a series weigh together at most, before base64 adds a third."""

MAX_TOP_SLICES = 5

_LARGE_PX, _SMALL_PX = 512, 384
_LARGE_UP_TO_SLICES = 120
_QUALITIES = (90, 75, 50, 25)
_TOP_QUALITY = 92
_EFFORT = 2  # of WebP's 0 to 6: half the time of 4 for a twentieth of the bytes
_UNKNOWN_SPEC_LEVEL = 0.5


@dataclass(frozen=True)
class Square:
    """What all pictures of a page show of their slices, in mm from the slice's corner."""

    left_mm: float
    top_mm: float
    side_mm: float


@dataclass(frozen=True)
class SlicePicture:
    """One slice in the window SUBDURAL as a data URI; `outline` is an SVG path in mm."""

    index: int
    picture: str
    outline: str


@dataclass(frozen=True)
class TopPicture:
    """One of the slices with the highest scores, in both windows."""

    index: int
    brain: str
    subdural: str
    outline: str


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
    headers: Sequence[SliceHeader], masks: Masks | None, result: Result, workers: int = 2
) -> Pictures:
    """Decode the slices of a result once more and draw them; raises what `hu_from_header` does."""
    kept = kept_slices(len(headers), result.top_slices)
    level = result.combination.mask_threshold if result.combination else _UNKNOWN_SPEC_LEVEL
    square = square_of_head(headers, masks, result)
    side_px = _LARGE_PX if len(kept) <= _LARGE_UP_TO_SLICES else _SMALL_PX
    tops = result.top_slices[:MAX_TOP_SLICES]

    def drawn(index: int) -> tuple[SlicePicture, TopPicture | None]:
        one = hu_from_header(headers[index])
        outline = _outline(masks, index, level, square)
        grey = SUBDURAL.grey(_cut(one, square, side_px))
        picture = SlicePicture(index, _bounded(grey, SERIES_BYTES // len(kept)), outline)
        if index not in tops:
            return picture, None
        hu = _cut(one, square, _LARGE_PX)
        brain, subdural = (
            _data_uri(_webp(window.grey(hu), _TOP_QUALITY)) for window in (BRAIN, SUBDURAL)
        )
        return picture, TopPicture(index, brain, subdural, outline)

    with ThreadPoolExecutor(workers, thread_name_prefix="ichclient-draw") as pool:
        all_drawn = list(pool.map(drawn, kept))
    by_index = {top.index: top for _, top in all_drawn if top is not None}
    return Pictures(
        side_mm=square.side_mm,
        slices=tuple(picture for picture, _ in all_drawn),
        tops=tuple(by_index[index] for index in tops),
        left_out=tuple(sorted(set(range(len(headers))) - set(kept))),
        mask_level=level,
        has_masks=masks is not None,
    )


def square_of_head(headers: Sequence[SliceHeader], masks: Masks | None, result: Result) -> Square:
    """The square that holds the grid of every slice with much brain, as far as it was scanned.

    Without masks the grid is laid on the slice with the largest brain once more.
    """
    areas = [one.brain_mm2 for one in result.slices]
    if masks is None:
        one = hu_from_header(headers[int(np.argmax(areas))])
        grid, brain = Grid(), [placement_from_hu(one.hu, one.row_spacing_mm, one.column_spacing_mm)]
    else:
        grid = masks.grid
        brain = [
            place
            for place, area in zip(masks.placements, areas, strict=True)
            if area >= max(areas) / 2
        ]
    xs = [place.centre_column * place.column_spacing_mm for place in brain]
    ys = [place.centre_row * place.row_spacing_mm for place in brain]
    grid_mm = max(grid.rows, grid.columns) * grid.pixel_spacing_mm
    side_mm = grid_mm + max(max(xs) - min(xs), max(ys) - min(ys))
    width_mm = brain[0].columns * brain[0].column_spacing_mm
    height_mm = brain[0].rows * brain[0].row_spacing_mm
    return _inside((min(xs) + max(xs)) / 2, (min(ys) + max(ys)) / 2, side_mm, width_mm, height_mm)


def _inside(
    middle_x: float, middle_y: float, side_mm: float, width_mm: float, height_mm: float
) -> Square:
    """A square around a middle, moved and shrunk to what was scanned; centred where it is not."""

    def begin(middle: float, side: float, length: float) -> float:
        if side >= length:
            return (length - side) / 2
        return min(max(middle - side / 2, 0.0), length - side)

    side = min(side_mm, max(width_mm, height_mm))
    return Square(begin(middle_x, side, width_mm), begin(middle_y, side, height_mm), side)


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


def _outline(masks: Masks | None, index: int, level: float, square: Square) -> str:
    """The mask's outline as an SVG path in mm of the square; empty where nothing is marked."""
    if masks is None:
        return ""
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
    parts = []
    for outline in outlines_from_mask(mask, level * 255):
        points = outline * scale + corner
        parts.append("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points.tolist()) + "Z")
    return "".join(parts)


def _bounded(grey: NDArray[np.uint8], limit_bytes: int) -> str:
    """The picture at the highest quality that keeps to the limit, the lowest one if none does."""
    for quality in _QUALITIES:
        content = _webp(grey, quality)
        if len(content) <= limit_bytes:
            break
    return _data_uri(content)


def _webp(grey: NDArray[np.uint8], quality: int) -> bytes:
    buffer = io.BytesIO()
    image = Image.fromarray(grey).convert("RGB")  # WebP has no grey; this costs no bytes
    image.save(buffer, format="WEBP", quality=quality, method=_EFFORT)
    return buffer.getvalue()


def _data_uri(content: bytes) -> str:
    return "data:image/webp;base64," + base64.b64encode(content).decode("ascii")
