"""What a station knows of a study and of an image: rows of its database as values."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from types import MappingProxyType


class Phase(StrEnum):
    """Where a study is on its way."""

    RECEIVING = "receiving"
    """Images come, or the last one is not long ago."""
    WAITING = "waiting"
    """Complete, and the next one is judged when its turn comes."""
    JUDGING = "judging"
    JUDGED = "judged"
    REFUSED = "refused"
    """Must not be judged, and its report says why."""
    FAILED = "failed"
    """Could not be judged, and is left until `rerun` or further images."""


@dataclass(frozen=True)
class Identity:
    """Whose study it is, as the first image had it; never logged, hence not in the repr."""

    StudyInstanceUID: str = field(repr=False)
    PatientName: str = field(default="", repr=False)
    PatientID: str = field(default="", repr=False)
    AccessionNumber: str = field(default="", repr=False)
    StudyDate: str = field(default="", repr=False)
    StudyTime: str = field(default="", repr=False)
    StudyDescription: str = field(default="", repr=False)


@dataclass(frozen=True)
class StationImage:
    """An image that lies in `received/<key>/<file>`; `sha256` is that of its data set."""

    key: str
    SOPInstanceUID: str = field(repr=False)
    file: str
    bytes: int
    sha256: str
    received_at: float
    from_ae: str


@dataclass(frozen=True)
class Outcome:
    """What a judgement found; `decisions` by operating point, volume in mL if it is known.

    `top_finding` is the member with the highest score of those for one kind of bleed.
    """

    study_score: float
    decisions: Mapping[str, str]
    lesion_volume_ml: float | None
    top_finding: str | None
    top_finding_score: float | None


@dataclass(frozen=True)
class StationStudy:
    """A study; times in seconds since 1970.

    `generation` grows whenever images came after a judgement began, or a rerun was asked for;
    `generation_at` is when the first image of this one came. Of an outcome, the numbers are those
    of `judged_generation`.
    """

    key: str
    identity: Identity = field(repr=False)
    phase: Phase
    received_at: float
    last_image_at: float
    images: int
    generation: int
    generation_at: float
    waiting_at: float | None
    judging_generation: int
    judged_generation: int
    attempts: int
    next_attempt_at: float
    judged_at: float | None
    study_score: float | None
    decisions: Mapping[str, str]
    lesion_volume_ml: float | None
    top_finding: str | None
    top_finding_score: float | None
    reason_code: str | None
    reason: str | None


def study_from_row(row: sqlite3.Row) -> StationStudy:
    """A row of the table `study`."""
    identity = {one.name: row[one.name] for one in fields(Identity)}
    rest = {
        one.name: row[one.name]
        for one in fields(StationStudy)
        if one.name not in ("identity", "phase", "decisions")
    }
    return StationStudy(
        identity=Identity(**identity),
        phase=Phase(row["phase"]),
        decisions=MappingProxyType(json.loads(row["decisions"])),
        **rest,
    )


def image_from_row(row: sqlite3.Row) -> StationImage:
    """A row of the table `image`."""
    return StationImage(**{one.name: row[one.name] for one in fields(StationImage)})
