"""JSON of `ichtrain evaluate` -> who was right by how much at one operating point.

`evaluation_from_record` is the only place that knows how that file looks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ichtrain.errors import ReviewError

_CERTAIN = 1e-6
"""Scores closer to 0 or 1 than this count as this close; a logit of 0 or 1 is infinite."""


@dataclass(frozen=True)
class Judged:
    """One series: its truth, its study score, and what it was called at the operating point."""

    SeriesInstanceUID: str
    positive: bool
    score: float
    called: str

    def __post_init__(self) -> None:
        """Refuse a score that is no probability."""
        if not 0 <= self.score <= 1:
            raise ReviewError(
                f"Series {self.SeriesInstanceUID} has the score {self.score}; it must be 0 to 1."
            )


@dataclass(frozen=True)
class Evaluation:
    """What one model or ensemble said of every series, at one operating point.

    `left_out` counts series that nobody can be right or wrong about: without a known truth, or
    without a score because the model refused them.
    """

    name: str
    point: str
    threshold: float
    judged: Mapping[str, Judged]
    spec_sha256: str = ""
    left_out: int = 0

    def margin(self, uid: str) -> float:
        """Logits by which the score lies on the right side of the threshold; wrong is below 0."""
        one = self.judged[uid]
        distance = _logit(one.score) - _logit(self.threshold)
        return distance if one.positive else -distance


def evaluation_from_file(path: Path, point: str) -> Evaluation:
    """Read one file; raises `EvaluationError` or `ReviewError` that says what is missing."""
    from ichtrain.evaluate.record import record_from_file

    record = record_from_file(path)
    try:
        found = evaluation_from_record(record, point)
    except KeyError as error:
        raise ReviewError(
            f"{path} lacks the field {error}; make it again with `ichtrain evaluate`."
        ) from error
    except (TypeError, ValueError, AttributeError) as error:
        raise ReviewError(
            f"{path} holds a value that no evaluation has ({error}); make it again with "
            "`ichtrain evaluate`."
        ) from error
    except ReviewError as error:
        raise ReviewError(f"{path}: {error}") from error
    return found if found.name else replace(found, name=path.stem)


def evaluation_from_record(record: Mapping[str, Any], point: str) -> Evaluation:
    """The fields of `ichtrain evaluate` that a study needs; a missing one is a `KeyError`."""
    thresholds = {one["name"]: float(one["threshold"]) for one in record["whole"]["points"]}
    if point not in thresholds:
        raise ReviewError(
            f"there is no operating point '{point}'; choose one of {', '.join(thresholds)}."
        )
    usable = [
        one for one in record["series"] if one["truth"] is not None and one["score"] is not None
    ]
    judged = {
        str(one["SeriesInstanceUID"]): Judged(
            SeriesInstanceUID=str(one["SeriesInstanceUID"]),
            positive=bool(one["truth"]),
            score=float(one["score"]),
            called=str(one["decisions"][point]),
        )
        for one in usable
    }
    return Evaluation(
        name=str(record["name"]),
        point=point,
        threshold=thresholds[point],
        judged=judged,
        spec_sha256=str(record["spec_sha256"]),
        left_out=len(record["series"]) - len(usable),
    )


def _logit(probability: float) -> float:
    inside = min(max(probability, _CERTAIN), 1 - _CERTAIN)
    return math.log(inside / (1 - inside))
