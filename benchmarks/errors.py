"""What can keep a benchmark from giving numbers.

ichcore.errors.IchError     1
+-- BenchmarkError          1   the work to measure could not be done
    +-- BlindProof          8   answers so alike that agreement would prove nothing
    +-- Disagreement        8   two ways of the same work gave different answers
    +-- Fallen              1   a ratio is lower than it was by more than noise
"""

from __future__ import annotations

from ichcore.errors import IchError


class BenchmarkError(IchError):
    """The work that was to be measured could not be done."""


class BlindProof(BenchmarkError):
    """Answers are alike from slice to slice, so that agreement would prove nothing."""

    exit_code = 8


class Disagreement(BenchmarkError):
    """Outputs that must agree differ, so how fast they came does not matter."""

    exit_code = 8


class Fallen(BenchmarkError):
    """A ratio is below its committed reference by more than the noise that was measured."""
