"""Some series of the validation split -> everything that is fitted, and a spec made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ichcore import Calibration, EnsembleSpec, MemberSpec, OperatingPoint, StudyRule
from ichtrain.ensemble import weights
from ichtrain.ensemble.calibration import calibration_from_logits
from ichtrain.ensemble.optimise import Float64, sigmoid
from ichtrain.ensemble.options import EnsembleOptions
from ichtrain.ensemble.validation import BRAIN_THRESHOLD, Validated, Validation

SCHEMES = ("equal", "log_loss", "dice")
"""Where score weights may come from, the simplest first; `dice` takes the mask weights."""


@dataclass(frozen=True)
class Parts:
    """What is fitted on some series: a calibration a member, weights, the mask threshold.

    `dice` is that of the combined mask over all pixels, by threshold; None where nobody drew.
    """

    calibrations: tuple[Calibration, ...]
    score_weights: Mapping[str, Float64]
    mask_weights: Float64
    mask_threshold: float
    dice: Mapping[float, float] | None


def parts_from_series(
    validation: Validation, series: Sequence[Validated], options: EnsembleOptions
) -> Parts:
    """Fit calibrations, weights of every scheme and the mask threshold."""
    label, logit = slice_labels(series)
    calibrations = tuple(calibration_from_logits(column, label) for column in logit.T)
    columns = zip(calibrations, logit.T, strict=True)
    probability = np.stack([sigmoid(c.slope * z + c.intercept) for c, z in columns], axis=1)
    patients = len({one.patient for one in series})
    prior = options.prior_patients / patients
    mask_weights, threshold, dice = _mask_parts(validation, series, prior)
    return Parts(
        calibrations,
        {
            "equal": np.full(len(validation.members), 1 / len(validation.members)),
            "log_loss": weights.score_weights(probability, label, prior),
            "dice": mask_weights,
        },
        mask_weights,
        threshold,
        dice,
    )


def slice_labels(series: Sequence[Validated]) -> tuple[NDArray[np.bool_], Float64]:
    """Labels [n] of all slices of which one is known, and their logits [n, K].

    Where no slice is known to show blood, studies' labels are spread over their slices.
    """
    spread = not knows_slices(series)
    labels = [one.spread if spread else one.label for one in series]
    known = [label >= 0 for label in labels]
    logits = [one.logit[here] for one, here in zip(series, known, strict=True)]
    return (
        np.concatenate([label[here] == 1 for label, here in zip(labels, known, strict=True)]),
        np.concatenate(logits).astype(np.float64),
    )


def knows_slices(series: Sequence[Validated]) -> bool:
    """Whether any slice is known to show blood, not only a study."""
    return any((one.label == 1).any() for one in series)


def spec_from_parts(
    validation: Validation, parts: Parts, scheme: str, rule: StudyRule, options: EnsembleOptions,
    *, version: str, provenance: Mapping[str, str],
) -> EnsembleSpec:  # fmt: skip
    """A spec with everything but operating points, in whose place a draft stands."""
    score = _summing_to_one(parts.score_weights[scheme])
    mask = _summing_to_one(parts.mask_weights)
    members = tuple(
        MemberSpec(
            member.name, member.finding, score[k], mask[k], parts.calibrations[k],
            member.weights_sha256,
        )
        for k, member in enumerate(validation.members)
    )  # fmt: skip
    return EnsembleSpec(
        name=options.name,
        version=version,
        grid=validation.grid,
        members=members,
        brain_member=validation.brain_member,
        mask_threshold=parts.mask_threshold,
        brain_threshold=BRAIN_THRESHOLD,
        study_rule=rule,
        operating_points=(OperatingPoint("draft", 0.5, 0.0, 0.0),),
        provenance=dict(provenance),
    )


def _mask_parts(
    validation: Validation, series: Sequence[Validated], prior: float
) -> tuple[Float64, float, dict[float, float] | None]:
    """Weights [K] (0 of members without MASK), threshold and Dice by threshold."""
    has_mask = np.array(validation.has_mask)
    whole = np.zeros(len(has_mask))
    drawn = [one for one in series if one.lesion_pixels is not None]
    pixels = sum(one.lesion_pixels or 0 for one in drawn)
    if pixels == 0:
        whole[has_mask] = 1 / has_mask.sum()
        return whole, weights.DEFAULT_THRESHOLD, None
    mask = np.concatenate([one.mask[:, has_mask] for one in drawn]).astype(np.float32)
    lesion = np.concatenate([one.lesion for one in drawn])
    fitted, threshold = weights.mask_weights(mask, lesion, pixels, prior)
    whole[has_mask] = fitted
    return whole, threshold, weights.dices(mask, lesion, pixels, fitted)


def _summing_to_one(values: Float64) -> list[float]:
    """Six digits are plenty, and a file that people read has no more."""
    rounded = [round(float(value), 6) for value in values]
    largest = int(np.argmax(rounded))
    rounded[largest] = round(rounded[largest] + 1 - sum(rounded), 6)
    return rounded
