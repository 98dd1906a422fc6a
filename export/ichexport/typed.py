"""f32 graph -> the same graph in another type of arithmetic, for strongly typed engines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ichexport.errors import IchExportError


def typed_graph(graph: Path, precision: str, path: Path, hu: NDArray[np.float16]) -> None:
    """Write `graph` in `precision` to `path`; `hu` [n, S, R, C] calibrates quantised types."""
    raise IchExportError(f"No graph in {precision} can be made yet.")
