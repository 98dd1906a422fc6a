"""Data room: labelled head CT in any layout -> manifest -> series on the grid."""

from __future__ import annotations

from ichtrain.data.prepared import Prepared, PreparedWriter
from ichtrain.data.series import (
    ANNOTATIONS,
    LABELS,
    SMALL_VOLUME_ML,
    SPLITS,
    SUBSETS,
    SUBTYPES,
    LabelledSeries,
)
from ichtrain.data.splits import refuse_leak, refuse_one_class

__all__ = [
    "ANNOTATIONS",
    "LABELS",
    "SMALL_VOLUME_ML",
    "SPLITS",
    "SUBSETS",
    "SUBTYPES",
    "LabelledSeries",
    "Prepared",
    "PreparedWriter",
    "refuse_leak",
    "refuse_one_class",
]
