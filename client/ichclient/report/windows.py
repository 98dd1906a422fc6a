"""Hounsfield units -> grey, and the CSS filter that turns one window's picture into another's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Window:
    """The Hounsfield units that go from black to white."""

    level_hu: float
    width_hu: float

    @property
    def lowest_hu(self) -> float:
        """What is shown black."""
        return self.level_hu - self.width_hu / 2

    def grey(self, hu: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Hounsfield units as 0 to 255."""
        share = np.clip((hu - self.lowest_hu) / self.width_hu, 0, 1)
        return np.asarray(np.rint(share * 255), dtype=np.uint8)


BRAIN = Window(40, 80)
SUBDURAL = Window(80, 200)


def filter_from_windows(kept: Window, shown: Window) -> tuple[float, float]:
    """CSS brightness and contrast, in this order, that turn a picture of one window into another.

    brightness(b) contrast(c) makes b c v + (1 - c) / 2 of v; what it clips in between is white in
    the narrower window anyway.
    """
    gain = kept.width_hu / shown.width_hu
    offset = (kept.lowest_hu - shown.lowest_hu) / shown.width_hu
    contrast = 1 - 2 * offset
    return gain / contrast, contrast
