"""The key of a reading study <-> key.json: which case is which, and who reads it when.

The key stays with the study leader; no reader's file holds anything of it but case numbers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ichtrain.errors import ReviewError

KEY_FILE = "key.json"

WITHOUT_AI = "without_ai"
WITH_AI = "with_ai"
ROUNDS = (WITHOUT_AI, WITH_AI)


@dataclass(frozen=True)
class Case:
    """One case: its series, its truth, what the AI said, and why it was picked.

    `scores` and `called` (positive, negative or indeterminate) are by evaluation, the
    ensemble's first.
    """

    number: int
    SeriesInstanceUID: str
    site: str
    positive: bool
    subtypes: tuple[str, ...]
    lesion_ml: float | None
    kind: str
    reason: str
    scores: Mapping[str, float]
    called: Mapping[str, str]

    @property
    def truth(self) -> str:
        """What the case should be called."""
        return "positive" if self.positive else "negative"


@dataclass(frozen=True)
class Key:
    """The whole key; `orders` says in which order each reader sees the cases of each round.

    `left_out` counts series of the evaluation without a known truth or a score.
    """

    seed: int
    point: str
    ensemble: str
    thresholds: Mapping[str, float]
    cases: tuple[Case, ...]
    orders: tuple[Mapping[str, tuple[int, ...]], ...]
    left_out: int = 0

    def __post_init__(self) -> None:
        """Refuse an order that leaves a case out, and a study without readers or cases."""
        numbers = sorted(self.numbers)
        if not numbers or not self.orders or len(set(numbers)) != len(numbers):
            raise ReviewError("A reading study needs readers, and cases with numbers of their own.")
        for reader, order in enumerate(self.orders, 1):
            if set(order) != set(ROUNDS) or any(sorted(order[r]) != numbers for r in ROUNDS):
                raise ReviewError(f"The orders of reader {reader} do not hold every case once.")

    @property
    def numbers(self) -> tuple[int, ...]:
        """The case numbers."""
        return tuple(case.number for case in self.cases)

    @property
    def readers(self) -> tuple[int, ...]:
        """The readers' numbers, from 1."""
        return tuple(range(1, len(self.orders) + 1))

    def ai_is_right(self, case: Case) -> bool:
        """Whether the ensemble calls a case what it is; indeterminate is not right."""
        return case.called[self.ensemble] == case.truth


def rounds_of(reader: int) -> tuple[str, str]:
    """The order of the rounds: odd readers begin without AI, even readers with it (crossover)."""
    return (WITHOUT_AI, WITH_AI) if reader % 2 else (WITH_AI, WITHOUT_AI)


def orders_from_numbers(
    numbers: Sequence[int], readers: int, seed: int
) -> tuple[dict[str, tuple[int, ...]], ...]:
    """An order of the cases for every reader and round, never the same twice for one reader."""
    orders = []
    for reader in range(1, readers + 1):
        rng = np.random.default_rng((seed, reader))
        first = rng.permutation(numbers)
        second = rng.permutation(numbers)
        while len(numbers) > 1 and (first == second).all():
            second = rng.permutation(numbers)
        drawn = {WITHOUT_AI: first, WITH_AI: second}
        orders.append({name: tuple(int(n) for n in drawn[name]) for name in ROUNDS})
    return tuple(orders)


def folder_name(reader: int) -> str:
    """The folder that one reader gets."""
    return f"reader-{reader}"


def text_from_key(key: Key) -> str:
    """The text of key.json."""
    return json.dumps(asdict(key), indent=1) + "\n"


def key_from_pack(pack: Path) -> Key:
    """Read a pack's key; raises `ReviewError` when it is absent or not whole."""
    path = pack / KEY_FILE
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        record["cases"] = tuple(
            Case(**{**one, "subtypes": tuple(one["subtypes"])}) for one in record["cases"]
        )
        record["orders"] = tuple(
            {name: tuple(order) for name, order in one.items()} for one in record["orders"]
        )
        return Key(**record)
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise ReviewError(
            f"{path} cannot be read as the key of a reading study ({error}); give the folder that "
            "`ichtrain review make` wrote."
        ) from error
