"""A spec, engines and a start of a server -> the texts that stand beside every slice's values."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ichcore.wire import provenance_from_hashes


@dataclass(frozen=True)
class Voucher:
    """Made when a model loads: which spec and engines it answers for, and which start of it does.

    `start` is another one each time, so that a client may remember which it has proven.
    """

    spec_sha256: str
    engines_sha256: str
    start: str = field(default_factory=lambda: secrets.token_hex(16))

    def texts(self, slices: int) -> dict[str, NDArray[np.object_]]:
        """`PROVENANCE` and `START` [N, 1] for N = `slices` slices."""
        provenance = provenance_from_hashes(self.spec_sha256, self.engines_sha256)
        told = {"PROVENANCE": provenance, "START": self.start}
        return {
            name: np.full((slices, 1), text.encode(), dtype=np.object_)
            for name, text in told.items()
        }
