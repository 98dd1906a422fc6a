"""Ensemble room: members and a validation split -> the ensemble spec, with its record."""

from __future__ import annotations

from ichtrain.ensemble.options import EnsembleOptions, MemberFacts
from ichtrain.ensemble.run import fit_ensemble
from ichtrain.ensemble.spec import FittedEnsemble, spec_from_validation
from ichtrain.ensemble.validation import Validated, Validation, validated_from_outputs

__all__ = [
    "EnsembleOptions",
    "FittedEnsemble",
    "MemberFacts",
    "Validated",
    "Validation",
    "fit_ensemble",
    "spec_from_validation",
    "validated_from_outputs",
]
