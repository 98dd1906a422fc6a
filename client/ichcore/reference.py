"""How a bundle did on the data that its model card is about, in the form that travels with it.

`ichexport repository --evaluation` makes it of an evaluation. A client shows it beside a site's own
figures; the server publishes how its scores lay, so that others can be told from them. It holds
scores and counts, and of nobody.
"""

from __future__ import annotations

import json
import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ichcore.errors import ContractError
from ichcore.study import Decision

FORMAT = 1
REFUSED = "refused"
CALLS = (*(decision.value for decision in Decision), REFUSED)
"""What a study with a known truth can be called at an operating point."""

SCORE_EDGES = tuple(round(0.05 * step, 2) for step in range(1, 21))
"""Upper ends of the bins in which study scores are counted."""


@dataclass(frozen=True)
class Calls:
    """How many studies of one kind were called what; refused ones never reached a score."""

    positive: int
    negative: int
    indeterminate: int
    refused: int

    def __post_init__(self) -> None:
        """Refuse counts below zero."""
        if min(asdict(self).values()) < 0:
            raise ContractError(f"Counts of studies are 0 or more, not {self}.")

    @property
    def total(self) -> int:
        """How many there were."""
        return self.positive + self.negative + self.indeterminate + self.refused


@dataclass(frozen=True)
class PointCalls:
    """One operating point: what bleeds and clean heads were called."""

    name: str
    threshold: float
    bleeds: Calls
    clean: Calls


@dataclass(frozen=True)
class Reference:
    """What the model card says of one spec; scores of studies rise, refused ones have none.

    `about` says in a few words which data these were; `evaluation_sha256` is of the file they
    were taken from.
    """

    name: str
    spec_sha256: str
    about: str
    evaluation_sha256: str
    points: tuple[PointCalls, ...]
    bleeds: tuple[float, ...]
    clean: tuple[float, ...]

    def __post_init__(self) -> None:
        """Refuse scores that are none, or that were not told in order."""
        for scores in (self.bleeds, self.clean):
            if list(scores) != sorted(scores) or not all(0 <= score <= 1 for score in scores):
                raise ContractError("Scores of a reference rise, and lie between 0 and 1.")
        if not self.points or not (self.bleeds or self.clean):
            raise ContractError("A reference without operating points or scores says nothing.")


def score_bin(score: float) -> int:
    """Index of the first bin whose upper end is not below a score."""
    if not (math.isfinite(score) and 0 <= score <= 1):
        raise ContractError(f"A study score lies between 0 and 1, not at {score}.")
    return next(place for place, edge in enumerate(SCORE_EDGES) if score <= edge)


def shares_below(scores: tuple[float, ...]) -> tuple[float, ...]:
    """Share of rising scores at or below each edge; nothing where there are no scores."""
    return tuple(bisect_right(scores, edge) / len(scores) for edge in SCORE_EDGES if scores)


def reference_to_json(reference: Reference) -> str:
    """The text of reference.json."""
    head = {"format": FORMAT, "notice": "Research demonstration, not a medical device."}
    return json.dumps({**head, **asdict(reference)}, indent=1) + "\n"


def reference_from_json(text: str) -> Reference:
    """Read reference.json; raises `ContractError` for whatever is none."""
    try:
        found: Mapping[str, Any] = json.loads(text)
        if found["format"] != FORMAT:
            raise ContractError(f"Format {found['format']} of a reference is unknown here.")
        return Reference(
            name=str(found["name"]),
            spec_sha256=str(found["spec_sha256"]),
            about=str(found["about"]),
            evaluation_sha256=str(found["evaluation_sha256"]),
            points=tuple(
                PointCalls(
                    str(point["name"]),
                    float(point["threshold"]),
                    Calls(**point["bleeds"]),
                    Calls(**point["clean"]),
                )
                for point in found["points"]
            ),
            bleeds=tuple(float(score) for score in found["bleeds"]),
            clean=tuple(float(score) for score in found["clean"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ContractError(
            f"The reference cannot be read ({type(error).__name__}: {error}); make it again with "
            "`ichexport repository --evaluation`."
        ) from error
