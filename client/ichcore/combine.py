"""Members' outputs -> slice scores: the weighted combination, written once.

Source of the idea: a weighted ensemble of models for all ICH, SDH, SAH and small lesions whose
weights act on pixel probability maps (Kang et al., Frontiers in Neurology 2023, 14:1321964, and
the group's follow-up). Slice scores are weighted in the same way, on calibrated probabilities.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ichcore.errors import ContractError, NonFiniteError, NoSlicesError
from ichcore.spec import EnsembleSpec, MemberSpec

Float32 = NDArray[np.float32]

_PROBABILITY_SLACK = 0.01
"""What bf16 engines may round past 0 or 1; logits sent as MASK lie far beyond."""


@dataclass(frozen=True)
class MemberOutputs:
    """What one member said of N slices: LOGIT [N, 1], and where it has them MASK and BRAIN.

    MASK and BRAIN are probabilities [N, rows, columns] on the mask raster of the grid.
    """

    logit: NDArray[np.generic]
    mask: NDArray[np.generic] | None = None
    brain: NDArray[np.generic] | None = None


@dataclass(frozen=True)
class Combined:
    """What the ensemble says of N slices; dtypes and shapes are those of `docs/contract.md`."""

    score: Float32
    member_scores: Float32
    mask: NDArray[np.float16]
    lesion_mm2: Float32
    brain_mm2: Float32


def combined_from_members(outputs: Mapping[str, MemberOutputs], spec: EnsembleSpec) -> Combined:
    """Apply the spec's calibration, weights and thresholds to the outputs by member name.

    A member without a MASK leaves its mask weight to the others. Raises `NonFiniteError` on NaN
    or infinity, `NoSlicesError` on N = 0, `ContractError` on a missing member, a wrong shape, a
    MASK or BRAIN that holds no probabilities, or no MASK at all.
    """
    missing = [name for name in spec.member_names if name not in outputs]
    if missing:
        raise ContractError(f"No output of member {', '.join(missing)} reached the combination.")
    ordered = [outputs[name] for name in spec.member_names]
    slices = len(ordered[0].logit)
    if slices == 0:
        raise NoSlicesError("The combination was given no slices.")
    member_scores = np.concatenate(
        [
            _probability(_checked(output.logit, (slices, 1), member.name, "LOGIT"), member)
            for output, member in zip(ordered, spec.members, strict=True)
        ],
        axis=1,
    )
    weights = np.array([member.score_weight for member in spec.members], dtype=np.float32)
    mask = _weighted_mask(ordered, spec, slices)
    brain = outputs[spec.brain_member].brain
    if brain is None:
        raise ContractError(f"Member {spec.brain_member} gave no BRAIN, which the spec expects.")
    brain_shape = (slices, *spec.grid.mask_shape)
    inside = (
        _checked_probability(brain, brain_shape, spec.brain_member, "BRAIN") >= spec.brain_threshold
    )
    lesion = (mask >= spec.mask_threshold) & inside
    return Combined(
        # A plain sum gives a slice the same bits in any batch; rounding must not pass 1.
        score=np.minimum((member_scores * weights).sum(axis=1, keepdims=True), np.float32(1)),
        member_scores=member_scores,
        mask=_halves(mask),
        lesion_mm2=_area_mm2(lesion, spec),
        brain_mm2=_area_mm2(inside, spec),
    )


def _probability(logit: Float32, member: MemberSpec) -> Float32:
    calibration = member.calibration
    return _sigmoid(calibration.slope * logit + calibration.intercept)


def _sigmoid(logit: Float32) -> Float32:
    # tanh does not overflow for large negative logits, exp does.
    return np.asarray(0.5 + 0.5 * np.tanh(0.5 * logit), dtype=np.float32)


def _weighted_mask(ordered: list[MemberOutputs], spec: EnsembleSpec, slices: int) -> Float32:
    total = np.zeros((slices, *spec.grid.mask_shape), dtype=np.float32)
    weight_sum = 0.0
    for output, member in zip(ordered, spec.members, strict=True):
        if output.mask is None:
            continue
        mask = _checked_probability(output.mask, total.shape, member.name, "MASK")
        total += np.float32(member.mask_weight) * mask
        weight_sum += member.mask_weight
    if weight_sum == 0:
        # An empty mask would read as a lesion of 0 mL.
        raise ContractError("No member with a mask weight gave a MASK, which the spec expects.")
    return total / np.float32(weight_sum)


def _halves(probabilities: Float32) -> NDArray[np.float16]:
    # What FP16 holds with fewer digits becomes 0: numpy raises a flag of the processor for each
    # such value, and took four times as long for it as for all the rest of this file.
    normal = probabilities >= np.finfo(np.float16).smallest_normal
    return np.where(normal, probabilities, np.float32(0)).astype(np.float16)


def _checked_probability(
    values: NDArray[np.generic], shape: tuple[int, ...], member: str, tensor: str
) -> Float32:
    checked = _checked(values, shape, member, tensor)
    low, high = float(checked.min()), float(checked.max())
    if low < -_PROBABILITY_SLACK or high > 1 + _PROBABILITY_SLACK:
        raise ContractError(
            f"{tensor} of {member} spans {low:.3g} to {high:.3g}; probabilities lie in 0 to 1."
        )
    return checked


def _checked(
    values: NDArray[np.generic], shape: tuple[int, ...], member: str, tensor: str
) -> Float32:
    if values.shape != shape:
        raise ContractError(f"{tensor} of {member} has shape {values.shape}; expected {shape}.")
    checked = np.asarray(values, dtype=np.float32)
    if not np.isfinite(checked).all():
        raise NonFiniteError(
            f"{tensor} of {member} has values that are not finite; the chunk is refused."
        )
    return checked


def _area_mm2(inside: NDArray[np.bool_], spec: EnsembleSpec) -> Float32:
    pixels = inside.sum(axis=(1, 2), dtype=np.int64)
    return np.asarray(pixels * spec.grid.mask_pixel_mm2, dtype=np.float32)[:, None]
