"""A released repository + a series -> where the ensemble marks blood, as the server would."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ichcore import EnsembleSpec
from ichtrain.data import LabelledSeries

Marker = Callable[[LabelledSeries], NDArray[np.bool_]]
"""HU of a series -> marks [n, r, c] at the mask's stride."""

_CHUNK = 8


def marker_from_repository(repository: Path) -> tuple[Marker, EnsembleSpec]:
    """Run the committed graphs in-process; the combined mask above the spec's threshold."""
    from ichexport.configs import ONNX_FILE
    from ichexport.engines import openvino_from_onnx
    from ichexport.golden import combined_from_runners
    from ichexport.repository import spec_of_repository

    spec = spec_of_repository(repository)
    runners = {
        name: openvino_from_onnx(repository / name / "1" / ONNX_FILE) for name in spec.member_names
    }

    def marks(series: LabelledSeries) -> NDArray[np.bool_]:
        items = items_from_hu(np.asarray(series.hu), spec.grid.slices_per_item)
        parts = [
            combined_from_runners(runners, items[start : start + _CHUNK], spec).mask
            for start in range(0, len(items), _CHUNK)
        ]
        return np.asarray(np.concatenate(parts) >= spec.mask_threshold)

    return marks, spec


def items_from_hu(hu: NDArray[np.float16], slices_per_item: int) -> NDArray[np.float16]:
    """HU [n, R, C] -> items [n, S, R, C]; at the ends a slice stands for its missing neighbour."""
    half = slices_per_item // 2
    indices = np.arange(len(hu))[:, None] + np.arange(-half, half + 1)[None]
    return np.asarray(hu[np.clip(indices, 0, len(hu) - 1)], dtype=np.float16)
