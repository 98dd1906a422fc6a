"""A released repository + a series -> where the ensemble marks blood, as the server would."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ichcore import EnsembleSpec
from ichtrain.data import LabelledSeries
from ichtrain.data.items import items_hu

Marker = Callable[[LabelledSeries], NDArray[np.bool_]]
"""HU of a series -> marks [n, r, c] at the mask's stride."""

_CHUNK = 8


def marker_from_repository(repository: Path) -> tuple[Marker, EnsembleSpec]:
    """Run the released graphs in-process; the combined mask above the spec's threshold."""
    from ichexport.golden import combined_from_runners
    from ichtrain.evaluate.bundle import bundle_from_repository

    bundle = bundle_from_repository(repository)
    spec = bundle.spec

    def marks(series: LabelledSeries) -> NDArray[np.bool_]:
        items = items_hu(series, spec.grid.slices_per_item)
        parts = [
            combined_from_runners(bundle.runners, items[start : start + _CHUNK], spec).mask
            for start in range(0, len(items), _CHUNK)
        ]
        return np.asarray(np.concatenate(parts) >= spec.mask_threshold)

    return marks, spec
