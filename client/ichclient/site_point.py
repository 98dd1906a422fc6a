"""A result, its spec, a site's own threshold -> what the study is called there.

The rule is the server's own, `ichcore.study`, on the very slice scores that the server gave; only
the threshold is another. So too little coverage is no negative here either.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from ichclient.errors import BadRules, ServerRefused
from ichclient.result import Result, SiteDecision
from ichclient.site import SitePoint
from ichcore import Decision, EnsembleSpec, OperatingPoint, SliceScores, study_from_slices

_SAME_SCORE = 1e-5


def refuse_other_spec(point: SitePoint, spec_sha256: str, spec: EnsembleSpec | None) -> None:
    """Raise BadRules where a threshold was set for scores of another spec than the server's."""
    if point.spec_sha256 != spec_sha256:
        raise BadRules(
            f"The site's operating point '{point.name}' was set for spec "
            f"{point.spec_sha256[:16]}, and the server judges by {spec_sha256[:16]}: accept this "
            "bundle first (ichclient accept), or leave [operating_point] out of --rules."
        )
    if spec is None:
        raise BadRules(
            f"The site's operating point '{point.name}' needs the spec of the bundle that the "
            "server runs: name its repository with --repository."
        )


def site_decision(result: Result, spec: EnsembleSpec, point: SitePoint) -> SiteDecision:
    """What `result` is called at `point`; ServerRefused where its score is not the rule's."""
    decision = decision_at(result, spec, point.threshold)
    return SiteDecision(point.name, point.threshold, decision, point.acceptance_sha256)


def decision_at(result: Result, spec: EnsembleSpec, threshold: float) -> Decision:
    """The decision of the study rule at any threshold on the study score."""
    one = OperatingPoint("site", threshold, 0.0, 0.0)
    study = study_from_slices(_slices(result), replace(spec, operating_points=(one,)))
    if not math.isclose(study.score, result.study_score, abs_tol=_SAME_SCORE):
        raise ServerRefused(
            f"The server's study score {result.study_score:.6f} does not follow from its slices, "
            f"which give {study.score:.6f}."
        )
    ((_, decision),) = study.decisions
    return decision


def _slices(result: Result) -> SliceScores:
    slices = result.slices
    return SliceScores(
        score=np.array([one.score for one in slices], dtype=np.float32),
        member_scores=np.array([[*one.member_scores.values()] for one in slices], dtype=np.float32),
        lesion_mm2=np.array([one.lesion_mm2 for one in slices], dtype=np.float32),
        brain_mm2=np.array([one.brain_mm2 for one in slices], dtype=np.float32),
        position_mm=np.array([one.position_mm for one in slices], dtype=np.float32),
        provenance=(result.bundle.provenance,) * len(slices),
    )
