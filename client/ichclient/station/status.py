"""A station's state -> what is told of its studies; who they are of only where that is asked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ichclient.delivery.outbox import Outbox, Summary
from ichclient.station.folder import StationFolder
from ichclient.station.schema import connection_to_read
from ichclient.station.state import Station, StationStudy

_TIMES = ("received_at", "last_image_at", "judged_at", "next_attempt_at")


@dataclass(frozen=True)
class StudyStatus:
    """A study, and how it stands with its objects."""

    study: StationStudy
    deliveries: Summary


def studies_of(path: Path) -> tuple[StudyStatus, ...]:
    """Every study of the station at `path`, the first received first; nothing is changed.

    Raises StationError where there is no station.
    """
    folder = StationFolder.found(path)
    with Station.reading(folder) as station, closing(connection_to_read(folder.database)) as queue:
        outbox = Outbox(queue, folder.path)
        return tuple(StudyStatus(study, outbox.summary(study.key)) for study in station.studies())


def json_from_studies(studies: Sequence[StudyStatus], *, identity: bool) -> str:
    """The same as JSON; times are UTC."""
    return json.dumps([_values(one, identity=identity) for one in studies], indent=2)


def _values(one: StudyStatus, *, identity: bool) -> dict[str, Any]:
    study, sums = one.study, one.deliveries
    values: dict[str, Any] = {
        "key": study.key, "phase": study.phase.value, "images": study.images,
        "generation": study.generation, "judged_generation": study.judged_generation,
        "attempts": study.attempts, "study_score": study.study_score,
        "decisions": dict(study.decisions), "lesion_volume_ml": study.lesion_volume_ml,
        "top_finding": study.top_finding, "top_finding_score": study.top_finding_score,
        "reason_code": study.reason_code,
        **{name: _utc(getattr(study, name)) for name in _TIMES},
        "deliveries": {
            "waiting": sums.unsent, "sent": sums.sent, "refused": sums.refused,
            "refusals": [
                {"target": row.target, "object": Path(row.file).stem, "reason": row.reason}
                for row in sums.refusals
            ],
        },
    }  # fmt: skip
    if identity:
        values |= {"identity": asdict(study.identity), "reason": study.reason}
    return values


def _utc(at: float | None) -> str | None:
    if not at:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
