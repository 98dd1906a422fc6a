"""Outcomes -> the figures of a group: who was called what, areas, tests, predictive values.

A series that was called indeterminate or was refused is neither found nor cleared: it counts
against sensitivity and against specificity, and stands on a line of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ichtrain.errors import OneClass
from ichtrain.evaluate.outcome import INDETERMINATE, Outcome
from ichtrain.statistics import (
    AUC,
    AUCTest,
    Proportion,
    adjusted_by_holm,
    auc_from_scores,
    npv_at_prevalence,
    paired_test,
    ppv_at_prevalence,
    proportion_from_counts,
)

PREVALENCES = (0.05, 0.10, 0.20)
"""Shares of bleeds for which predictive values are stated, beside the test's own."""


@dataclass(frozen=True)
class Calls:
    """How many series of one truth were called what at one operating point."""

    positive: int
    negative: int
    indeterminate: int
    refused: int

    @property
    def total(self) -> int:
        """All of them, refused ones included."""
        return self.positive + self.negative + self.indeterminate + self.refused


@dataclass(frozen=True)
class Predictive:
    """Predictive values where `prevalence` of the series bleed; None where nobody was called so."""

    prevalence: float
    ppv: float | None
    npv: float | None


@dataclass(frozen=True)
class PointFigures:
    """One operating point: what bleeds and what clean heads were called, and what follows.

    `sensitivity` and `specificity` are None without a case of their kind.
    """

    name: str
    threshold: float
    bleeds: Calls
    clean: Calls
    sensitivity: Proportion | None
    specificity: Proportion | None
    predictive: tuple[Predictive, ...] = ()


@dataclass(frozen=True)
class Compared:
    """The ensemble's area less another one's, and its p value among all tests of the level."""

    against: str
    test: AUCTest
    p_holm: float | None


@dataclass(frozen=True)
class Areas:
    """Areas under the curve of one level, study or slice, by name; None where not defined."""

    ensemble: AUC | None
    others: dict[str, AUC | None]
    tests: tuple[Compared, ...]


def calls_from_outcomes(outcomes: Iterable[Outcome], point: str) -> Calls:
    """Count what series were called at an operating point."""
    said = [one.decisions.get(point) for one in outcomes]
    return Calls(
        said.count("positive"), said.count("negative"), said.count(INDETERMINATE), said.count(None)
    )


def point_from_outcomes(
    bleeds: Sequence[Outcome], clean: Sequence[Outcome], name: str, threshold: float
) -> PointFigures:
    """Figures of one operating point over series with and without blood."""
    found, cleared = calls_from_outcomes(bleeds, name), calls_from_outcomes(clean, name)
    return PointFigures(
        name,
        threshold,
        found,
        cleared,
        proportion_from_counts(found.positive, found.total),
        proportion_from_counts(cleared.negative, cleared.total),
        _predictive(found, cleared),
    )


def area_from_outcomes(bleeds: Sequence[Outcome], clean: Sequence[Outcome]) -> AUC | None:
    """The ensemble's area over the series that have a score."""
    scored = [
        (bool(one.truth), one.score, one.patient)
        for one in (*bleeds, *clean)
        if one.score is not None
    ]
    truth, score, patients = zip(*scored, strict=True) if scored else ((), (), ())
    return area_or_none(truth, score, patients)


def areas_from_scores(
    truth: ArrayLike,
    ensemble: ArrayLike,
    others: dict[str, NDArray[np.float64]],
    patients: ArrayLike,
) -> Areas:
    """Areas of the ensemble and of all others on the same cases, and paired tests against each.

    What comes from one of the `patients` [n] hangs together, which errors and tests allow for.
    """
    areas = {name: area_or_none(truth, scores, patients) for name, scores in others.items()}
    own = area_or_none(truth, ensemble, patients)
    if own is None:
        return Areas(None, areas, ())
    tests = {
        name: paired_test(truth, ensemble, scores, clusters=patients)
        for name, scores in others.items()
    }
    adjusted = adjusted_by_holm([test.p_value for test in tests.values()])
    return Areas(
        own,
        areas,
        tuple(
            Compared(name, test, p_holm)
            for (name, test), p_holm in zip(tests.items(), adjusted, strict=True)
        ),
    )


def area_or_none(truth: ArrayLike, scores: ArrayLike, patients: ArrayLike) -> AUC | None:
    """The area with its interval, None where a class is missing and it is not defined."""
    try:
        return auc_from_scores(truth, scores, clusters=patients)
    except OneClass:
        return None


def _predictive(found: Calls, cleared: Calls) -> tuple[Predictive, ...]:
    if not found.total or not cleared.total:
        return ()
    own = found.total / (found.total + cleared.total)
    alarms = cleared.positive / cleared.total
    missed = found.negative / found.total
    return tuple(
        Predictive(
            prevalence,
            ppv_at_prevalence(found.positive / found.total, 1 - alarms, prevalence),
            npv_at_prevalence(1 - missed, cleared.negative / cleared.total, prevalence),
        )
        for prevalence in (*PREVALENCES, own)
    )
