"""HU slice and mask -> PNG: the brain window, the lesion in red, and what it must not be taken for.

The only place that draws; Pillow alone.
"""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ichclient.hounsfield import HUSlice

DEMONSTRATION = "RESEARCH DEMONSTRATION - NOT A MEDICAL DEVICE"
_WINDOW_LEVEL_HU = 40.0
_WINDOW_WIDTH_HU = 80.0
_RED = (230, 40, 30)
_OPACITY = 0.55
_SHORTEST_SIDE = 512
_TEXT_COLOUR = (255, 210, 60)


def png_from_slice(one: HUSlice, mask: NDArray[np.float32], caption: str) -> bytes:
    """Draw a slice in the window W80 L40 with its lesion probability [rows, columns] over it.

    The text is part of the pixels, so that it stays with every copy of the picture.
    """
    grey = _grey(one, mask)
    opacity = _OPACITY * np.clip(mask, 0, 1)[..., None]
    pixels = np.rint(grey * (1 - opacity) + np.array(_RED) * opacity).astype(np.uint8)
    image = Image.fromarray(pixels, mode="RGB").resize(_square_pixels(one))
    _write(image, caption)
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def outlined_from_slice(
    one: HUSlice, mask: NDArray[np.float32], caption: str, level: float
) -> NDArray[np.uint8]:
    """Draw a slice in the same window, the mask's outline at `level` around untouched brain.

    Returns RGB [rows, columns, 3] with square pixels, text within them as in `png_from_slice`.
    """
    size = _square_pixels(one)
    grey = np.rint(_grey(one, mask)).astype(np.uint8)
    image = Image.fromarray(np.repeat(grey, 3, axis=2), mode="RGB").resize(size)
    inside = np.asarray(Image.fromarray(np.clip(mask, 0, 1)).resize(size)) >= level
    pixels = np.array(image)
    pixels[_rim(inside)] = _RED
    image = Image.fromarray(pixels, mode="RGB")
    _write(image, caption)
    return np.asarray(image)


def _grey(one: HUSlice, mask: NDArray[np.float32]) -> NDArray[np.float32]:
    """The brain window of a slice as 0 to 255 [rows, columns, 1]."""
    if mask.shape != one.hu.shape:
        raise ValueError(f"a mask {mask.shape} is not one of a slice {one.hu.shape}")
    low_hu = _WINDOW_LEVEL_HU - _WINDOW_WIDTH_HU / 2
    grey: NDArray[np.float32] = np.clip((one.hu - low_hu) / _WINDOW_WIDTH_HU, 0, 1)
    return grey[..., None] * 255


def _rim(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pixels just outside a shape: what is seen of it when it must not be covered."""
    grown = inside.copy()
    grown[1:] |= inside[:-1]
    grown[:-1] |= inside[1:]
    grown[:, 1:] |= inside[:, :-1]
    grown[:, :-1] |= inside[:, 1:]
    return grown & ~inside


def _square_pixels(one: HUSlice) -> tuple[int, int]:
    """Width and height at which a millimetre is the same in both directions."""
    rows, columns = one.hu.shape
    height_mm, width_mm = rows * one.row_spacing_mm, columns * one.column_spacing_mm
    per_mm = max(columns / width_mm, rows / height_mm, _SHORTEST_SIDE / min(height_mm, width_mm))
    return round(width_mm * per_mm), round(height_mm * per_mm)


def _write(image: Image.Image, caption: str) -> None:
    """Sides, the caption below and the warning above, over whatever lies there."""
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(size=14)
    width, height = image.size

    def line(text: str, y: float, anchor: str, x: float = width / 2) -> None:
        draw.text((x, y), text, _TEXT_COLOUR, font, anchor, stroke_width=2, stroke_fill=(0, 0, 0))

    line(DEMONSTRATION, 8, "ma")
    line(caption, height - 8, "md")
    line("R", height / 2, "lm", 8)
    line("L", height / 2, "rm", width - 8)
