"""What a production config adds to a model: bounded queues of three priorities, CUDA graphs.

Read in Triton's source: an ensemble hands the priority of its request on to each of its steps, and
a request may shorten the wait of its level only where that level has one, never lengthen it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

WARM_BATCH_SIZES = (1, 8)
"""Slices of the requests that warm a model: a single one, and the client's chunk."""

CAPTURED_BATCH_SIZES = (1, 2, 4, 8)
"""Batch sizes whose kernels are captured as CUDA graphs; each needs a warm-up of its own."""


class Level(NamedTuple):
    """A priority: its number in Triton, 1 first, and how long and how many may wait."""

    number: int
    name: str
    most_waiting: int
    longest_wait_s: int


EMERGENCY = Level(1, "emergency", most_waiting=256, longest_wait_s=60)
ROUTINE = Level(2, "routine", most_waiting=256, longest_wait_s=60)
ARCHIVE = Level(3, "archive", most_waiting=64, longest_wait_s=600)
LEVELS = (EMERGENCY, ROUTINE, ARCHIVE)
"""The client waits 60 s: who waits longer in a queue is waited for by nobody, but for a batch job.

A request that names no level is routine.
"""


def bound_queue(config: Any) -> None:
    """Give a model a dynamic batcher with one bounded queue for each priority.

    An unbounded queue turns overload into time-outs; a bounded one says so at once. Only in
    production: the embedded Triton 2.51 ends when a member inside an ensemble refuses a request
    for a full queue, and its one client bounds what is in flight itself.
    """
    batching = config.dynamic_batching
    batching.priority_levels = len(LEVELS)
    batching.default_priority_level = ROUTINE.number
    _wait(batching.default_queue_policy, ROUTINE)
    for level in LEVELS:
        _wait(batching.priority_queue_policy[level.number], level)


def capture_graphs(config: Any, shape: Sequence[int]) -> None:
    """Capture CUDA graphs of `HU` [N, *shape] for each of `CAPTURED_BATCH_SIZES`."""
    config.optimization.cuda.graphs = True
    for batch_size in CAPTURED_BATCH_SIZES:
        graph = config.optimization.cuda.graph_spec.add(batch_size=batch_size)
        graph.input["HU"].dim.extend(shape)


def _wait(policy: Any, level: Level) -> None:
    policy.timeout_action = policy.REJECT
    policy.max_queue_size = level.most_waiting
    policy.default_timeout_microseconds = level.longest_wait_s * 1_000_000
    policy.allow_timeout_override = True
