"""The golden file of a bundle -> slices with what the bundle said of them."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ichclient.answers import Float32
from ichclient.errors import RepositoryError
from ichcore.wire import provenance_from_hashes

GOLDEN_FILE = "golden.npz"
# numpy raises many kinds on files that are cut, altered or something else.
_UNREADABLE = (
    OSError, EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


@dataclass(frozen=True)
class Golden:
    """HU [n, S, R, C] with what the bundle said of it, and how far a server may differ.

    `score` [n], `member_scores` [n, K], `lesion_mm2` [n]. The tolerances cover other engines of
    the same weights (reduced precision), not other weights.
    """

    hu: NDArray[np.float16]
    score: Float32
    member_scores: Float32
    lesion_mm2: Float32
    spec_key: str
    tolerance_score: float
    tolerance_lesion_mm2: float
    tolerance_score_int8: float | None = None
    tolerance_lesion_mm2_int8: float | None = None

    def tolerances(self, *, int8: bool) -> tuple[float, float]:
        """By how much a score and an area may differ, for engines in 8 bits or others."""
        if int8 and self.tolerance_score_int8 and self.tolerance_lesion_mm2_int8:
            return self.tolerance_score_int8, self.tolerance_lesion_mm2_int8
        return self.tolerance_score, self.tolerance_lesion_mm2

    def taken(self, places: Sequence[int]) -> Golden:
        """The slices at these places, with what is recorded of them."""
        at = list(places)
        return replace(
            self,
            hu=self.hu[at],
            score=self.score[at],
            member_scores=self.member_scores[at],
            lesion_mm2=self.lesion_mm2[at],
        )

    def telling(self) -> list[int]:
        """The places of slices that a server which finds blood nowhere would get wrong.

        On others, as one above the head, almost any server is right.
        """
        tolerance = max(self.tolerance_score, self.tolerance_score_int8 or 0)
        return [int(place) for place in np.flatnonzero(self.score > tolerance)]

    def sha256(self) -> str:
        """Over slices, answers and tolerances."""
        digest = hashlib.sha256()
        for value in astuple(self):
            digest.update(
                value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode()
            )
        return digest.hexdigest()

    def __post_init__(self) -> None:
        """Refuse slices without scores, and tolerances that would let anything pass."""
        count = len(self.hu)
        shapes = (self.score.shape, self.lesion_mm2.shape, self.member_scores.shape[:1])
        if count == 0 or self.hu.ndim != 4 or set(shapes) != {(count,)}:
            raise ValueError("golden slices and their scores do not belong together")
        for int8 in (False, True):
            score, area_mm2 = self.tolerances(int8=int8)
            if not 0 <= score < 0.5 or not 0 <= area_mm2 < np.inf:
                raise ValueError("a golden tolerance is absent or would let any server pass")
        if not all(np.isfinite(values).all() for values in (self.score, self.member_scores)):
            raise ValueError("golden scores are not finite")


def golden_from_file(path: Path) -> Golden:
    """Read golden slices; raises RepositoryError where the file is absent or malformed."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            return Golden(
                hu=stored["HU"].astype(np.float16),
                score=stored["SCORE"].astype(np.float32).reshape(-1),
                member_scores=stored["MEMBER_SCORES"].astype(np.float32),
                lesion_mm2=stored["LESION_MM2"].astype(np.float32).reshape(-1),
                spec_key=spec_key(provenance_from_hashes(str(stored["SPEC_SHA256"]), "")),
                tolerance_score=float(stored["TOLERANCE_SCORE"]),
                tolerance_lesion_mm2=float(stored["TOLERANCE_LESION_MM2"]),
                tolerance_score_int8=_absent_or(stored, "TOLERANCE_SCORE_INT8"),
                tolerance_lesion_mm2_int8=_absent_or(stored, "TOLERANCE_LESION_MM2_INT8"),
            )
    except _UNREADABLE as error:
        raise RepositoryError(
            f"The golden slices {path} cannot be read ({error}), so no server can be proven: "
            "make the repository again with ichexport, or name a file with --golden."
        ) from error


def _absent_or(stored: Mapping[str, Any], name: str) -> float | None:
    """A number that bundles of before did not record."""
    return float(stored[name]) if name in stored else None


def spec_key(provenance: str) -> str:
    """The spec's part of a provenance: engines of other targets differ, the spec may not."""
    return provenance.split()[0] if provenance.strip() else ""
