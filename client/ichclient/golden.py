"""Recorded golden slices -> proof that a server computes what this bundle computes.

A server can be wrong without any error: under numpy 2 the Python backend of Triton 2.51 was seen
to hand models other values than were sent. So no server is trusted before it has judged slices
whose scores are known.
"""

from __future__ import annotations

import hashlib
import secrets
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ichclient.answers import Float32
from ichclient.errors import RepositoryError, ServerRefused
from ichclient.proven_starts import ProvenStarts
from ichclient.transport import Transport
from ichcore.wire import provenance_from_hashes

GOLDEN_FILE = "golden.npz"
_CHUNK_SLICES = 8
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

    def one(self) -> Golden:
        """One of the slices with what is recorded of it, another one each time."""
        place = secrets.randbelow(len(self.hu))
        return replace(
            self,
            hu=self.hu[place : place + 1],
            score=self.score[place : place + 1],
            member_scores=self.member_scores[place : place + 1],
            lesion_mm2=self.lesion_mm2[place : place + 1],
        )

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


def refuse_untrue_server(
    transport: Transport, golden: Golden, starts: ProvenStarts | None = None
) -> str:
    """Send the golden slices; gives the provenance that all answers carry.

    With `starts` one slice is enough where all of them proved this start of the server before, and
    a start that they prove now is kept there. Raises ServerRefused where the answers differ from
    the record.
    """
    grid = transport.metadata().grid
    if golden.hu.shape[1:] != (grid.slices_per_item, grid.rows, grid.columns):
        raise ServerRefused(_other_bundle("its grid differs from that of the golden slices"))
    if starts is not None:
        one = _proven(transport, golden.one())
        if one.start is not None and starts.knows(_digest(one, golden)):
            return one.provenance
    every = _proven(transport, golden)
    if starts is not None and every.start is not None:
        starts.add(_digest(every, golden))
    return every.provenance


class _Answer(NamedTuple):
    """Who answered truly; `start` is None where the server does not say, or several answered."""

    provenance: str
    start: str | None


def _proven(transport: Transport, golden: Golden) -> _Answer:
    chunks = [
        transport.infer(golden.hu[start : start + _CHUNK_SLICES])
        for start in range(0, len(golden.hu), _CHUNK_SLICES)
    ]
    keys = {spec_key(text) for chunk in chunks for text in chunk.provenance}
    if keys != {golden.spec_key}:
        raise ServerRefused(
            _other_bundle(f"its scores carry {', '.join(sorted(keys))}, not {golden.spec_key}")
        )
    score, area_mm2 = golden.tolerances(int8=transport.metadata().int8)
    members = (chunk.member_scores for chunk in chunks)
    _refuse_difference("SCORE", (chunk.score for chunk in chunks), golden.score, score)
    _refuse_difference("MEMBER_SCORES", members, golden.member_scores, score)
    areas_mm2 = (chunk.lesion_mm2 for chunk in chunks)
    _refuse_difference("LESION_MM2", areas_mm2, golden.lesion_mm2, area_mm2)
    starts = {start for chunk in chunks for start in chunk.starts}
    return _Answer(chunks[0].provenance[0], starts.pop() if len(starts) == 1 else None)


def _digest(answer: _Answer, golden: Golden) -> str:
    text = f"{answer.start} {answer.provenance} {golden.sha256()}"
    return hashlib.sha256(text.encode()).hexdigest()


def _absent_or(stored: Mapping[str, Any], name: str) -> float | None:
    """A number that bundles of before did not record."""
    return float(stored[name]) if name in stored else None


def spec_key(provenance: str) -> str:
    """The spec's part of a provenance: engines of other targets differ, the spec may not."""
    return provenance.split()[0] if provenance.strip() else ""


def _refuse_difference(
    tensor: str, parts: Iterable[Float32], recorded: Float32, tolerance: float
) -> None:
    found = np.concatenate(list(parts))
    if found.shape != recorded.shape:
        raise ServerRefused(_other_bundle(f"its {tensor} is {list(found.shape)}"))
    largest = float(np.abs(found - recorded).max())
    if not largest <= tolerance:  # in this form NaN is refused too
        raise ServerRefused(
            f"The server alters values: {tensor} of the golden slices differs by up to "
            f"{largest:.4g}, and {tolerance:.4g} is allowed. Do not use it; see ichclient doctor."
        )


def _other_bundle(why: str) -> str:
    return f"The server runs another bundle ({why}): give its golden file with --golden FILE."
