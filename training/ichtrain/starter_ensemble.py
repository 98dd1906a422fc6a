"""Members' outputs on a validation split -> EnsembleSpec: calibration, weights, operating points.

Mask weights minimise the Dice loss of the combined mask, as in the source (Kang et al. 2023 and
its follow-up); score weights minimise the log loss of the combined slice score. Both lie on the
simplex.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from ichcore import (
    Calibration,
    EnsembleSpec,
    Grid,
    MemberOutputs,
    MemberSpec,
    OperatingPoint,
    StudyRule,
    combined_from_members,
    slices_from_combined,
    study_from_slices,
)
from ichtrain.errors import IchTrainError
from ichtrain.items import Items

FINDINGS = {
    "ich_any": "any intracranial haemorrhage",
    "ich_sdh": "subdural haemorrhage",
    "ich_sah": "subarachnoid haemorrhage",
    "ich_small": "small haemorrhage of 5 mL or less",
}
BRAIN_MEMBER = "ich_any"

Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class Validation:
    """One series and what each member said of it, by member name."""

    items: Items
    outputs: dict[str, MemberOutputs]


def spec_from_validation(
    validation: Sequence[Validation],
    weights_sha256: dict[str, str],
    version: str,
    provenance: dict[str, str],
) -> EnsembleSpec:
    """Fit everything between the members and a decision on series no member trained on."""
    grid, names = Grid(), tuple(weights_sha256)
    label = np.concatenate([series.items.positive(grid) for series in validation])
    if label.all() or not label.any():
        raise IchTrainError("The validation split needs slices with blood and slices without.")
    logits = np.stack(
        [_stacked(validation, lambda out: out.logit[:, 0], name) for name in names], axis=1
    )
    calibrations = [_calibration(column, label) for column in logits.T]
    probability = np.stack(
        [_sigmoid(c.slope * z + c.intercept) for c, z in zip(calibrations, logits.T, strict=True)],
        axis=1,
    )
    score_weights = _on_simplex(lambda w: _log_loss(probability @ w, label), len(names))
    mask_weights, threshold = _mask_weights(validation, names)
    members = tuple(
        MemberSpec(
            name,
            FINDINGS[name],
            float(score_weights[k]),
            float(mask_weights[k]),
            calibrations[k],
            weights_sha256[name],
        )
        for k, name in enumerate(names)
    )
    draft = EnsembleSpec(
        name="ich-triton starter",
        version=version,
        grid=grid,
        members=members,
        brain_member=BRAIN_MEMBER,
        mask_threshold=threshold,
        brain_threshold=0.5,
        study_rule=StudyRule(),
        operating_points=(OperatingPoint("draft", 0.5, 0.0, 0.0),),
        provenance=provenance,
    )
    return replace(draft, operating_points=_operating_points(validation, draft))


def study_scores(validation: Sequence[Validation], spec: EnsembleSpec) -> NDArray[np.float32]:
    """Score of each series by the very formula and rule that the server applies, shape [n]."""
    return np.array([_study_score(series, spec) for series in validation], dtype=np.float32)


def _study_score(series: Validation, spec: EnsembleSpec) -> float:
    combined = combined_from_members(series.outputs, spec)
    slices = slices_from_combined([combined], series.items.position_mm, "in-process")
    return study_from_slices(slices, spec).score


def _stacked(
    validation: Sequence[Validation],
    values: Callable[[MemberOutputs], NDArray[np.generic]],
    name: str,
) -> Float64:
    return np.concatenate([values(series.outputs[name]) for series in validation]).astype(float)


def _calibration(logit: Float64, label: NDArray[np.bool_]) -> Calibration:
    """Platt scaling by maximum likelihood; the slope stays above 0."""

    def loss(parameters: Float64) -> float:
        slope, intercept = np.exp(parameters[0]), parameters[1]
        return _log_loss(_sigmoid(slope * logit + intercept), label)

    fitted = minimize(loss, np.zeros(2), method="Nelder-Mead")
    return Calibration(float(np.exp(fitted.x[0])), float(fitted.x[1]))


def _mask_weights(
    validation: Sequence[Validation], names: tuple[str, ...]
) -> tuple[Float64, float]:
    masks, truth = [], []
    for series in validation:
        shown = series.items.lesion.any(axis=(1, 2)) | (np.arange(len(series.items.hu)) % 4 == 0)
        inside = np.asarray(series.outputs[BRAIN_MEMBER].brain)[shown] >= 0.5
        stack = [np.asarray(series.outputs[name].mask)[shown] for name in names]
        masks.append(np.stack(stack, axis=-1).astype(np.float32)[inside])
        truth.append(series.items.lesion[shown].astype(np.float32)[inside])
    flat, lesion = np.concatenate(masks), np.concatenate(truth)

    def dice_loss(weights: Float64, sharpness: float = 12.0, threshold: float = 0.5) -> float:
        # A steep sigmoid stands for the hard threshold, which has no slope to follow.
        share = _sigmoid(sharpness * ((flat @ weights.astype(np.float32)) - threshold))
        return 1 - float(2 * (share * lesion).sum() / (share.sum() + lesion.sum() + 1e-6))

    weights = _on_simplex(dice_loss, len(names))
    combined = flat @ weights
    thresholds = np.arange(0.2, 0.71, 0.05)
    dices = [_dice(combined >= threshold, lesion >= 0.5) for threshold in thresholds]
    return weights, float(round(thresholds[int(np.argmax(dices))], 2))


def _operating_points(
    validation: Sequence[Validation], draft: EnsembleSpec
) -> tuple[OperatingPoint, ...]:
    """High sensitivity (at least 0.95), balanced (Youden's index), high specificity (0.95)."""
    score = study_scores(validation, draft)
    bleeds = np.array([series.items.kind != "normal" for series in validation])
    candidates = np.unique(score)
    thresholds = (candidates[1:] + candidates[:-1]) / 2
    sensitivity = np.array([(score[bleeds] >= t).mean() for t in thresholds])
    specificity = np.array([(score[~bleeds] < t).mean() for t in thresholds])
    chosen = {
        "high_sensitivity": int(np.flatnonzero(sensitivity >= 0.95)[-1]),
        "balanced": int(np.argmax(sensitivity + specificity)),
        "high_specificity": int(np.flatnonzero(specificity >= 0.95)[0]),
    }
    return tuple(
        OperatingPoint(
            name, round(float(thresholds[i]), 4), float(sensitivity[i]), float(specificity[i])
        )
        for name, i in chosen.items()
    )


def _on_simplex(loss: Callable[[Float64], float], size: int) -> Float64:
    """Minimise over non-negative weights that sum to 1, through a softmax."""

    def weights(parameters: Float64) -> Float64:
        exponent = np.exp(parameters - parameters.max())
        return np.asarray(exponent / exponent.sum())

    fitted = minimize(
        lambda parameters: loss(weights(parameters)),
        np.zeros(size),
        method="Powell",
        bounds=[(-6.0, 6.0)] * size,
        options={"maxiter": 20, "xtol": 1e-2, "ftol": 1e-5},
    )
    return weights(fitted.x)


def _log_loss(probability: Float64, label: NDArray[np.bool_]) -> float:
    clipped = np.clip(probability, 1e-6, 1 - 1e-6)
    return float(-np.where(label, np.log(clipped), np.log1p(-clipped)).mean())


def _dice(found: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    return float(2 * (found & truth).sum() / max(1, found.sum() + truth.sum()))


def _sigmoid(values: Float64 | NDArray[np.float32]) -> Float64:
    return np.asarray(0.5 + 0.5 * np.tanh(0.5 * values))
