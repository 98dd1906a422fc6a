"""Series -> folds of patients, so that nothing is judged by parts fitted on the same patient."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from ichtrain.ensemble.validation import Validated


def folds_from_series(series: Sequence[Validated], count: int, seed: int) -> list[set[str]]:
    """Share the patients out over up to `count` folds, those with blood and the others apart.

    Each fold and its rest hold both kinds; fewer patients give fewer folds, and none at all where
    one kind has a single patient. Depends on neither the order of series nor the machine.
    """
    positive = {one.patient for one in series if one.study == 1}
    negative = {one.patient for one in series if one.study == 0} - positive
    unknown = {one.patient for one in series} - positive - negative
    folds: list[set[str]] = [set() for _ in range(min(count, len(positive), len(negative)))]
    if len(folds) < 2:
        return []
    for kind in (positive, negative, unknown):
        for number, patient in enumerate(sorted(kind, key=lambda name: _hash(name, seed))):
            folds[number % len(folds)].add(patient)
    return folds


def _hash(patient: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}:{patient}".encode()).digest()
