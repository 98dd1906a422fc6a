"""Patients -> splits, and the refusal of data whose splits cannot be trusted.

A patient is in one split, ever: the assignment goes by patient, and everything that reads several
series calls `refuse_leak` first.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ichtrain.data.series import SPLITS
from ichtrain.errors import DataError, OneClass, SplitLeak


def refuse_leak(pairs: Iterable[tuple[str, str]]) -> None:
    """Raise `SplitLeak` where a patient of (patient, split) pairs is in two splits.

    An empty split is no split yet. Give the pairs of all folders that meet in one run, for
    example `itertools.chain(one.patients, other.patients)` of two `Prepared`.
    """
    first: dict[str, str] = {}
    leaks: dict[str, str] = {}
    for patient, split in pairs:
        if split and first.setdefault(patient, split) != split:
            leaks.setdefault(patient, split)
    if leaks:
        patient, split = next(iter(leaks.items()))
        others = f" and {len(leaks) - 1} other patient(s)" if len(leaks) > 1 else ""
        raise SplitLeak(
            f"Patient {patient} is in {first[patient]} and in {split}{others}: a score on what was "
            "trained on means nothing. Assign patients with `ichtrain manifest split`."
        )


def refuse_one_class(positives: Iterable[bool], what: str) -> None:
    """Raise `OneClass` unless both a positive and a negative are among `positives`.

    `what` names the data in the message, for example "train of subset sdh in runs/phantoms".
    """
    seen = [bool(positive) for positive in positives]
    for wanted, name in ((True, "positive"), (False, "negative")):
        if wanted not in seen:
            raise OneClass(
                f"There is no {name} among the {len(seen)} series of {what}: nothing can be learnt "
                f"or measured. Add a {name} series, or choose other data."
            )


@dataclass(frozen=True)
class SplitOptions:
    """Shares of `SPLITS` in their order, a seed, and whether split patients are split `anew`.

    Raises `DataError` for shares that are negative or do not sum to 1.
    """

    shares: tuple[float, ...] = (0.7, 0.15, 0.15)
    seed: int = 0
    anew: bool = False

    def __post_init__(self) -> None:
        """Refuse shares that are none."""
        fits = len(self.shares) == len(SPLITS) and all(share >= 0 for share in self.shares)
        if not fits or not math.isclose(sum(self.shares), 1.0, abs_tol=1e-6):
            raise DataError(
                f"Shares {self.shares} cannot be used: give {len(SPLITS)} shares, of "
                f"{', '.join(SPLITS)}, that are 0 or more and sum to 1."
            )


def splits_from_patients(
    positive: Mapping[str, bool], options: SplitOptions, kept: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Assign every patient a split; `positive` says whether blood is known in any slice.

    Patients of `kept` stay in the split they have. Positives and negatives are shared out apart,
    each in the order of a hash of patient and seed, so the result depends on neither the order of
    rows nor the machine.
    """
    assigned = {patient: split for patient, split in (kept or {}).items() if patient in positive}
    for stratum in (True, False):
        patients = [patient for patient, has in positive.items() if bool(has) is stratum]
        quota = _quota(len(patients), options.shares)
        for patient in patients:
            if patient in assigned:
                quota[assigned[patient]] -= 1
        waiting = [patient for patient in patients if patient not in assigned]
        places = [split for split in SPLITS for _ in range(max(0, quota[split]))]
        waiting.sort(key=lambda patient: _hash(patient, options.seed))
        # Places are left over only where a split that was kept is over its share.
        assigned.update(zip(waiting, places, strict=False))
    return assigned


def _quota(count: int, shares: tuple[float, ...]) -> dict[str, int]:
    """Whole numbers of patients that sum to `count`, by largest remainder."""
    exact = [count * share for share in shares]
    floors = [math.floor(value + 1e-9) for value in exact]
    by_remainder = sorted(range(len(shares)), key=lambda one: floors[one] - exact[one])
    for index in by_remainder[: count - sum(floors)]:
        floors[index] += 1
    return dict(zip(SPLITS, floors, strict=True))


def _hash(patient: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}:{patient}".encode()).digest()
