"""The ensemble spec: members in order, their weights, the study rule, the operating points.

One JSON file per bundle, written by `ichtrain ensemble` and placed in every version folder that
reads it. Changing weights or thresholds changes this file and never an engine.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import re
from dataclasses import dataclass, field
from typing import Any

from ichcore.errors import ContractError, SpecError
from ichcore.grid import Grid
from ichcore.study_rules import StudyRule

CONTRACT_VERSION = 1
"""Version of the wire contract; a spec of another version is refused."""

_SUM_TOLERANCE = 1e-6
_SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class Calibration:
    """Platt scaling of a slice logit: probability = sigmoid(slope * logit + intercept).

    Source: J. Platt, Probabilistic outputs for support vector machines, 1999.
    """

    slope: float = 1.0
    intercept: float = 0.0

    def __post_init__(self) -> None:
        """Refuse a calibration that would turn the order of scores round."""
        if not (math.isfinite(self.slope) and math.isfinite(self.intercept) and self.slope > 0):
            raise SpecError(f"A calibration needs a finite slope above 0, not {self.slope}.")


@dataclass(frozen=True)
class MemberSpec:
    """One member: its Triton model name, its two weights and the weights file it is made of."""

    name: str
    finding: str
    score_weight: float
    mask_weight: float
    calibration: Calibration
    weights_sha256: str

    def __post_init__(self) -> None:
        """Refuse weights below 0 and names that Triton would not take."""
        if not (self.name.isascii() and self.name.replace("_", "").isalnum()):
            raise SpecError(f"'{self.name}' is no Triton model name.")
        for what, weight in (("score", self.score_weight), ("mask", self.mask_weight)):
            if not (math.isfinite(weight) and weight >= 0):
                raise SpecError(f"The {what} weight of {self.name} is {weight}; it must be >= 0.")
        if not _SHA256.fullmatch(self.weights_sha256):
            raise SpecError(f"weights_sha256 of {self.name} is no SHA-256 in hexadecimal.")


@dataclass(frozen=True)
class OperatingPoint:
    """A named threshold on the study score, with what it was chosen for."""

    name: str
    threshold: float
    sensitivity: float
    specificity: float

    def __post_init__(self) -> None:
        """Refuse what is no probability."""
        for value in (self.threshold, self.sensitivity, self.specificity):
            if not 0 <= value <= 1:
                raise SpecError(f"Operating point '{self.name}' has {value}, outside 0 to 1.")


@dataclass(frozen=True)
class EnsembleSpec:
    """Everything between the members' outputs and a decision, apart from the formula itself."""

    name: str
    version: str
    grid: Grid
    members: tuple[MemberSpec, ...]
    brain_member: str
    mask_threshold: float
    brain_threshold: float
    study_rule: StudyRule
    operating_points: tuple[OperatingPoint, ...]
    provenance: dict[str, str] = field(default_factory=dict)
    contract_version: int = CONTRACT_VERSION

    def __post_init__(self) -> None:
        """Refuse a spec whose parts do not fit together."""
        names = self.member_names
        if not names or len(set(names)) != len(names):
            raise SpecError("An ensemble needs at least one member, each named once.")
        if self.brain_member not in names:
            raise SpecError(f"brain_member '{self.brain_member}' is none of {', '.join(names)}.")
        for what in ("score_weight", "mask_weight"):
            total = sum(getattr(member, what) for member in self.members)
            if not _is_one(total):
                raise SpecError(f"The members' {what}s must sum to 1; they sum to {total:.9g}.")
        if not (0 < self.mask_threshold < 1 and 0 < self.brain_threshold < 1):
            raise SpecError("mask_threshold and brain_threshold must lie between 0 and 1.")
        points = [point.name for point in self.operating_points]
        if not points or len(set(points)) != len(points):
            raise SpecError("An ensemble needs at least one operating point, each named once.")
        if self.contract_version != CONTRACT_VERSION:
            raise SpecError(
                f"The spec is of contract version {self.contract_version}; "
                f"this software speaks version {CONTRACT_VERSION}."
            )

    @property
    def member_names(self) -> tuple[str, ...]:
        """Triton model names in the order of every [N, K] tensor."""
        return tuple(member.name for member in self.members)

    @property
    def sha256(self) -> str:
        """Hash of the canonical JSON; the spec's half of PROVENANCE."""
        return hashlib.sha256(spec_to_json(self).encode()).hexdigest()


def spec_to_json(spec: EnsembleSpec) -> str:
    """Canonical JSON of a spec: sorted keys, two spaces, one newline at the end."""
    return json.dumps(dataclasses.asdict(spec), indent=2, sort_keys=True) + "\n"


def spec_from_json(text: str) -> EnsembleSpec:
    """Read a spec; raises `SpecError` naming what is wrong, `ContractError` on a bad grid.

    The file must say everything: a field left out is refused, never filled with a default.
    """
    try:
        fields: dict[str, Any] = json.loads(text)
        rule = dict(fields["study_rule"])
        rule["neighbour_weights"] = tuple(rule["neighbour_weights"])
        fields["study_rule"] = StudyRule(**rule)
        fields["grid"] = Grid(**fields["grid"])
        fields["members"] = tuple(
            MemberSpec(**{**member, "calibration": Calibration(**member["calibration"])})
            for member in fields["members"]
        )
        fields["operating_points"] = tuple(
            OperatingPoint(**point) for point in fields["operating_points"]
        )
        spec = EnsembleSpec(**fields)
    except ContractError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise SpecError(
            f"The ensemble spec cannot be read ({type(error).__name__}: {error}). "
            "Write it again with ichtrain."
        ) from error
    if json.loads(spec_to_json(spec)) != json.loads(text):
        raise SpecError("The ensemble spec leaves fields out. Write it again with ichtrain.")
    return spec


def _is_one(total: float) -> bool:
    return math.isclose(total, 1.0, abs_tol=_SUM_TOLERANCE)
