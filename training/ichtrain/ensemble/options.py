"""How an ensemble is fitted, and who its members are."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from ichcore import StudyRule
from ichtrain.data import SPLITS
from ichtrain.errors import EnsembleError

MEMBERS = ("ich_any", "ich_sdh", "ich_sah", "ich_small")

FINDING_OF_SUBSET = {
    "all": "any intracranial haemorrhage",
    "sdh": "subdural haemorrhage",
    "sah": "subarachnoid haemorrhage",
    "small": "small haemorrhage of 5 mL or less",
}

SUBSET_OF_MEMBER = dict(zip(MEMBERS, FINDING_OF_SUBSET, strict=True))
"""What the members of the default bundle learn from; others say it in their training record."""


@dataclass(frozen=True)
class MemberFacts:
    """What the spec says of a member apart from numbers: name, finding, SHA-256 of its weights."""

    name: str
    finding: str
    weights_sha256: str


@dataclass(frozen=True)
class EnsembleOptions:
    """What is fitted on which split, how far towards equal weights, and what is aimed at.

    `brain_member` None takes the first member that gives BRAIN. `prior_patients` is how many
    patients' worth of evidence speak for equal weights before any is seen. `rule` holds the parts
    of the study rule that are not fitted (coverage, gaps, smoothing), and the least share of brain
    that may be chosen. `sensitivity` and `specificity` are what the two outer operating points
    reach. Raises `EnsembleError`.
    """

    split: str = "validation"
    members: tuple[str, ...] = MEMBERS
    brain_member: str | None = None
    name: str = "ich-triton"
    prior_patients: float = 10.0
    folds: int = 5
    seed: int = 0
    sensitivity: float = 0.95
    specificity: float = 0.95
    rule: StudyRule = field(default_factory=StudyRule)

    def __post_init__(self) -> None:
        """Refuse what cannot be fitted."""
        if self.split not in SPLITS:
            raise EnsembleError(f"Split '{self.split}' is none of {', '.join(SPLITS)}.")
        if not self.members or len(set(self.members)) != len(self.members):
            raise EnsembleError("An ensemble needs at least one member, each named once.")
        if self.brain_member is not None and self.brain_member not in self.members:
            raise EnsembleError(f"{self.brain_member} is none of {', '.join(self.members)}.")
        if not (math.isfinite(self.prior_patients) and self.prior_patients >= 0):
            raise EnsembleError(f"{self.prior_patients} patients cannot speak for equal weights.")
        if self.folds < 2:
            raise EnsembleError(f"{self.folds} folds cannot be compared; give 2 or more.")
        for what in ("sensitivity", "specificity"):
            if not 0 < getattr(self, what) <= 1:
                raise EnsembleError(f"A {what} of {getattr(self, what)} cannot be aimed at.")
