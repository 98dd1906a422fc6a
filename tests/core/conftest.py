"""Fixtures of the contract's tests: a small ensemble spec, members' outputs, a series' scores."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ichcore import (
    Calibration,
    EnsembleSpec,
    Grid,
    MemberOutputs,
    MemberSpec,
    OperatingPoint,
    SliceScores,
    StudyRule,
)

GRID = Grid(rows=64, columns=32, pixel_spacing_mm=2.0)


def member(name: str, score_weight: float, mask_weight: float, **calibration: float) -> MemberSpec:
    return MemberSpec(name, name, score_weight, mask_weight, Calibration(**calibration), "a" * 64)


MEMBERS = (
    member("ich_any", 0.5, 0.5, slope=2.0, intercept=-1.0),
    member("ich_sdh", 0.3, 0.5),
    member("ich_sah", 0.2, 0.0, slope=0.5, intercept=0.25),
)


@pytest.fixture(scope="session")
def make_spec() -> Callable[..., EnsembleSpec]:
    """A valid spec of three members, with any field replaced."""

    def spec(**changes: Any) -> EnsembleSpec:
        fields: dict[str, Any] = {
            "name": "ich",
            "version": "1",
            "grid": GRID,
            "members": MEMBERS,
            "brain_member": "ich_any",
            "mask_threshold": 0.4,
            "brain_threshold": 0.5,
            "study_rule": StudyRule(minimum_coverage_mm=40.0, minimum_slices=3),
            "operating_points": (
                OperatingPoint("sensitive", 0.3, 0.95, 0.8),
                OperatingPoint("specific", 0.8, 0.7, 0.97),
            ),
            "provenance": {"data": "phantoms"},
        }
        return EnsembleSpec(**{**fields, **changes})

    return spec


@pytest.fixture(scope="session")
def make_outputs() -> Callable[..., dict[str, MemberOutputs]]:
    """Random outputs of the three members for `slices` slices; `ich_sah` has no MASK."""

    def outputs(slices: int = 5, seed: int = 0) -> dict[str, MemberOutputs]:
        rng = np.random.default_rng(seed)

        def probabilities() -> Any:
            return rng.random((slices, *GRID.mask_shape)).astype(np.float16)

        logits = [rng.normal(0, 3, (slices, 1)).astype(np.float32) for _ in MEMBERS]
        return {
            "ich_any": MemberOutputs(logits[0], probabilities(), probabilities()),
            "ich_sdh": MemberOutputs(logits[1], probabilities()),
            "ich_sah": MemberOutputs(logits[2]),
        }

    return outputs


@pytest.fixture(scope="session")
def make_slices() -> Callable[..., SliceScores]:
    """A series of the given slice scores, 10 mm apart, brain on each, any field replaced."""

    def slices(scores: Any, spacing_mm: float = 10.0, **changes: Any) -> SliceScores:
        score = np.asarray(scores, dtype=np.float32)
        count = len(score)
        fields: dict[str, Any] = {
            "score": score,
            "member_scores": np.repeat(score[:, None], len(MEMBERS), axis=1),
            "lesion_mm2": np.zeros(count, dtype=np.float32),
            "brain_mm2": np.full(count, 9000, dtype=np.float32),
            "position_mm": np.arange(count, dtype=np.float32) * np.float32(spacing_mm),
            "provenance": ("spec:a engines:b",) * count,
        }
        return SliceScores(**{**fields, **changes})

    return slices
