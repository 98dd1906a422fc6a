"""Masks of the top slices -> the place to look at first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ichclient.objects.judgement import Judgement


@dataclass(frozen=True)
class Place:
    """A pixel of a slice: `index` counts slices, `row` and `column` pixels as stored, from 0."""

    index: int
    row: int
    column: int


def highest_place(judgement: Judgement) -> Place | None:
    """Where the mask is highest on the highest top slice that has one; None without any mask.

    Of equals the one nearest to their middle is taken, so that a plateau is not met at its rim.
    """
    for index in judgement.result.top_slices:
        mask = judgement.mask(index)
        if mask.any():
            highest = np.argwhere(mask == mask.max())
            from_middle = np.linalg.norm(highest - highest.mean(axis=0), axis=1)
            row, column = highest[int(np.argmin(from_middle))]
            return Place(index, int(row), int(column))
    return None
