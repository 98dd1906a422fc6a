"""Figures -> the numbers of two inline SVGs: the ROC curve, and how scores lie."""

from __future__ import annotations

from dataclasses import dataclass

from ichclient.acceptance.figures import PointFigures, Roc, ScoreCounts

_SIDE, _LEFT, _TOP, _BELOW = 300.0, 46.0, 12.0, 44.0
_WIDTH, _HEIGHT = 620.0, 300.0
_MIDDLE = 150.0
_HALF = 118.0


@dataclass(frozen=True)
class Mark:
    """An operating point on the curve."""

    x: float
    y: float
    name: str


@dataclass(frozen=True)
class RocDrawing:
    """A square of 300, in a drawing of `width` x `height`."""

    width: float
    height: float
    left: float
    top: float
    side: float
    site: str
    card: str
    marks: tuple[Mark, ...]
    card_marks: tuple[Mark, ...]
    ticks: tuple[tuple[float, float, str], ...]
    """x on the lower axis, y on the left one, words."""


@dataclass(frozen=True)
class Column:
    """A bin: bleeds above the middle, clean heads below it."""

    x: float
    width: float
    bleeds_y: float
    bleeds_height: float
    clean_height: float
    words: str


@dataclass(frozen=True)
class ScoreDrawing:
    """Bins of one set of studies over the score, with thresholds."""

    width: float
    height: float
    left: float
    right: float
    middle: float
    columns: tuple[Column, ...]
    thresholds: tuple[tuple[float, str], ...]
    ticks: tuple[tuple[float, str], ...]


def roc_drawing(
    roc: Roc,
    points: tuple[PointFigures, ...],
    card: Roc | None,
    card_points: tuple[PointFigures, ...],
) -> RocDrawing:
    """Both curves and all operating points that have both shares."""
    ticks = tuple((_x(part), _y(part), f"{part:g}") for part in (0.0, 0.25, 0.5, 0.75, 1.0))
    return RocDrawing(
        width=_LEFT + _SIDE + 14,
        height=_TOP + _SIDE + _BELOW,
        left=_LEFT,
        top=_TOP,
        side=_SIDE,
        site=_line(roc),
        card=_line(card) if card else "",
        marks=_marks(points),
        card_marks=_marks(card_points),
        ticks=ticks,
    )


def score_drawing(scores: ScoreCounts, points: tuple[PointFigures, ...]) -> ScoreDrawing:
    """Bars as high as the most that lie in one bin, either way."""
    most = max((*scores.bleeds, *scores.clean, 1))
    left, right = 20.0, _WIDTH - 12
    lows = (0.0, *scores.edges[:-1])

    def x(score: float) -> float:
        return round(left + score * (right - left), 2)

    columns = tuple(
        Column(
            x=x(low) + 1,
            width=round(x(high) - x(low) - 2, 2),
            bleeds_y=round(_MIDDLE - bleeds / most * _HALF, 2),
            bleeds_height=round(bleeds / most * _HALF, 2),
            clean_height=round(clean / most * _HALF, 2),
            words=f"{low:.2f} to {high:.2f}: {bleeds} with blood, {clean} without",
        )
        for low, high, bleeds, clean in zip(
            lows, scores.edges, scores.bleeds, scores.clean, strict=True
        )
    )
    by_value: dict[float, list[str]] = {}
    for point in points:
        by_value.setdefault(point.threshold, []).append(point.name.replace("_", " "))
    return ScoreDrawing(
        width=_WIDTH,
        height=_HEIGHT,
        left=left,
        right=right,
        middle=_MIDDLE,
        columns=columns,
        thresholds=tuple((x(value), ", ".join(names)) for value, names in sorted(by_value.items())),
        ticks=tuple((x(part), f"{part:g}") for part in (0.0, 0.25, 0.5, 0.75, 1.0)),
    )


def _line(roc: Roc) -> str:
    return " ".join(
        f"{_x(point.false_positive_share)},{_y(point.true_positive_share)}" for point in roc.points
    )


def _marks(points: tuple[PointFigures, ...]) -> tuple[Mark, ...]:
    """Operating points; a head that was not cleared, for whatever reason, lies to the right."""
    by_place: dict[tuple[float, float], list[str]] = {}
    for point in points:
        if point.sensitivity is not None and point.specificity is not None:
            place = _x(1 - point.specificity.share), _y(point.sensitivity.share)
            by_place.setdefault(place, []).append(point.name.replace("_", " "))
    return tuple(Mark(*place, ", ".join(names)) for place, names in sorted(by_place.items()))


def _x(share: float) -> float:
    return round(_LEFT + share * _SIDE, 2)


def _y(share: float) -> float:
    return round(_TOP + (1 - share) * _SIDE, 2)
