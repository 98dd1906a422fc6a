"""A study -> its HU on the grid, its answer over gRPC, and whether two answers agree.

`refuse_disagreement` holds one `Answer` against another.
"""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.errors import BlindProof, Disagreement
from ichclient.hounsfield import hu_slices_from_series
from ichclient.infer import study_from_path
from ichclient.transport import Transport
from ichcore import (
    Grid,
    SliceScores,
    StudyScore,
)
from ichcore.items import items_from_slices
from ichexport.engines import openvino_has_bf16

TOLERANCE_SCORE = 1e-3
"""Same weights, same runtime, same precision: what differs is how threads share the work."""

TOLERANCES = {
    "slice_score": TOLERANCE_SCORE,
    "member_score": TOLERANCE_SCORE,
    "mask": 0.01,
    "lesion_mm2": 20.0,  # 5 mask pixels at a lesion's edge
    "brain_mm2": 20.0,
    "study_score": TOLERANCE_SCORE,
}
"""Allowed differences between served and in-process answers."""


@dataclass(frozen=True)
class HUStudy:
    """One series ready to send: `hu` [n, S, R, C] on the grid, `position_mm` [n] rising."""

    hu: NDArray[np.float16]
    position_mm: NDArray[np.float32]

    def __post_init__(self) -> None:
        """Refuse a study whose slices and positions do not belong together."""
        if self.hu.ndim != 4 or len(self.hu) == 0 or self.position_mm.shape != (len(self.hu),):
            raise ValueError(f"HU {self.hu.shape} with positions {self.position_mm.shape}")

    def chunks(self, slices: int) -> list[NDArray[np.float16]]:
        """The study in pieces of at most `slices` slices."""
        return [self.hu[start : start + slices] for start in range(0, len(self.hu), slices)]


@dataclass(frozen=True)
class Answer:
    """What was said of a study; `mask` [n, r, c] on the mask raster."""

    slices: SliceScores
    mask: NDArray[np.float16]
    study: StudyScore


def hu_study_from_path(path: Path, grid: Grid) -> HUStudy:
    """Read the series that the client would judge; raises what the client raises."""
    series = study_from_path(path).series
    with contextlib.closing(hu_slices_from_series(series)) as slices:
        hu = np.stack([item.hu for item in items_from_slices(slices, grid)])
    return HUStudy(hu, np.asarray(series.positions_mm, dtype=np.float32))


def precision_of_processor() -> str:
    """The precision that the served engines choose here: `bf16` or `f32`."""
    return "bf16" if openvino_has_bf16() else "f32"


def answer_from_server(
    transport: Transport, study: HUStudy, chunk_slices: int, in_flight: int
) -> Answer:
    """Judge a study over gRPC: `ich_fused` for each chunk, then `ich_study`."""
    with ThreadPoolExecutor(in_flight, thread_name_prefix="benchmark-send") as pool:
        chunks = list(pool.map(transport.infer, study.chunks(chunk_slices)))
    slices = SliceScores(
        score=np.concatenate([chunk.score for chunk in chunks]),
        member_scores=np.concatenate([chunk.member_scores for chunk in chunks]),
        lesion_mm2=np.concatenate([chunk.lesion_mm2 for chunk in chunks]),
        brain_mm2=np.concatenate([chunk.brain_mm2 for chunk in chunks]),
        position_mm=study.position_mm,
        provenance=tuple(text for chunk in chunks for text in chunk.provenance),
    )
    mask = np.concatenate([chunk.mask for chunk in chunks])
    return Answer(slices, mask, transport.study(slices))


def refuse_disagreement(found: Answer, expected: Answer) -> dict[str, float]:
    """Largest differences by name; raises Disagreement where one is over its tolerance."""
    ours, theirs = _compared(found), _compared(expected)
    return {
        name: _difference(name, ours[name], theirs[name], tolerance)
        for name, tolerance in TOLERANCES.items()
    }


def refuse_blind_proof(expected: Answer) -> None:
    """Raise BlindProof where the slices' scores would agree in the reverse order too.

    Engines without training, for example, say the same of every slice; a server that mixes
    slices up could then not be told from a true one.
    """
    score = expected.slices.score
    spread = float(np.abs(score - score[::-1]).max())
    if not spread > TOLERANCE_SCORE:
        raise BlindProof(
            f"The scores of these {len(score)} slices differ by {spread:.2g} from those in reverse "
            "order, so their agreement would prove nothing: use trained members, or a study with "
            "a bleed."
        )


def _compared(answer: Answer) -> dict[str, NDArray[np.float32]]:
    slices, study = answer.slices, answer.study
    return {
        "slice_score": slices.score,
        "member_score": slices.member_scores,
        "mask": answer.mask.astype(np.float32),
        "lesion_mm2": slices.lesion_mm2,
        "brain_mm2": slices.brain_mm2,
        "study_score": np.array([study.score, *study.member_scores], np.float32),
    }


def _difference(
    name: str, ours: NDArray[np.float32], theirs: NDArray[np.float32], tolerance: float
) -> float:
    if ours.shape != theirs.shape:
        raise Disagreement(
            f"Served and in-process {name} have shapes {ours.shape} and {theirs.shape}; no "
            "numbers are given."
        )
    largest = float(np.abs(ours - theirs).max())
    if not largest <= tolerance:  # in this form NaN is refused too
        raise Disagreement(
            f"Served and in-process {name} differ by up to {largest:.4g}, and {tolerance:g} is "
            "allowed; no numbers are given for wrong answers."
        )
    return largest
