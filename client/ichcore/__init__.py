"""The vocabulary every side agrees on: grid, wire tensors, ensemble spec, formula, results.

numpy and Pillow's resampling only. No files, no servers, no torch: whoever trains, exports,
serves or reads results calls the same functions on the same values.
"""

from ichcore.combine import Combined, MemberOutputs, combined_from_members
from ichcore.errors import (
    ContractError,
    IchError,
    NonFiniteError,
    NoSlicesError,
    ProvenanceError,
    SpecError,
)
from ichcore.grid import (
    HU_AIR,
    HU_MAX,
    Grid,
    Placement,
    byte_mask_from_grid,
    byte_mask_from_mask,
    hu_on_grid,
    mask_from_grid,
    mask_on_grid,
    placement_from_hu,
)
from ichcore.scanned import ScannedSeries
from ichcore.spec import (
    Calibration,
    EnsembleSpec,
    MemberSpec,
    OperatingPoint,
    spec_from_json,
    spec_to_json,
)
from ichcore.study import Decision, SliceScores, StudyScore, slices_from_combined, study_from_slices
from ichcore.study_rules import RULE_NAMES, StudyRule

__all__ = [
    "HU_AIR",
    "HU_MAX",
    "RULE_NAMES",
    "Calibration",
    "Combined",
    "ContractError",
    "Decision",
    "EnsembleSpec",
    "Grid",
    "IchError",
    "MemberOutputs",
    "MemberSpec",
    "NoSlicesError",
    "NonFiniteError",
    "OperatingPoint",
    "Placement",
    "ProvenanceError",
    "ScannedSeries",
    "SliceScores",
    "SpecError",
    "StudyRule",
    "StudyScore",
    "byte_mask_from_grid",
    "byte_mask_from_mask",
    "combined_from_members",
    "hu_on_grid",
    "mask_from_grid",
    "mask_on_grid",
    "placement_from_hu",
    "slices_from_combined",
    "spec_from_json",
    "spec_to_json",
    "study_from_slices",
]
