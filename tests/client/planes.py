"""Slices of a series that no file holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ichclient.headers import SliceHeader
from ichclient.hounsfield import HUSlice


def plane(hu: float) -> HUSlice:
    """A small slice of one value, 6 mm a pixel."""
    values = np.full((32, 48), hu, dtype=np.float32)
    return HUSlice(values, 6.0, 6.0, SliceHeader(Path("x"), "x"), air=True, bone=True)
