"""One plane on its way from stored values to Hounsfield units: what the pixel rules look at."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ichclient.headers import SliceHeader, Warning_


@dataclass
class Plane:
    """One plane on its way to Hounsfield units; rules that fix write here.

    `stored` and `hu` [Rows, Columns]; `hu` is empty until the values are rescaled; `padded` marks
    pixels outside the scanned field; `encoded_bytes` is what the plane took in its file.
    """

    header: SliceHeader
    stored: NDArray[Any]
    encoded_bytes: int
    slope: float
    intercept: float
    padded: NDArray[np.bool_] | None = None
    hu: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), np.float32))
    lowest_hu: float = 0.0
    highest_hu: float = 0.0
    warnings: list[Warning_] = field(default_factory=list)
