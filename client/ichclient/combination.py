"""The hash of a spec that a server names -> weights and thresholds, where they are known for sure.

A server tells no weights. A client that holds the very spec, by its hash, may tell them; another
bundle's are never shown in their place.
"""

from __future__ import annotations

from pathlib import Path

from ichclient.errors import RepositoryError
from ichclient.repository import default_repository
from ichclient.result import Combination
from ichcore import ContractError, EnsembleSpec, spec_from_json
from ichcore.reference import Reference, reference_from_json
from ichcore.wire import REFERENCE_FILE, SPEC_FILE, STUDY_MODEL


def combination_from_repository(
    spec_sha256: str, repository: Path | None = None
) -> Combination | None:
    """The combination of the spec with this hash; None where `repository` holds no such spec.

    Without `repository` the default one is looked at.
    """
    spec = known_spec(spec_sha256, repository)
    return None if spec is None else combination_from_spec(spec)


def known_spec(spec_sha256: str, repository: Path | None = None) -> EnsembleSpec | None:
    """The spec with this hash; None where `repository`, or the default one, holds another."""
    try:
        folder = repository or default_repository()
        spec = spec_from_json((folder / STUDY_MODEL / "1" / SPEC_FILE).read_text(encoding="utf-8"))
    except (RepositoryError, ContractError, OSError, UnicodeDecodeError):
        return None
    return spec if spec.sha256 == spec_sha256 else None


def known_reference(spec_sha256: str, repository: Path | None = None) -> Reference | None:
    """The model card's figures of the spec with this hash; None where none came with a bundle."""
    try:
        folder = repository or default_repository()
        reference = reference_from_json((folder / REFERENCE_FILE).read_text(encoding="utf-8"))
    except (RepositoryError, ContractError, OSError, UnicodeDecodeError):
        return None
    return reference if reference.spec_sha256 == spec_sha256 else None


def combination_from_spec(spec: EnsembleSpec) -> Combination:
    """What a reader of a result wants to know of a spec."""
    return Combination(
        findings={member.name: member.finding for member in spec.members},
        score_weights={member.name: member.score_weight for member in spec.members},
        thresholds={point.name: point.threshold for point in spec.operating_points},
        mask_threshold=spec.mask_threshold,
        study_rule=spec.study_rule.name,
        minimum_brain_share=spec.study_rule.minimum_brain_share,
    )
