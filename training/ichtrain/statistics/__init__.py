"""Statistics room: truth and scores -> figures with their uncertainty, tests and calibration."""

from __future__ import annotations

from ichtrain.statistics.calibration import CalibrationFigures, calibration_from_scores
from ichtrain.statistics.delong import (
    AUC,
    AUCTest,
    auc_from_scores,
    paired_test,
    unpaired_test,
)
from ichtrain.statistics.intervals import (
    Proportion,
    adjusted_by_holm,
    npv_at_prevalence,
    ppv_at_prevalence,
    proportion_from_counts,
)

__all__ = [
    "AUC",
    "AUCTest",
    "CalibrationFigures",
    "Proportion",
    "adjusted_by_holm",
    "auc_from_scores",
    "calibration_from_scores",
    "npv_at_prevalence",
    "paired_test",
    "ppv_at_prevalence",
    "proportion_from_counts",
    "unpaired_test",
]
