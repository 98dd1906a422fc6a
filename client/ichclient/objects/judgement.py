"""All that the objects are made from: a result, its masks, its sources, and who came before.

UIDs are names, not numbers drawn by chance: each is the hash of what it names, so that the same
result written twice is the same object, and a changed one is a new object. What a result holds
besides what was judged (timings, warnings of a server that was asked twice) changes no UID.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from dataclasses import asdict, dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from ichclient.geometry import canonical_orientation
from ichclient.objects.sources import SourceStudy
from ichclient.result import Result
from ichclient.series import Series
from ichclient.stream import Judged
from ichcore import byte_mask_from_grid

PRODUCT = "ich-triton"
_JUDGED_FIELDS = (
    "study", "series", "study_score", "member_scores", "decisions", "lesion_volume_ml",
    "coverage_mm", "top_slices", "slices", "bundle",
)  # fmt: skip
# Whoever changes what an object says changes this, and no UID names two different objects.
_LAYOUT = "ich-triton objects 1"


@dataclass(frozen=True)
class Predecessor:
    """An earlier report of the same study: what the next one names it by."""

    SOPClassUID: str
    StudyInstanceUID: str
    SeriesInstanceUID: str
    SOPInstanceUID: str


@dataclass(frozen=True)
class Provenance:
    """What stamps an object: its digest, when its analysis began, and which report it replaces."""

    digest: str
    began: datetime
    predecessor: Predecessor | None = None

    def uid(self, *names: str) -> str:
        """The UID of one part of this result; the same names give the same UID."""
        replaces = self.predecessor.SOPInstanceUID if self.predecessor else ""
        return uid_from(self.digest, replaces, *names)


@dataclass(frozen=True)
class Judgement:
    """A judged series with everything that is told of it as objects."""

    series: Series
    judged: Judged
    result: Result
    source: SourceStudy
    provenance: Provenance

    def mask(self, index: int) -> NDArray[np.uint8]:
        """Lesion probability of a slice as its file stores it [Rows, Columns], 255 for 1."""
        judged, orientation = self.judged, self.series.slices[index].ImageOrientationPatient
        canonical = byte_mask_from_grid(judged.mask[index], judged.placements[index], judged.grid)
        assert orientation is not None  # no slice is judged without it
        stored = canonical_orientation(orientation).stored(canonical)
        return np.ascontiguousarray(stored)

    @property
    def name_and_version(self) -> tuple[str, str]:
        """Name and version of the ensemble that judged."""
        name, _, version = self.result.bundle.ensemble.rpartition(" ")
        return name or PRODUCT, version

    def tracking_uid(self, *names: str) -> str:
        """The UID that follows one finding of this study through all its revisions."""
        return uid_from(self.result.study.StudyInstanceUID, "tracking", *names)


def uid_from(*names: str) -> str:
    """A UID below 2.25 (a UUID as a number, PS3.5 B.2) that is the hash of names in order."""
    text = json.dumps(names)
    digest = bytearray(hashlib.sha256(text.encode()).digest()[:16])
    # The marks of RFC 9562: a UUID of version 8, whose bits are its maker's own.
    digest[6] = digest[6] & 0x0F | 0x80
    digest[8] = digest[8] & 0x3F | 0x80
    return f"2.25.{uuid.UUID(bytes=bytes(digest)).int}"


def digest_of(result: Result, judged: Judged) -> str:
    """Hash of what was judged: scores, decisions, the bundle, the sources and every mask pixel."""
    fields = asdict(result)
    text = json.dumps({name: fields[name] for name in _JUDGED_FIELDS}, sort_keys=True)
    digest = hashlib.sha256(f"{_LAYOUT}\n{text}\n{judged.mask.shape}\n".encode())
    digest.update(np.ascontiguousarray(judged.mask).tobytes())
    return digest.hexdigest()


def device_uid(result: Result) -> str:
    """The Device UID: another one as soon as spec or engines change, as IHE AIR asks."""
    return uid_from(PRODUCT, "device", result.bundle.provenance)
