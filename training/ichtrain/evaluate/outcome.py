"""Labelled series -> what the bundle said of it, beside its truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ichcore import (
    Combined,
    EnsembleSpec,
    SliceScores,
    slices_from_combined,
    study_from_slices,
)
from ichcore.errors import ContractError, NonFiniteError
from ichexport.engines import CHUNK_SLICES
from ichexport.golden import combined_from_runners
from ichtrain.data.items import items_hu
from ichtrain.data.series import SUBTYPES, UNKNOWN, LabelledSeries
from ichtrain.errors import EvaluationError
from ichtrain.evaluate.baseline import areas_from_series
from ichtrain.evaluate.bundle import Bundle

Float32 = NDArray[np.float32]

INDETERMINATE = "indeterminate"
"""The decision about a series of which too little was seen; source: docs/contract.md, section 5."""

_DRAWN = 128  # half a mask pixel or more, in shares times 255


@dataclass(frozen=True)
class SliceOutcomes:
    """The slices [n] of one series: truth 1, 0 or -1 for unknown, scores, and the baseline."""

    truth: NDArray[np.int8]
    score: Float32
    member_scores: Float32
    baseline_mm2: Float32


@dataclass(frozen=True)
class Outcome:
    """One series: its truth, and what was said of it.

    `truth` is None where nobody knows, or where blood is drawn but too small to show on a slice;
    `score`, `slices` and what follows from them are None where the bundle refused the series, and
    `refusal` then says why. `found_ml` is None where positions allow no volume, `dice` without a
    drawn lesion.
    """

    SeriesInstanceUID: str
    patient: str
    site: str
    annotation: str
    truth: bool | None
    subtypes: tuple[str, ...]
    lesion_ml: float | None
    baseline_ml: float
    score: float | None = None
    member_scores: Mapping[str, float] = field(default_factory=dict)
    decisions: Mapping[str, str] = field(default_factory=dict)
    found_ml: float | None = None
    coverage_mm: float | None = None
    dice: float | None = None
    refusal: str | None = None
    top_slices: tuple[int, ...] = ()
    slices: SliceOutcomes | None = None


def outcome_from_series(series: LabelledSeries, bundle: Bundle) -> Outcome:
    """Judge one series as the server would, with the spec's formula and study rule."""
    spec = bundle.spec
    baseline = areas_from_series(series.hu, series.position_mm, spec.grid)
    identity = Outcome(
        SeriesInstanceUID=series.SeriesInstanceUID,
        patient=series.patient,
        site=series.site,
        annotation=series.annotation,
        truth=_truth(series),
        subtypes=tuple(name for name in SUBTYPES if name in series.subtypes),
        lesion_ml=series.lesion_ml,
        baseline_ml=baseline.volume_ml,
    )
    try:
        combined = _combined(series, bundle)
        slices = slices_from_combined([combined], series.position_mm, "in-process")
        study = study_from_slices(slices, spec)
    except ContractError as error:
        return _with(identity, refusal=str(error))
    return _with(
        identity,
        score=study.score,
        member_scores=dict(zip(spec.member_names, study.member_scores, strict=True)),
        decisions={name: str(decision) for name, decision in study.decisions},
        found_ml=study.lesion_volume_ml,
        coverage_mm=study.coverage_mm,
        dice=_dice(combined, series, spec),
        top_slices=study.top_slices,
        slices=_slice_outcomes(series, slices, baseline.slice_mm2),
    )


def _combined(series: LabelledSeries, bundle: Bundle) -> Combined:
    grid = bundle.spec.grid
    if series.hu.shape[1:] != (grid.rows, grid.columns):
        raise EvaluationError(
            f"Series {series.SeriesInstanceUID} lies on {series.hu.shape[1:]} pixels and the "
            f"bundle takes {(grid.rows, grid.columns)}; prepare the data on the bundle's grid."
        )
    if not np.isfinite(series.hu).all():
        raise NonFiniteError("HU has values that are not finite; the series is refused.")
    items = items_hu(series, grid.slices_per_item)
    return combined_from_runners(bundle.runners, items, bundle.spec, CHUNK_SLICES)


def _truth(series: LabelledSeries) -> bool | None:
    if series.has("any"):
        return True
    # A drawn bleed that shows on no slice is neither a bleed to be found nor a clean head.
    return False if series.is_normal and not series.lesion_ml else None


def _slice_outcomes(
    series: LabelledSeries, slices: SliceScores, baseline_mm2: Float32
) -> SliceOutcomes:
    truth = np.array(series.labels[:, 0], dtype=np.int8)
    if series.annotation == "study" and not series.is_normal:
        truth[:] = UNKNOWN  # the study's label was spread over slices that may show nothing
    return SliceOutcomes(truth, slices.score, slices.member_scores, baseline_mm2)


def _dice(combined: Combined, series: LabelledSeries, spec: EnsembleSpec) -> float | None:
    """Dice of the combined mask over the whole series; None without drawn blood."""
    if series.lesion is None:
        return None
    drawn = np.asarray(series.lesion) >= _DRAWN
    if not drawn.any():
        return None
    found = combined.mask >= spec.mask_threshold
    return float(2 * (found & drawn).sum() / (found.sum() + drawn.sum()))


def _with(identity: Outcome, **said: object) -> Outcome:
    return Outcome(**{**vars(identity), **said})
