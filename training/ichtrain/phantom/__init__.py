"""Phantom room: seed and kind -> a synthetic head CT with exact lesion masks."""

from __future__ import annotations

from ichtrain.phantom.generate import phantom_from_options
from ichtrain.phantom.options import KERNELS, KINDS, SUBTYPES, Lesion, Phantom, PhantomOptions
from ichtrain.phantom.study import write_study

__all__ = [
    "KERNELS",
    "KINDS",
    "SUBTYPES",
    "Lesion",
    "Phantom",
    "PhantomOptions",
    "phantom_from_options",
    "write_study",
]
