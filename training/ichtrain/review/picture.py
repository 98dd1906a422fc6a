"""Grey tiles and masks -> PNG bytes that hold pixels and nothing else.

The only place of the reading study that draws; Pillow alone. No text chunk is ever written, so
that a picture cannot tell whose it is.
"""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_RED = (235, 60, 45)
_EDGE_OPACITY = 255
_FILL_OPACITY = 90


def png_from_grey(picture: NDArray[np.uint8]) -> bytes:
    """A grey picture [height, width]."""
    return _png(Image.fromarray(np.ascontiguousarray(picture), mode="L"))


def png_from_marks(marks: NDArray[np.uint8]) -> bytes:
    """Marks [height, width], above 0 where marked, as a red veil with a firm edge."""
    inside = marks > 0
    around = np.pad(inside, 1)
    core = around[:-2, 1:-1] & around[2:, 1:-1] & around[1:-1, :-2] & around[1:-1, 2:]
    image = Image.fromarray(np.where(inside, np.where(core, 1, 2), 0).astype(np.uint8), mode="P")
    image.putpalette(bytes((0, 0, 0, *_RED, *_RED)))
    buffer = io.BytesIO()
    opacity = bytes((0, _FILL_OPACITY, _EDGE_OPACITY))
    image.save(buffer, format="PNG", optimize=True, transparency=opacity)
    return buffer.getvalue()


def uri_from_png(png: bytes) -> str:
    """The picture as text that a page can carry."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
