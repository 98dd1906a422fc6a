"""Byte mask -> closed outlines, by marching squares with linear interpolation.

Source: Lorensen and Cline, Marching cubes, SIGGRAPH 1987, in two dimensions; a saddle is told by
the mean of its four corners.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_TOP, _RIGHT, _BOTTOM, _LEFT = range(4)
# Corners inside, as bits: 1 top left, 2 top right, 4 bottom right, 8 bottom left. Every pair of
# edges goes from the first to the second with the inside on its left.
_PATHS: dict[int, tuple[tuple[int, int], ...]] = {
    1: ((_LEFT, _TOP),),
    2: ((_TOP, _RIGHT),),
    3: ((_LEFT, _RIGHT),),
    4: ((_RIGHT, _BOTTOM),),
    6: ((_TOP, _BOTTOM),),
    7: ((_LEFT, _BOTTOM),),
    8: ((_BOTTOM, _LEFT),),
    9: ((_BOTTOM, _TOP),),
    11: ((_BOTTOM, _RIGHT),),
    12: ((_RIGHT, _LEFT),),
    13: ((_RIGHT, _TOP),),
    14: ((_TOP, _LEFT),),
}
_SADDLES = {
    # case: (where the middle is inside, where it is outside)
    5: (((_RIGHT, _TOP), (_LEFT, _BOTTOM)), ((_LEFT, _TOP), (_RIGHT, _BOTTOM))),
    10: (((_TOP, _LEFT), (_BOTTOM, _RIGHT)), ((_TOP, _RIGHT), (_BOTTOM, _LEFT))),
}

_Edge = tuple[bool, int, int]


def outlines_from_mask(mask: NDArray[np.generic], level: float) -> list[NDArray[np.float64]]:
    """Closed outlines [k, 2] (x, y) around what is at or above `level` in a mask [r, c].

    In mask pixels; the first pixel reaches from 0 to 1, so its value lies at 0.5. What is outside
    the mask counts as 0.
    """
    values = np.pad(np.asarray(mask, dtype=np.float64), 1)
    inside = (values >= level).astype(np.int64)
    case = inside[:-1, :-1] + 2 * inside[:-1, 1:] + 4 * inside[1:, 1:] + 8 * inside[1:, :-1]
    following: dict[_Edge, _Edge] = {}
    for row, column in np.argwhere((case > 0) & (case < 15)).tolist():
        edges: tuple[_Edge, ...] = (
            (True, row, column),
            (False, row, column + 1),
            (True, row + 1, column),
            (False, row, column),
        )
        number = int(case[row, column])
        paths: tuple[tuple[int, int], ...]
        if number in _SADDLES:
            middle = values[row : row + 2, column : column + 2].mean()
            paths = _SADDLES[number][0 if middle >= level else 1]
        else:
            paths = _PATHS[number]
        following.update({edges[begin]: edges[end] for begin, end in paths})
    outlines = []
    while following:
        edge, onward = following.popitem()
        outline = [edge]
        while onward != outline[0]:
            outline.append(onward)
            onward = following.pop(onward)
        outlines.append(np.array([_crossing(values, each, level) for each in outline]))
    return outlines


def _crossing(values: NDArray[np.float64], edge: _Edge, level: float) -> tuple[float, float]:
    """Where the level is crossed between the two pixels of an edge, without the padding."""
    along_row, row, column = edge
    one = values[row, column]
    other = values[row, column + 1] if along_row else values[row + 1, column]
    share = (level - one) / (other - one)
    x, y = (column + share, row) if along_row else (column, row + share)
    return float(x - 0.5), float(y - 0.5)
