"""How long a fit's parts took, kept across a kill."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass
class Clock:
    """Seconds spent in steps, in training as a whole, and in epochs; slices seen."""

    step_seconds: float = 0.0
    training_seconds: float = 0.0
    seconds: float = 0.0
    slices: int = 0
    epoch_at: float = 0.0
    step_at: float = 0.0

    def epoch_starts(self) -> None:
        """Begin an epoch."""
        self.epoch_at = time.monotonic()

    def step_starts(self) -> None:
        """Begin a step."""
        self.step_at = time.monotonic()

    def step_ends(self, slices: int) -> None:
        """End a step that saw so many slices."""
        self.step_seconds += time.monotonic() - self.step_at
        self.slices += slices

    def training_ends(self) -> None:
        """The steps of an epoch are over; validation follows."""
        self.training_seconds += time.monotonic() - self.epoch_at

    def epoch_seconds(self) -> float:
        """Seconds of the epoch so far, validation included; added to the whole."""
        elapsed = time.monotonic() - self.epoch_at
        self.seconds += elapsed
        return elapsed
