"""A bundle + a series -> where the ensemble marks blood, as the server would."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ichtrain.data import LabelledSeries
from ichtrain.data.items import items_hu

if TYPE_CHECKING:
    from ichtrain.evaluate.bundle import Bundle

Marker = Callable[[LabelledSeries], NDArray[np.bool_]]
"""HU of a series -> marks [n, r, c] at the mask's stride."""


def marker_from_bundle(bundle: Bundle) -> Marker:
    """Run its members in-process; the combined mask above the spec's threshold is marked."""
    from ichexport.engines import CHUNK_SLICES
    from ichexport.golden import combined_from_runners

    spec = bundle.spec

    def marks(series: LabelledSeries) -> NDArray[np.bool_]:
        items = items_hu(series, spec.grid.slices_per_item)
        combined = combined_from_runners(bundle.runners, items, spec, CHUNK_SLICES)
        return np.asarray(combined.mask >= spec.mask_threshold)

    return marks
