"""Instances that are to come -> the services, storage classes and syntaxes to propose for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TypeAlias

Wanted: TypeAlias = Mapping[str, Mapping[str, str]]
"""SOPClassUID of each SOPInstanceUID of each SeriesInstanceUID."""

Context: TypeAlias = tuple[str, Sequence[str]]
"""A service or storage class, and the transfer syntaxes of which the other side takes one."""

FIND = "1.2.840.10008.5.1.4.1.2.2.1"
MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
GET = "1.2.840.10008.5.1.4.1.2.2.3"
SERVICES = {FIND: "C-FIND", MOVE: "C-MOVE", GET: "C-GET"}
"""The services of the study root, as people call them."""

PLAIN = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2")
PACKED = (
    "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.4.91", "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81",
    "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.202",
    "1.2.840.10008.1.2.4.203", "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51",
    "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2",
)  # fmt: skip


def classes_of(wanted: Wanted) -> list[str]:
    """The storage classes of all instances, the most frequent first."""
    counts = Counter(uid for instances in wanted.values() for uid in instances.values())
    return [uid for uid, _ in counts.most_common()]


def storage_contexts(classes: Sequence[str], most: int) -> list[Context]:
    """A plain context for each class, and packed ones for the first classes while there is room.

    Each packed syntax stands in a context of its own: in a common one the other side would choose
    a single syntax for the class, and have to convert, or fail to send, what is stored in others.
    """
    contexts: list[Context] = [(uid, PLAIN) for uid in classes]
    packed = [(uid, (syntax,)) for uid in classes for syntax in PACKED]
    return [*contexts, *packed][:most]
