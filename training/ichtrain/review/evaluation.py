"""JSON of `ichtrain evaluate` -> who was right by how much at one operating point.

`evaluation_from_record` is the only place that knows how that file looks.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ichtrain.errors import ReviewError

_CERTAIN = 1e-6
"""Scores closer to 0 or 1 than this count as this close; a logit of 0 or 1 is infinite."""


@dataclass(frozen=True)
class Judged:
    """One series with its truth and its study score."""

    SeriesInstanceUID: str
    positive: bool
    score: float
    lesion_ml: float | None = None

    def __post_init__(self) -> None:
        """Refuse a score that is no probability."""
        if not 0 <= self.score <= 1:
            raise ReviewError(
                f"Series {self.SeriesInstanceUID} has the score {self.score}; it must be 0 to 1."
            )


@dataclass(frozen=True)
class Evaluation:
    """What one model or ensemble said of every series, at one operating point."""

    name: str
    point: str
    threshold: float
    judged: Mapping[str, Judged]
    sha256: str = ""

    def decision(self, uid: str) -> bool:
        """Whether the series is called positive."""
        return self.judged[uid].score >= self.threshold

    def margin(self, uid: str) -> float:
        """Logits by which the score lies on the right side of the threshold; wrong is below 0."""
        one = self.judged[uid]
        distance = _logit(one.score) - _logit(self.threshold)
        return distance if one.positive else -distance


def evaluation_from_file(path: Path, point: str) -> Evaluation:
    """Read one file; raises `ReviewError` that says what is missing and where."""
    try:
        data = path.read_bytes()
        record = json.loads(data)
    except (OSError, ValueError) as error:
        raise ReviewError(
            f"{path} cannot be read as an evaluation ({error}); make it with `ichtrain evaluate`."
        ) from error
    try:
        found = evaluation_from_record(record, point)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        what = f"the field {error}" if isinstance(error, KeyError) else str(error)
        raise ReviewError(
            f"{path} is no evaluation that a reading study can use: {what} is missing or wrong; "
            "make it again with `ichtrain evaluate`."
        ) from error
    return Evaluation(
        found.name or path.stem,
        found.point,
        found.threshold,
        found.judged,
        hashlib.sha256(data).hexdigest(),
    )


def evaluation_from_record(record: Mapping[str, Any], point: str) -> Evaluation:
    """The fields of `ichtrain evaluate` that the study needs; a missing one is a `KeyError`."""
    raise NotImplementedError


def _logit(probability: float) -> float:
    inside = min(max(probability, _CERTAIN), 1 - _CERTAIN)
    return math.log(inside / (1 - inside))
