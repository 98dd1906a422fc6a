"""Outcomes -> acceptance.json: everything that the report says, and what a signature covers.

A record is read back by the types of its own fields, and its figures are counted again: one that
was changed by hand so that they no longer follow from its cases is refused, signed or not.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ichclient.acceptance.figures import (
    Outcome,
    PointFigures,
    Roc,
    ScoreCounts,
    counts_from_scores,
    figures_at,
    figures_from_calls,
    roc_from_scores,
)
from ichclient.errors import NothingFound, RefusedInput
from ichclient.result import DISCLAIMER, Bundle
from ichclient.saved import dataclass_from_json, json_from_text
from ichcore import EnsembleSpec
from ichcore.reference import Reference

ACCEPTANCE_FILE = "acceptance.json"
PAGE_FILE = "acceptance.html"
FORMAT = 1
_MOST_BYTES = 64 << 20


@dataclass(frozen=True)
class Conditions:
    """By what and with what the studies were judged; times are ISO 8601 in UTC."""

    labels_sha256: str
    rules_sha256: str | None
    allowed: tuple[str, ...]
    slab_mm: float | None
    bundle: Bundle
    software: str
    started: str
    finished: str


@dataclass(frozen=True)
class Card:
    """What the model card says of the same spec, on its own data."""

    name: str
    about: str
    evaluation_sha256: str
    points: tuple[PointFigures, ...]
    roc: Roc
    scores: ScoreCounts


@dataclass(frozen=True)
class SiteThreshold:
    """The site's own operating point: how it was chosen, and its figures on these studies.

    They flatter it where `chosen_on_these` is true: the threshold was fitted to them.
    """

    how: str
    chosen_on_these: bool
    figures: PointFigures


@dataclass(frozen=True)
class Acceptance:
    """A whole acceptance; the order is that of the file."""

    conditions: Conditions
    points: tuple[PointFigures, ...]
    site: SiteThreshold | None
    card: Card | None
    roc: Roc
    scores: ScoreCounts
    outcomes: tuple[Outcome, ...]
    format: int = FORMAT
    disclaimer: str = DISCLAIMER

    @property
    def refused(self) -> tuple[Outcome, ...]:
        """The studies that have no score."""
        return tuple(outcome for outcome in self.outcomes if outcome.refusal is not None)


def acceptance_from_outcomes(
    conditions: Conditions,
    outcomes: Sequence[Outcome],
    spec: EnsembleSpec,
    reference: Reference | None,
) -> Acceptance:
    """Count everything; raises RefusedInput where two cases are of one series."""
    _refuse_twins(outcomes)
    points = tuple(figures_at(p.name, p.threshold, outcomes) for p in spec.operating_points)
    bleeds, clean = scores_of(outcomes)
    return Acceptance(
        conditions=conditions,
        points=points,
        site=None,
        card=None if reference is None else _card(reference),
        roc=roc_from_scores(bleeds, clean),
        scores=counts_from_scores(bleeds, clean),
        outcomes=tuple(outcomes),
    )


def scores_of(outcomes: Sequence[Outcome]) -> tuple[list[float], list[float]]:
    """Scores of bleeds and of clean heads that have one."""
    scored = [(o.case.haemorrhage, o.score) for o in outcomes if o.score is not None]
    return [s for truth, s in scored if truth], [s for truth, s in scored if not truth]


def acceptance_to_json(acceptance: Acceptance) -> str:
    """The text of acceptance.json."""
    fields = asdict(acceptance)
    head = {key: fields.pop(key) for key in ("format", "disclaimer")}
    return json.dumps({**head, **fields}, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def acceptance_bytes(folder: Path) -> bytes:
    """The bytes of the record in a folder; raises NothingFound or RefusedInput."""
    file = folder / ACCEPTANCE_FILE
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise RefusedInput(f"{file} is larger than 64 MiB: it is no {ACCEPTANCE_FILE}.")
        return file.read_bytes()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise NothingFound(
            f"{file} cannot be read ({reason}): name the folder that `ichclient accept` wrote."
        ) from error


def acceptance_from_bytes(content: bytes, where: Path) -> Acceptance:
    """Read a record; raises RefusedInput where it is none, or its figures are not its cases'."""
    try:
        found = json_from_text(content.decode())
        if not isinstance(found, dict) or found.get("format") != FORMAT:
            raise ValueError(f"it is no acceptance of format {FORMAT}")
        acceptance = dataclass_from_json(Acceptance, found, "acceptance")
        _refuse_other_figures(acceptance)
    except (ValueError, RecursionError, OverflowError) as error:
        raise RefusedInput(f"{where}: {error}. Run `ichclient accept` again.") from error
    return acceptance


def _refuse_other_figures(acceptance: Acceptance) -> None:
    outcomes = acceptance.outcomes
    told = [*acceptance.points, *([acceptance.site.figures] if acceptance.site else [])]
    again = [figures_at(point.name, point.threshold, outcomes) for point in told]
    bleeds, clean = scores_of(outcomes)
    if (
        again != told
        or acceptance.roc != roc_from_scores(bleeds, clean)
        or acceptance.scores != counts_from_scores(bleeds, clean)
        or acceptance.disclaimer != DISCLAIMER
    ):
        raise ValueError("its figures do not follow from its cases")


def _card(reference: Reference) -> Card:
    return Card(
        name=reference.name,
        about=reference.about,
        evaluation_sha256=reference.evaluation_sha256,
        points=tuple(
            figures_from_calls(point.name, point.threshold, point.bleeds, point.clean)
            for point in reference.points
        ),
        roc=roc_from_scores(reference.bleeds, reference.clean),
        scores=counts_from_scores(reference.bleeds, reference.clean),
    )


def _refuse_twins(outcomes: Sequence[Outcome]) -> None:
    seen: dict[str, str] = {}
    for outcome in outcomes:
        uid = outcome.SeriesInstanceUID
        if uid is not None and uid in seen:
            raise RefusedInput(
                f"{seen[uid]} and {outcome.case.name} are the same series: a study counts once, "
                "so take one line out of the labels and name a new folder with --out."
            )
        if uid is not None:
            seen[uid] = outcome.case.name
