"""f32 graph -> the same graph in another type of arithmetic, as an engine wants it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ichexport.calibrating import ranges_from_slices
from ichexport.casting import LOW_TYPES, cast_model
from ichexport.errors import IchExportError
from ichexport.quantising import (
    QUANTISED_TYPES,
    convolutions_to_quantise,
    quantised_model,
    refuse_without_convolutions,
)
from ichexport.quantising_unsigned import unsigned_model


def typed_graph(
    graph: Path, precision: str, path: Path, hu: NDArray[np.float16], target: str = "tensorrt"
) -> None:
    """Write `graph` in `precision` to `path`; `hu` [n, S, R, C] calibrates quantised types.

    `target` is that of the route which takes the graph: not all read Q/DQ alike. Raises
    `IchExportError` where the graph cannot be had in that type, saying what stands in the way;
    nothing is written then.
    """
    import onnx

    if precision in LOW_TYPES:
        model = cast_model(onnx.load(graph), precision)
    elif precision in QUANTISED_TYPES:
        model = _quantised(onnx.load(graph), precision, hu, target)
    else:
        raise IchExportError(
            f"No graph in {precision} can be made; choose "
            f"{', '.join((*LOW_TYPES, *QUANTISED_TYPES))}."
        )
    path.write_bytes(model.SerializeToString(deterministic=True))


def _quantised(model: Any, precision: str, hu: NDArray[np.float16], target: str) -> Any:
    refuse_without_convolutions(model.graph, precision)
    names = [node.input[0] for node in convolutions_to_quantise(model.graph)]
    ranges = ranges_from_slices(model, list(dict.fromkeys(names)), hu)
    if target == "onnxruntime":
        return unsigned_model(model, hu)
    return quantised_model(model, precision, ranges, padding_apart=target == "openvino")
