"""f32 graph -> the same graph in another type of arithmetic, for strongly typed engines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ichexport.casting import LOW_TYPES, cast_model
from ichexport.errors import IchExportError


def typed_graph(graph: Path, precision: str, path: Path, hu: NDArray[np.float16]) -> None:
    """Write `graph` in `precision` to `path`; `hu` [n, S, R, C] calibrates quantised types.

    Raises `IchExportError` where the graph cannot be had in that type, saying what stands in
    the way; nothing is written then.
    """
    if precision not in LOW_TYPES:
        raise IchExportError(
            f"No graph in {precision} can be made yet; choose {', '.join(LOW_TYPES)}."
        )
    import onnx

    model = cast_model(onnx.load(graph), precision)
    path.write_bytes(model.SerializeToString(deterministic=True))
