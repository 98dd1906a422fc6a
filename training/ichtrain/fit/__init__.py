"""Fit room: prepared series -> one trained member with its record and curves."""

from __future__ import annotations

from ichtrain.fit.member import fit_member
from ichtrain.fit.options import EpochFigures, FitOptions, FitRecord

__all__ = ["EpochFigures", "FitOptions", "FitRecord", "fit_member"]
