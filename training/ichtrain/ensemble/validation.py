"""Labelled series and what the members said of them -> what the fit keeps of both.

Of the masks only the pixels are kept that some member calls lesion with `LEAST_MASK` or more inside
the brain: a weighted mean of less than that everywhere is below every threshold that is tried, so
the formula says the same of what is kept as of the whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ichcore import (
    EnsembleSpec,
    Grid,
    MemberOutputs,
    SliceScores,
    combined_from_members,
    slices_from_combined,
)
from ichtrain.data import LabelledSeries
from ichtrain.ensemble.options import MemberFacts
from ichtrain.errors import EnsembleError, OneClass

LEAST_MASK = 0.1

BRAIN_THRESHOLD = 0.5
"""From which probability a pixel lies inside the skull; not fitted."""


@dataclass(frozen=True)
class Validated:
    """One series of n slices: its truth, and what K members said of it.

    `study` is 1 with blood, 0 without, -1 where that is unknown; `label` int8 [n] the same of
    slices, -1 too where only the study as a whole was called positive, and `spread` [n] with that
    study's label on each slice. `logit` [n, K]. Kept pixels: `pixel` [p] counts through
    [n, r, c], `mask` float16 [p, K] (0 of members without one), `lesion` [p] the truth;
    `lesion_pixels` counts all pixels of lesion, None where nobody drew them. `brain` is the inside
    of the skull, packed bits of [n, r, c].
    """

    uid: str
    patient: str
    study: int
    label: NDArray[np.int8]
    spread: NDArray[np.int8]
    position_mm: NDArray[np.float32]
    logit: NDArray[np.float32]
    pixel: NDArray[np.intp]
    mask: NDArray[np.float16]
    lesion: NDArray[np.bool_]
    lesion_pixels: int | None
    brain: NDArray[np.uint8]


@dataclass(frozen=True)
class Validation:
    """What an ensemble is fitted on: its members in order and the series they judged.

    `has_mask` says which members gave a MASK, `brain_member` whose BRAIN was kept. Raises
    `OneClass` without a series with blood or without one that has none.
    """

    grid: Grid
    members: tuple[MemberFacts, ...]
    has_mask: tuple[bool, ...]
    brain_member: str
    series: tuple[Validated, ...]

    def __post_init__(self) -> None:
        """Refuse data on which nothing can be fitted."""
        for study, what in ((1, "with blood"), (0, "without any blood")):
            if not any(one.study == study for one in self.series):
                raise OneClass(
                    f"None of the {len(self.series)} series of the validation split is known to be "
                    f"{what}; an ensemble is fitted on both kinds. Add such series, or choose "
                    "another --split."
                )

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the members, in order."""
        return tuple(member.name for member in self.members)

    def slices(self, one: Validated, spec: EnsembleSpec) -> SliceScores:
        """Slice results of a series by the very formula that the server applies."""
        shape = (len(one.label), *self.grid.mask_shape)
        size = int(np.prod(shape))
        outputs = {}
        for k, (name, has_mask) in enumerate(zip(self.names, self.has_mask, strict=True)):
            mask = brain = None
            if has_mask:
                mask = np.zeros(size, dtype=np.float16)
                mask[one.pixel] = one.mask[:, k]
                mask = mask.reshape(shape)
            if name == self.brain_member:
                bits = np.unpackbits(one.brain, count=size)
                brain = bits.astype(np.float16).reshape(shape)
            outputs[name] = MemberOutputs(one.logit[:, k : k + 1], mask, brain)
        combined = combined_from_members(outputs, spec)
        return slices_from_combined([combined], one.position_mm, "in-process")


def validated_from_outputs(
    series: LabelledSeries,
    outputs: Mapping[str, MemberOutputs],
    names: Sequence[str],
    brain_member: str,
) -> Validated:
    """Keep of a series and its members' outputs what the fit needs.

    Raises `EnsembleError` on values that are not finite, shapes that differ, or no BRAIN.
    """
    brain = outputs[brain_member].brain
    if brain is None:
        raise EnsembleError(
            f"Member {brain_member} gives no BRAIN. Train a strong member with `ichtrain fit "
            "--brain`, and name it with --brain-member."
        )
    shape = brain.shape
    logit = _logits(series, outputs, names)
    inside = np.asarray(brain, dtype=np.float32) >= BRAIN_THRESHOLD
    masks = {name: outputs[name].mask for name in names}
    for name, values in (*masks.items(), (brain_member, brain)):
        if values is not None and values.shape != shape:
            raise EnsembleError(f"{name} gives masks of {values.shape}; others of {shape}.")
        if values is not None and not np.isfinite(values).all():
            raise _not_finite(name, series)
    shown = np.zeros(shape, dtype=bool)
    for values in masks.values():
        if values is not None:
            shown |= np.asarray(values, dtype=np.float32) >= LEAST_MASK
    pixel = np.flatnonzero(shown & inside)
    kept = np.zeros((len(pixel), len(names)), dtype=np.float16)
    for k, values in enumerate(masks.values()):
        if values is not None:
            kept[:, k] = values.reshape(-1)[pixel]
    lesion, lesion_pixels = _lesion(series, pixel, shape)
    return Validated(
        uid=series.SeriesInstanceUID,
        patient=series.patient,
        study=1 if series.has("any") else 0 if series.is_normal else -1,
        label=_slice_labels(series),
        spread=series.labels[:, 0],
        position_mm=series.position_mm,
        logit=logit,
        pixel=pixel,
        mask=kept,
        lesion=lesion,
        lesion_pixels=lesion_pixels,
        brain=np.packbits(inside),
    )


def _logits(
    series: LabelledSeries, outputs: Mapping[str, MemberOutputs], names: Sequence[str]
) -> NDArray[np.float32]:
    for name in names:
        if outputs[name].logit.shape != (len(series.hu), 1):
            raise EnsembleError(
                f"{name} gives {outputs[name].logit.shape} logits for {len(series.hu)} slices."
            )
        if not np.isfinite(outputs[name].logit).all():
            raise _not_finite(name, series)
    return np.concatenate([outputs[name].logit for name in names], axis=1, dtype=np.float32)


def _slice_labels(series: LabelledSeries) -> NDArray[np.int8]:
    label = np.array(series.labels[:, 0], dtype=np.int8)
    if series.annotation == "study":
        label[label == 1] = -1  # nobody said which of its slices
    return label


def _lesion(
    series: LabelledSeries, pixel: NDArray[np.intp], shape: tuple[int, ...]
) -> tuple[NDArray[np.bool_], int | None]:
    if series.lesion is None:
        # Nobody draws on a series without blood; all of it is known.
        return np.zeros(len(pixel), dtype=bool), 0 if series.is_normal else None
    if series.lesion.shape != shape:
        raise EnsembleError(
            f"Series {series.SeriesInstanceUID} has masks of {series.lesion.shape}, its members "
            f"give {shape}: prepare the data on the members' grid."
        )
    truth = np.asarray(series.lesion) >= 128
    return truth.reshape(-1)[pixel], int(truth.sum())


def _not_finite(name: str, series: LabelledSeries) -> EnsembleError:
    return EnsembleError(
        f"{name} gives values that are not finite on series {series.SeriesInstanceUID}; train it "
        "again, or look at that series."
    )
