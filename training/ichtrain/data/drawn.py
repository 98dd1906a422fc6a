"""Regions drawn on a series -> labels of its slices and its blood in millilitres."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ichclient.series import Series
from ichcore.study import slice_extent_mm
from ichtrain.data.masks import Planes, Regions
from ichtrain.data.series import SUBTYPES, VISIBLE_LESION_MM2
from ichtrain.errors import MaskError

UNNAMED = "lesion"
"""Meaning of a mask value that is blood of a subtype nobody named."""


def labels_from_regions(
    regions: Regions, series: Series, meaning: Mapping[int, str]
) -> list[tuple[int | None, ...]]:
    """Labels of every slice; blood counts from `VISIBLE_LESION_MM2` of it on a slice.

    `meaning` gives each mask value a subtype or `UNNAMED`; without any, all values are unnamed.
    A subtype is unknown where blood without a name lies on the slice, and where no value means it.
    Raises `MaskError` for a value without a meaning.
    """
    strangers = [value for value in regions.by_value if meaning and value not in meaning]
    if strangers:
        raise MaskError(
            f"it holds the value(s) {', '.join(map(str, strangers))}, which no --label explains; "
            f"say what they are, for example --label {strangers[0]}={UNNAMED}"
        )
    pixel_mm2 = float(np.prod(series.pixel_spacing_mm))
    area_mm2 = {name: np.zeros(regions.shape[0]) for name in (*SUBTYPES, UNNAMED)}
    for value, planes in regions.by_value.items():
        area_mm2[meaning.get(value, UNNAMED)] += planes.sum(axis=(1, 2)) * pixel_mm2
    blood_mm2 = regions.blood.sum(axis=(1, 2)) * pixel_mm2
    named = set(meaning.values())
    labels: list[tuple[int | None, ...]] = []
    for index, blood in enumerate(blood_mm2):
        if blood < VISIBLE_LESION_MM2:
            labels.append((0,) * (1 + len(SUBTYPES)))
            continue
        unnamed = area_mm2[UNNAMED][index] > 0
        subtypes = [
            1
            if area_mm2[name][index] >= VISIBLE_LESION_MM2
            else (None if unnamed or name not in named else 0)
            for name in SUBTYPES
        ]
        labels.append((1, *subtypes))
    return labels


def lesion_ml_from_blood(blood: Planes, series: Series) -> float | None:
    """Volume of bool [n, Rows, Columns]; None where the positions allow no volume."""
    extent_mm = slice_extent_mm(series.positions_mm)
    if extent_mm is None:
        return None
    area_mm2 = blood.sum(axis=(1, 2)) * float(np.prod(series.pixel_spacing_mm))
    return float((area_mm2 * extent_mm).sum() / 1000.0)
