"""ONNX members and golden slices -> golden.npz: what a true server answers.

The scores are recorded with ONNX Runtime, in-process and without a server, so that they are
independent of what they prove.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ichcore import Combined, EnsembleSpec, combined_from_members
from ichcore.wire import MAX_BATCH_SIZE
from ichexport.engines import Runner, outputs_from_runner
from ichexport.errors import IchExportError

GOLDEN_FILE = "golden.npz"

TOLERANCE_SCORE = 0.02
"""Allowed difference of a score; bf16 engines need most of it, f32 engines differ below 1e-4."""

TOLERANCE_LESION_MM2 = 60.0
"""Allowed difference of an area: 15 mask pixels at a lesion's edge."""

TOLERANCE_SCORE_INT8 = 5 * TOLERANCE_SCORE
TOLERANCE_LESION_MM2_INT8 = 2 * TOLERANCE_LESION_MM2
"""Of a server that says that its engines calculate in 8 bits: what a build of those may differ by.

A score of a default member moved by up to 0.078 on 384 slices of phantoms.
"""

_LEAST_SPREAD = 5.0


def combined_from_runners(
    runners: Mapping[str, Runner],
    hu: NDArray[np.float16],
    spec: EnsembleSpec,
    chunk_slices: int = MAX_BATCH_SIZE,
) -> Combined:
    """Run all members on HU [n, S, R, C] and combine; the in-process twin of the server."""
    outputs = {name: outputs_from_runner(run, hu, chunk_slices) for name, run in runners.items()}
    return combined_from_members(outputs, spec)


def write_golden(
    path: Path, hu: NDArray[np.float16], combined: Combined, spec: EnsembleSpec
) -> None:
    """Record the answers `combined` to HU [n, S, R, C]."""
    np.savez_compressed(
        path,
        HU=hu,
        SCORE=combined.score,
        MEMBER_SCORES=combined.member_scores,
        LESION_MM2=combined.lesion_mm2,
        BRAIN_MM2=combined.brain_mm2,
        SPEC_SHA256=np.array(spec.sha256),
        TOLERANCE_SCORE=np.float32(TOLERANCE_SCORE),
        TOLERANCE_LESION_MM2=np.float32(TOLERANCE_LESION_MM2),
        TOLERANCE_SCORE_INT8=np.float32(TOLERANCE_SCORE_INT8),
        TOLERANCE_LESION_MM2_INT8=np.float32(TOLERANCE_LESION_MM2_INT8),
    )


def refuse_blind_golden(combined: Combined) -> None:
    """Refuse golden slices whose answers hardly differ.

    They would pass a server that mixes up its slices.
    """
    for name, values, tolerance in (
        ("SCORE", combined.score, TOLERANCE_SCORE_INT8),
        ("LESION_MM2", combined.lesion_mm2, TOLERANCE_LESION_MM2_INT8),
    ):
        spread = float(np.ptp(values))
        if spread < _LEAST_SPREAD * tolerance:
            raise IchExportError(
                f"The golden slices' {name} spans only {spread:.3g}, a tolerance is {tolerance:g}; "
                "choose slices with and without blood, or train the members."
            )


def golden_is_current(path: Path, spec: EnsembleSpec) -> bool:
    """Whether a golden file belongs to this spec."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return str(arrays["SPEC_SHA256"]) == spec.sha256
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, zlib.error):
        return False  # absent or broken
