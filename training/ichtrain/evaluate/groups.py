"""Outcomes -> figures of each subtype, volume band and site; an empty group stays, and says so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ichcore import EnsembleSpec
from ichtrain.data.series import SMALL_VOLUME_ML, SUBTYPES
from ichtrain.evaluate.figures import PointFigures, area_from_outcomes, point_from_outcomes
from ichtrain.evaluate.outcome import Outcome
from ichtrain.statistics import AUC

LARGE_VOLUME_ML = 25.0

SUBTYPE_GROUPS: dict[str, Callable[[Outcome], bool]] = {
    **{name: lambda one, name=name: name in one.subtypes for name in SUBTYPES},  # type: ignore[misc]
    "two or more": lambda one: len(one.subtypes) > 1,
    "subtype unknown": lambda one: not one.subtypes,
}
"""Bleeds by what they are; a series with two subtypes is in the lines of both."""

BAND_GROUPS: dict[str, Callable[[Outcome], bool]] = {
    "5 mL or less": lambda one: _between(one.lesion_ml, -1.0, SMALL_VOLUME_ML),
    "more than 5 to 25 mL": lambda one: _between(one.lesion_ml, SMALL_VOLUME_ML, LARGE_VOLUME_ML),
    "more than 25 mL": lambda one: _between(one.lesion_ml, LARGE_VOLUME_ML, float("inf")),
    "volume unknown": lambda one: one.lesion_ml is None,
}
"""Bleeds by their true volume; 5 mL and less is small in Kang et al. 2023 and its follow-up."""


@dataclass(frozen=True)
class GroupFigures:
    """One line of a table: a group of bleeds against its clean heads.

    `area` and the medians are None where the group has nothing to make them of.
    """

    name: str
    bleeds: int
    clean: int
    area: AUC | None
    points: tuple[PointFigures, ...]
    median_dice: float | None
    median_lesion_ml: float | None
    median_found_ml: float | None


def group_from_outcomes(
    name: str, bleeds: Sequence[Outcome], clean: Sequence[Outcome], spec: EnsembleSpec
) -> GroupFigures:
    """Figures of bleeds against clean heads."""
    return GroupFigures(
        name,
        len(bleeds),
        len(clean),
        area_from_outcomes(bleeds, clean),
        tuple(
            point_from_outcomes(bleeds, clean, point.name, point.threshold)
            for point in spec.operating_points
        ),
        _median([one.dice for one in bleeds]),
        _median([one.lesion_ml for one in bleeds]),
        _median([one.found_ml for one in bleeds]),
    )


def groups_of_bleeds(
    groups: dict[str, Callable[[Outcome], bool]], outcomes: Sequence[Outcome], spec: EnsembleSpec
) -> tuple[GroupFigures, ...]:
    """Each group of bleeds against all clean heads."""
    bleeds = [one for one in outcomes if one.truth is True]
    clean = [one for one in outcomes if one.truth is False]
    return tuple(
        group_from_outcomes(name, [one for one in bleeds if belongs(one)], clean, spec)
        for name, belongs in groups.items()
    )


def groups_of_sites(outcomes: Sequence[Outcome], spec: EnsembleSpec) -> tuple[GroupFigures, ...]:
    """Each site's bleeds against the same site's clean heads."""
    return tuple(
        group_from_outcomes(
            site,
            [one for one in outcomes if one.site == site and one.truth is True],
            [one for one in outcomes if one.site == site and one.truth is False],
            spec,
        )
        for site in sorted({one.site for one in outcomes})
    )


def _between(volume_ml: float | None, low: float, high: float) -> bool:
    return volume_ml is not None and low < volume_ml <= high


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None
