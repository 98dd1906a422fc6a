"""The ensemble as one engine: which spec it combines by, and which of its answers may stand.

The engine holds the numbers of the spec that the combination calculates with. What else a spec
says (study rule, operating points) changes without it.
"""

from __future__ import annotations

import hashlib
import json

import numpy as np
from numpy.typing import NDArray

from ichcore.errors import ContractError, NonFiniteError, NoSlicesError, SpecError
from ichcore.spec import EnsembleSpec

Float32 = NDArray[np.float32]


def combination_sha256(spec: EnsembleSpec) -> str:
    """Hash of all numbers of a spec that its combination calculates with, in members' order."""
    numbers = {
        "members": [
            [
                member.name,
                member.calibration.slope,
                member.calibration.intercept,
                member.score_weight,
                member.mask_weight,
            ]
            for member in spec.members
        ],
        "brain_member": spec.brain_member,
        "thresholds": [spec.mask_threshold, spec.brain_threshold],
        "mask_pixel_mm2": spec.grid.mask_pixel_mm2,
    }
    return hashlib.sha256(json.dumps(numbers, sort_keys=True).encode()).hexdigest()


def refuse_other_combination(
    weights_sha256: list[str], combination: str, spec: EnsembleSpec
) -> None:
    """Raise `SpecError` where an engine was made of other members or numbers than a spec has.

    `weights_sha256` are those of the engine's members in order, `combination` is the
    `combination_sha256` of the spec that it holds.
    """
    named = [member.weights_sha256 for member in spec.members]
    if weights_sha256 != named:
        raise SpecError(
            f"The fused engine was made of weights {_short(weights_sha256)}, the ensemble spec "
            f"names {_short(named)}; release engines and spec together."
        )
    if combination != combination_sha256(spec):
        raise SpecError(
            "The fused engine combines by other weights or thresholds than the ensemble spec "
            "names; run `ichexport repository`, and refit or build the engine again."
        )


def refuse_unsound_slices(
    score: Float32, member_scores: Float32, lesion_mm2: Float32, brain_mm2: Float32
) -> None:
    """Raise an error where what an engine says of N slices can be no result.

    `score`, `lesion_mm2` and `brain_mm2` are [N, 1], `member_scores` [N, K]. An engine that
    cannot judge a slice answers NaN, which would compare as negative.
    """
    if len(score) == 0:
        raise NoSlicesError("The fused engine was given no slices.")
    named = {"SCORE": score, "MEMBER_SCORES": member_scores}
    areas = {"LESION_MM2": lesion_mm2, "BRAIN_MM2": brain_mm2}
    for name, values in {**named, **areas}.items():
        if not np.isfinite(values).all():
            raise NonFiniteError(
                f"{name} of the fused engine has values that are not finite; the chunk is refused."
            )
        highest = 1.0 if name in named else np.inf
        if values.min() < 0 or values.max() > highest:
            raise ContractError(
                f"{name} of the fused engine spans {values.min():.3g} to {values.max():.3g}, "
                "which is no result; the chunk is refused."
            )


def _short(hashes: list[str]) -> str:
    return ", ".join(text[:16] for text in hashes)
