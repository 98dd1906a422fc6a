"""Answers of a server -> how far they are from the raw engine's, or no numbers at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.clients import Client, Outputs
from benchmarks.data import Pool
from benchmarks.errors import BlindProof, Disagreement

TOLERANCES: Mapping[str, Mapping[str, float]] = {
    "f32": {
        "SCORE": 1e-3, "MEMBER_SCORES": 1e-3, "MASK": 0.01, "LESION_MM2": 20.0, "BRAIN_MM2": 20.0,
    },
    # Graphs of another shape round elsewhere: a head's slices differed by 0.009, members by 0.019.
    "bf16": {
        "SCORE": 0.015, "MEMBER_SCORES": 0.04, "MASK": 0.1, "LESION_MM2": 60.0, "BRAIN_MM2": 60.0,
    },
}  # fmt: skip
"""Allowed differences by precision; areas are whole mask pixels of 4 mm2 at an edge."""

PROOF_SLICES = 8


def refuse_untrue_answers(
    client: Client, raw: Client, pool: Pool, precision: str, who: str
) -> dict[str, float]:
    """Largest difference by tensor over all slices of the pool.

    Raises Disagreement where one is over its tolerance, and BlindProof where the pool's scores
    hardly differ, so that a server which mixes slices up would pass.
    """
    largest = dict.fromkeys(TOLERANCES[precision], 0.0)
    scores = []
    for start in range(0, len(pool.hu), PROOF_SLICES):
        hu = pool.hu[start : start + PROOF_SLICES]
        expected = raw(hu)
        found = client(hu)
        scores.append(np.asarray(expected["SCORE"], np.float64))
        for name, difference in _differences(found, expected, precision, who).items():
            largest[name] = max(largest[name], difference)
    refuse_blind_scores(np.concatenate(scores), precision)
    return largest


def refuse_blind_scores(scores: NDArray[Any], precision: str) -> None:
    """Raise BlindProof where scores hardly differ, so that their agreement would prove nothing."""
    spread = float(np.ptp(scores))
    if not spread > 5 * TOLERANCES[precision]["SCORE"]:
        raise BlindProof(
            f"The scores of these {len(scores)} slices span {spread:.2g}, so agreement would "
            "prove nothing: use trained members, or a study with a bleed."
        )


def _differences(found: Outputs, expected: Outputs, precision: str, who: str) -> dict[str, float]:
    differences = {}
    for name, tolerance in TOLERANCES[precision].items():
        ours, theirs = found.get(name), expected[name]
        if ours is None or ours.shape != theirs.shape:
            shape = None if ours is None else list(ours.shape)
            raise Disagreement(
                f"{who} gives {name} {shape}, the raw engine {list(theirs.shape)}; no numbers "
                "are given."
            )
        gap = np.abs(ours.astype(np.float64) - theirs.astype(np.float64)).max()
        if not gap <= tolerance:  # in this form NaN is refused too
            raise Disagreement(
                f"{name} of {who} differs from the raw engine by up to {gap:.4g}, and "
                f"{tolerance:g} is allowed; no numbers are given for wrong answers."
            )
        differences[name] = round(float(gap), 6)
    return differences
