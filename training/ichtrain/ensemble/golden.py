"""Judged series -> slices unlike each other, by which a release is proven."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ichcore import EnsembleSpec
from ichtrain.data import SUBTYPES, LabelledSeries
from ichtrain.data.items import items_hu
from ichtrain.ensemble.validation import Validated, Validation

Place = tuple[str, int]
"""SeriesInstanceUID and index of a slice."""


def golden_places(
    validation: Validation, spec: EnsembleSpec, subtypes: Mapping[str, frozenset[str]]
) -> tuple[Place, ...]:
    """Up to eight slices: extremes of the ensemble, one without blood, one of each subtype.

    The first two have the largest lesion found and the lowest score, as far apart as the split
    allows, so that no server passes that mixes up its slices. Then the middle of a series without
    blood, and the fullest slice of each subtype; `subtypes` is by SeriesInstanceUID.
    """
    slices = {one.uid: validation.slices(one, spec) for one in validation.series}
    fullest = {uid: int(np.argmax(each.lesion_mm2)) for uid, each in slices.items()}
    largest = max(slices, key=lambda uid: float(slices[uid].lesion_mm2.max()))
    lowest = min(slices, key=lambda uid: float(slices[uid].score.min()))
    places = [(largest, fullest[largest]), (lowest, int(np.argmin(slices[lowest].score)))]
    normal = next(one for one in validation.series if one.study == 0)
    places.append((normal.uid, len(normal.label) // 2))
    pixels = int(np.prod(validation.grid.mask_shape))
    for subtype in SUBTYPES:
        shown = [one for one in validation.series if subtype in subtypes.get(one.uid, frozenset())]
        # A series of this subtype alone, where there is one.
        shown.sort(key=lambda one: len(subtypes[one.uid]))
        places += [(one.uid, _fullest(one, pixels, fullest)) for one in shown[:1]]
    return tuple(dict.fromkeys(places))


def hu_of_slice(series: LabelledSeries, index: int, slices_per_item: int) -> NDArray[np.float16]:
    """One slice as the members take it, float16 [S, R, C]."""
    return np.asarray(items_hu(series, slices_per_item)[index], dtype=np.float16)


def _fullest(one: Validated, pixels: int, found: Mapping[str, int]) -> int:
    """The slice with most of the drawn blood that was seen, else with the largest lesion found."""
    seen = one.pixel[one.lesion]
    if len(seen) == 0:
        return found[one.uid]
    return int(np.argmax(np.bincount(seen // pixels)))
