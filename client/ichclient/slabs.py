"""Thin series -> thick slabs: Hounsfield units averaged to a wanted spacing, as a scanner does it.

A slab holds the slices whose places fall into one step of the wanted height; it lies at the mean of
their places and is known by its middle image. One slab is summed at a time, so memory does not
grow with the series. Under gantry tilt the average runs along the table, like the stack itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from ichclient.headers import SliceHeader, Vector3, Warning_
from ichclient.places import SlicePlace
from ichclient.series import Series

if TYPE_CHECKING:
    from ichclient.hounsfield import HUSlice

SLAB_AVERAGED = "slab_averaged"
"""Code of the warning that slices were averaged."""

# A slice on the edge of a step belongs to the next one, whatever its place was rounded to.
_ROUNDING_MM = 0.01


def series_in_slabs(series: Series, slab_mm: float) -> Series:
    """The same series as slabs every `slab_mm`; as it is where it is no thinner than that.

    What was done is a warning of the series (`slab_averaged`, or `slab_not_needed`).
    """
    if slab_mm <= 0:
        raise ValueError(f"a slab needs a height, got {slab_mm} mm")
    spacing_mm = series.slice_spacing_mm
    places, first = series.geometry.slices, series.positions_mm[0]
    steps = [int((place.position_mm - first + _ROUNDING_MM) // slab_mm) for place in places]
    groups = [
        [index for index, _ in group] for _, group in groupby(enumerate(steps), key=lambda x: x[1])
    ]
    largest = max(map(len, groups))
    if largest == 1:
        text = f"Slices lie {spacing_mm:.3f} mm apart, so slabs of {slab_mm:g} mm hold one each."
        return replace(series, warnings=(*series.warnings, Warning_("slab_not_needed", text)))
    thick = tuple(_place([places[index] for index in group]) for group in groups)
    gaps = np.diff([place.position_mm for place in thick])
    geometry = replace(
        series.geometry,
        slices=thick,
        slice_spacing_mm=float(np.median(gaps)) if gaps.size else 0.0,
    )
    smallest = min(map(len, groups))
    each = f"{largest}" if smallest == largest else f"{smallest} to {largest}"
    text = (
        f"{len(places)} slices {spacing_mm:.3f} mm apart were averaged to {len(thick)} slabs "
        f"every {slab_mm:g} mm, {each} slices each; each slab is named by its middle image."
    )
    return replace(
        series,
        slices=tuple(series.slices[_middle(group)] for group in groups),
        slabs=tuple(tuple(series.slices[index] for index in group) for group in groups),
        geometry=geometry,
        warnings=(*series.warnings, Warning_(SLAB_AVERAGED, text)),
    )


def slabs_from_slices(
    slices: Iterable[HUSlice], slabs: Sequence[Sequence[SliceHeader]]
) -> Iterator[HUSlice]:
    """Average the slices of each slab, given in their order."""
    slab_of = {id(header): number for number, slab in enumerate(slabs) for header in slab}
    for number, members in groupby(slices, key=lambda one: slab_of[id(one.header)]):
        yield _mean(members, slabs[number])


def _mean(members: Iterable[HUSlice], headers: Sequence[SliceHeader]) -> HUSlice:
    """One slab; what any of its slices shows or warns of, it does."""
    rest = iter(members)
    slab = next(rest)
    total, count = slab.hu.astype(np.float64), 1
    warnings = dict.fromkeys(slab.warnings)
    for one in rest:
        total += one.hu
        count += 1
        warnings |= dict.fromkeys(one.warnings)
        slab = replace(
            slab,
            air=slab.air or one.air,
            bone=slab.bone or one.bone,
            tissue=slab.tissue or one.tissue,
        )
    return replace(
        slab,
        hu=(total / count).astype(np.float32),
        header=headers[len(headers) // 2],
        warnings=tuple(warnings),
    )


def _middle(indices: Sequence[int]) -> int:
    return indices[len(indices) // 2]


def _place(places: Sequence[SlicePlace]) -> SlicePlace:
    """The mean of the places, named by the middle image."""
    origin = np.mean([place.origin_mm for place in places], axis=0)
    position = float(np.mean([place.position_mm for place in places]))
    return replace(
        places[len(places) // 2], position_mm=position, origin_mm=_vector3(origin.tolist())
    )


def _vector3(values: list[float]) -> Vector3:
    return values[0], values[1], values[2]
