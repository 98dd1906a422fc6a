"""Evaluation room: prepared folders and a bundle -> every figure, its tables, its pictures.

    series -> outcome -> record (evaluation.json) -> evaluation.md, *.png, model card, README

`record_from_outcomes` makes all figures, and everything that is shown is made from its record.
"""

from __future__ import annotations

from ichtrain.evaluate.bundle import Bundle, bundle_from_repository, bundle_from_run
from ichtrain.evaluate.chain import EvaluateOptions, evaluate
from ichtrain.evaluate.outcome import Outcome, outcome_from_series
from ichtrain.evaluate.record import record_from_file, record_from_outcomes

__all__ = [
    "Bundle",
    "EvaluateOptions",
    "Outcome",
    "bundle_from_repository",
    "bundle_from_run",
    "evaluate",
    "outcome_from_series",
    "record_from_file",
    "record_from_outcomes",
]
