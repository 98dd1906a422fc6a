"""An acceptance -> acceptance.html: one file, drawn from the record alone."""

from __future__ import annotations

from importlib.metadata import version

from ichclient.acceptance.drawings import roc_drawing, score_drawing
from ichclient.acceptance.figures import Outcome, PointFigures
from ichclient.acceptance.record import Acceptance
from ichclient.markup import ours, policy, template, text_of
from ichclient.report.style import page_style
from ichclient.result import DISCLAIMER
from ichcore import Decision
from ichcore.intervals import Area, Share
from ichcore.reference import Calls


def page_from_acceptance(acceptance: Acceptance) -> str:
    """The text of acceptance.html."""
    style = page_style() + text_of(__package__, "acceptance.css")
    card = acceptance.card
    points = _points(acceptance)
    return template(__package__, "acceptance.html").render(
        style=ours(style),  # named by its hash in the policy
        policy=policy(style),
        disclaimer=DISCLAIMER,
        version=version("ich-triton"),
        acceptance=acceptance,
        card=card,
        rows=[(point, _card_point(acceptance, point)) for point in points],
        roc=roc_drawing(
            acceptance.roc, points, card.roc if card else None, card.points if card else ()
        ),
        scores=score_drawing(acceptance.scores, points),
        card_scores=score_drawing(card.scores, card.points) if card else None,
        missed=[o for o in acceptance.outcomes if o.case.haemorrhage and _ever(o, points)],
        called=[o for o in acceptance.outcomes if not o.case.haemorrhage and _ever(o, points)],
        share=in_words,
        area=area_in_words,
        calls=calls_in_words,
        where=lambda outcome: _wrong_at(outcome, points),
        truth=truth_in_words,
        conditions=_conditions(acceptance),
    )


def in_words(share: Share | None) -> str:
    """A share with its counts and its interval."""
    if share is None:
        return "none"
    return (
        f"{share.share:.2f} ({share.low:.2f} to {share.high:.2f}), {share.count} of {share.total}"
    )


def area_in_words(area: Area | None) -> str:
    """An area with its interval."""
    return "not defined" if area is None else f"{area.area:.3f} ({area.low:.3f} to {area.high:.3f})"


def calls_in_words(calls: Calls) -> str:
    """What studies of one kind were called."""
    return f"{calls.positive} / {calls.negative} / {calls.indeterminate} / {calls.refused}"


def truth_in_words(outcome: Outcome) -> str:
    """What the labels say of a case."""
    case = outcome.case
    parts = ["haemorrhage" if case.haemorrhage else "none", ", ".join(case.subtypes)]
    if case.volume_ml is not None and case.haemorrhage:
        parts.append(f"{case.volume_ml:g} mL")
    return "; ".join(filter(None, parts))


def _points(acceptance: Acceptance) -> tuple[PointFigures, ...]:
    """The bundle's operating points, the site's own behind them."""
    site = acceptance.site
    return acceptance.points if site is None else (*acceptance.points, site.figures)


def _card_point(acceptance: Acceptance, point: PointFigures) -> PointFigures | None:
    if acceptance.card is None or point not in acceptance.points:
        return None
    return next((card for card in acceptance.card.points if card.name == point.name), None)


def _wrong_at(outcome: Outcome, points: tuple[PointFigures, ...]) -> list[str]:
    """Operating points at which a case was not called what it is, with what it was called."""
    right = Decision.POSITIVE if outcome.case.haemorrhage else Decision.NEGATIVE
    called = [(point.name.replace("_", " "), outcome.call(point.threshold)) for point in points]
    return [f"{name} ({word})" for name, word in called if word != right.value]


def _ever(outcome: Outcome, points: tuple[PointFigures, ...]) -> bool:
    return outcome.refusal is None and bool(_wrong_at(outcome, points))


def _conditions(acceptance: Acceptance) -> list[tuple[str, str]]:
    made, card = acceptance.conditions, acceptance.card
    bundle = made.bundle
    rows = [
        ("Ensemble", bundle.ensemble),
        ("Provenance", bundle.provenance),
        ("Spec SHA-256", bundle.spec_sha256),
        ("Server version", bundle.server_version),
        ("Client", made.software),
        ("Begun and ended", f"{made.started} to {made.finished}"),
        ("Labels SHA-256", made.labels_sha256),
        ("Rules file SHA-256", made.rules_sha256 or "no rules file"),
        ("Refusals let through", ", ".join(made.allowed) or "none"),
        ("Slabs", "no" if made.slab_mm is None else f"{made.slab_mm:g} mm"),
        ("Model card's evaluation SHA-256", card.evaluation_sha256 if card else ""),
    ]
    return [(name, value) for name, value in rows if value]
