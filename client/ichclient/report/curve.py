"""Slice scores along the head -> the numbers of an inline SVG: points, peaks, ticks, thresholds.

x is the position along the slice normal in mm, feet left and head right; y is the score, 0 to 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ichclient.result import Result
from ichcore.study_rules import StudyRule, counted_from_brain

PEAK_PROMINENCE = 0.05
"""A peak rises this far above the higher of the two dips that part it from higher slices."""

_MARGIN_LEFT, _MARGIN_RIGHT, _MARGIN_TOP, _MARGIN_BOTTOM = 40.0, 16.0, 30.0, 44.0
_LESION_SHARE = 0.22
_STEPS_MM = (5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)
_LABEL_WIDTH = 52.0
_LINE_ROOM = 16.0


@dataclass(frozen=True)
class CurvePoint:
    """One slice on the curve; `left` and `width` are the column in which a touch means it."""

    index: int
    x: float
    y: float
    left: float
    width: float
    lesion_height: float
    is_top: bool
    is_peak: bool
    counts: bool
    """Whether the slice shows enough brain to enter the study score."""


@dataclass(frozen=True)
class Threshold:
    """A line that one or more operating points share."""

    y: float
    value: float
    names: tuple[str, ...]
    words_right: bool
    """Whether its words stand at the right end, since those of the line below fill the left."""


@dataclass(frozen=True)
class Curve:
    """Everything that the SVG draws, in its own units."""

    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float
    points: tuple[CurvePoint, ...]
    line: str
    position_ticks: tuple[tuple[float, float], ...]
    score_ticks: tuple[tuple[float, float], ...]
    thresholds: tuple[Threshold, ...]


def curve_from_result(result: Result, width: float, height: float) -> Curve:
    """Lay the curve out in a drawing of `width` x `height`."""
    left, right = _MARGIN_LEFT, width - _MARGIN_RIGHT
    top, bottom = _MARGIN_TOP, height - _MARGIN_BOTTOM
    positions = [one.position_mm for one in result.slices]
    first, last = positions[0], positions[-1]
    span_mm = max(last - first, 1.0)

    def x(position_mm: float) -> float:
        inner = 8.0  # so that the first and last dot do not lie on the axis
        return round(left + inner + (position_mm - first) / span_mm * (right - left - 2 * inner), 2)

    def y(score: float) -> float:
        return round(bottom - score * (bottom - top), 2)

    xs = [x(position) for position in positions]
    edges = [left, *((low + high) / 2 for low, high in pairwise(xs)), right]
    peaks = peaks_from_scores([one.score for one in result.slices])
    apart = slices_apart(result)
    largest_mm2 = max(one.lesion_mm2 for one in result.slices) or 1.0
    points = tuple(
        CurvePoint(
            index=one.index,
            x=xs[place],
            y=y(one.score),
            left=round(edges[place], 2),
            width=round(edges[place + 1] - edges[place], 2),
            lesion_height=round(one.lesion_mm2 / largest_mm2 * _LESION_SHARE * (bottom - top), 2),
            is_top=one.index in result.top_slices,
            is_peak=one.index in peaks,
            counts=one.index not in apart,
        )
        for place, one in enumerate(result.slices)
    )
    thresholds = result.combination.thresholds if result.combination else {}
    return Curve(
        width=width,
        height=height,
        left=left,
        right=right,
        top=top,
        bottom=bottom,
        points=points,
        line=" ".join(f"{point.x},{point.y}" for point in points),
        position_ticks=tuple((x(mm), mm) for mm in _ticks(first, last, (right - left))),
        score_ticks=tuple((y(score), score) for score in (0.0, 0.25, 0.5, 0.75, 1.0)),
        thresholds=_lines(thresholds, y),
    )


def slices_apart(result: Result) -> tuple[int, ...]:
    """Indices of slices with too little brain to enter the study score; none if not known."""
    if result.combination is None:
        return ()
    brain_mm2 = np.array([one.brain_mm2 for one in result.slices], dtype=np.float32)
    rule = StudyRule(minimum_brain_share=result.combination.minimum_brain_share)
    return tuple(np.flatnonzero(~counted_from_brain(brain_mm2, rule)).tolist())


def peaks_from_scores(scores: Sequence[float]) -> tuple[int, ...]:
    """Indices of the slices that stand out of their surroundings, by topographic prominence.

    Of a plateau the first slice is the peak; a series without a rise of PEAK_PROMINENCE has none.
    """
    peaks = []
    for place, score in enumerate(scores):
        # On a tie the earlier one is the higher.
        below = next((i for i in range(place - 1, -1, -1) if scores[i] >= score), -1)
        above = next((i for i in range(place + 1, len(scores)) if scores[i] > score), len(scores))
        dips = [
            min(part)
            for part, ends in (
                (scores[below + 1 : place + 1], below < 0),
                (scores[place:above], above == len(scores)),
            )
            if not ends
        ] or [min(scores)]
        if score - max(dips) >= PEAK_PROMINENCE:
            peaks.append(place)
    return tuple(peaks)


def _ticks(first: float, last: float, width: float) -> list[float]:
    """Round positions inside the series, as many as have room for their words."""
    fit = max(2, int(width / _LABEL_WIDTH))
    step = next((mm for mm in _STEPS_MM if (last - first) / mm < fit), _STEPS_MM[-1])
    # Rounding of the DICOM text must not hide the tick of a series that begins at 0.
    begin = math.ceil(first / step - 1e-3)
    ticks = [float(step * (begin + count)) for count in range(fit + 1)]
    return [tick for tick in ticks if tick <= last + 1e-3 * step]


def _lines(thresholds: Mapping[str, float], y: Callable[[float], float]) -> tuple[Threshold, ...]:
    """One line for each value, however many operating points share it, from the lowest up."""
    lines: list[Threshold] = []
    for value in sorted(set(thresholds.values())):
        names = tuple(name for name, point in thresholds.items() if point == value)
        crowded = bool(lines) and not lines[-1].words_right and lines[-1].y - y(value) < _LINE_ROOM
        lines.append(Threshold(y(value), value, names, words_right=crowded))
    return tuple(lines)
