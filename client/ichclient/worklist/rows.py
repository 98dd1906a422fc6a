"""Places in the order -> the words of the page's rows, and the same values for the JSON API.

Who the patient is appears only where `identity` is asked for. Without it a row has the key and the
AccessionNumber: enough to find the study in a PACS, and no name. A reason is then told in general,
since its own sentence may name a series or a file.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ichclient import errors
from ichclient.markup import in_words
from ichclient.report.sections import SIGNS, headline_of
from ichclient.rules import RULES
from ichclient.station.studies import Identity, Phase, StationStudy
from ichclient.worklist.order import Lane, Place, Rule, decision_of
from ichcore.errors import IchError

_COMING = {
    Phase.RECEIVING: "Images arrive",
    Phase.WAITING: "Waits to be judged",
    Phase.JUDGING: "Is being judged",
}
_NOT_JUDGED = {Phase.REFUSED: "Refused", Phase.FAILED: "Failed"}


@dataclass(frozen=True)
class Row:
    """What the page says of a study; `tone` colours it, `bar` is the score as a bar 100 wide."""

    key: str
    place: str
    tone: str
    sign: str
    headline: str
    points: str
    score: str
    bar: float
    details: tuple[str, ...]
    reason: str
    note: str
    accession: str
    who: tuple[str, ...]
    waited: str
    since: str
    since_iso: str
    is_overdue: bool
    is_coming: bool
    is_read: bool
    has_report: bool


def row_from_place(
    place: Place, number: int, now: float, rule: Rule, *, identity: bool, has_report: bool
) -> Row:
    """The row of a study; `number` is where it stands among those that wait."""
    study = place.study
    decision = decision_of(study, rule.operating_point)
    judged = bool(study.decisions)
    coming = study.phase in _COMING
    headline, points = _headline(study)
    return Row(
        key=study.key,
        place=str(number) if place.is_waiting else "",
        tone=decision.value if decision else study.phase.value,
        sign=SIGNS[decision] if decision else "…" if coming else "!",
        headline=headline,
        points=points,
        score=f"{study.study_score:.2f}" if study.study_score is not None else "",
        bar=round(100 * (study.study_score or 0.0), 2),
        details=tuple(_details(study)),
        reason=_reason(study, now, identity=identity),
        note=_note(place, judged=judged, coming=coming),
        accession=study.identity.AccessionNumber,
        who=_who(study.identity) if identity else (),
        waited=_duration(place.waited_s),
        since=_clock(study.received_at, now),
        since_iso=iso(study.received_at) or "",
        is_overdue=place.is_overdue,
        is_coming=place.lane is Lane.COMING,
        is_read=place.lane is Lane.READ,
        has_report=has_report,
    )


def values_from_place(
    place: Place, number: int, *, identity: bool, has_report: bool
) -> dict[str, Any]:
    """A study as the JSON API has it; times are UTC, `waited_min` is in whole minutes."""
    study = place.study
    who: Mapping[str, str] = {"AccessionNumber": study.identity.AccessionNumber}
    if identity:
        known = study.identity
        who = {
            **who,
            "PatientName": known.PatientName,
            "PatientID": known.PatientID,
            "StudyDate": known.StudyDate,
            "StudyTime": known.StudyTime,
            "StudyDescription": known.StudyDescription,
            "reason": study.reason or "",
        }
    return {
        "key": study.key,
        "place": number if place.is_waiting else None,
        "lane": place.lane.value,
        "is_overdue": place.is_overdue,
        "waited_min": int(place.waited_s // 60),
        "phase": study.phase.value,
        "received_at": iso(study.received_at),
        "judged_at": iso(study.judged_at),
        "read_at": iso(place.mark.read_at) if place.mark else None,
        "images": study.images,
        "study_score": study.study_score,
        "decisions": dict(study.decisions),
        "lesion_volume_ml": study.lesion_volume_ml,
        "top_finding": study.top_finding,
        "top_finding_score": study.top_finding_score,
        "reason_code": study.reason_code,
        "report": f"/studies/{study.key}/report" if has_report else None,
        **who,
    }


def counts_of(places: Sequence[Place]) -> list[tuple[str, int, str]]:
    """How many wait, by what they are: tone, number, word; those of no study are left out."""
    waiting = [place for place in places if place.is_waiting]
    lanes = [place.lane for place in waiting]
    counts = [
        ("positive", lanes.count(Lane.POSITIVE), "positive"),
        ("late", sum(place.is_overdue for place in waiting), "over the limit"),
        ("indeterminate", lanes.count(Lane.LOOK), "without a decision"),
        ("negative", lanes.count(Lane.NEGATIVE), "negative"),
        ("coming", lanes.count(Lane.COMING), "on the way"),
    ]
    return [count for count in counts if count[1]]


def iso(at: float | None) -> str | None:
    """A time in seconds since 1970 as UTC."""
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")


def _headline(study: StationStudy) -> tuple[str, str]:
    """One or few words, and for which operating points they hold."""
    if study.decisions:
        word, _, points = headline_of(study.decisions).partition(" ")
        return word, points
    phase = _COMING.get(study.phase) or _NOT_JUDGED.get(study.phase)
    return phase or "Judged without a decision", ""


def _details(study: StationStudy) -> list[str]:
    found = []
    if study.top_finding is not None:
        score = study.top_finding_score
        found.append(in_words(study.top_finding) + (f" {score:.2f}" if score is not None else ""))
    if study.decisions:
        volume = study.lesion_volume_ml
        found.append("volume unknown" if volume is None else f"{volume:.1f} mL marked")
    found.append("1 image" if study.images == 1 else f"{study.images} images")
    return found


def _reason(study: StationStudy, now: float, *, identity: bool) -> str:
    """Why a study was not judged; the sentence itself may name a series or a file."""
    if study.reason is None or study.phase is Phase.JUDGED:
        return ""
    code = study.reason_code or ""
    text = study.reason if identity else _general(code)
    if code and f"[{code}]" not in text:
        text = f"{text} [{code}]"
    if study.phase is Phase.WAITING and study.next_attempt_at > now:
        text = f"{text} Tried again at {_clock(study.next_attempt_at, now)}."
    return text


def _general(code: str) -> str:
    """What the code of a reason says of any study: a rule of intake, or an error."""
    rules = {rule.code: rule.why for rule in RULES}
    error = getattr(errors, code, None)
    if isinstance(error, type) and issubclass(error, IchError):
        return (error.__doc__ or "").partition("\n")[0]
    return rules.get(code, "It could not be judged.")


def _note(place: Place, *, judged: bool, coming: bool) -> str:
    study = place.study
    notes = []
    if judged and coming:
        notes.append("Further images came: it is judged again, and this is the result before.")
    elif judged and study.phase is Phase.FAILED:
        notes.append("This is the result before; judging it again failed.")
    if place.mark is not None and place.lane is not Lane.READ:
        more = study.images - place.mark.images
        if more > 0:
            notes.append(f"{more} more {'image' if more == 1 else 'images'} since it was read.")
    return " ".join(notes)


def _who(identity: Identity) -> tuple[str, ...]:
    """Whose study it is, in two lines."""
    date = identity.StudyDate
    if len(date) == 8 and date.isdigit():
        date = f"{date[:4]}-{date[4:6]}-{date[6:]}"
    lines = (
        (person(identity.PatientName), identity.PatientID),
        (date, identity.StudyDescription),
    )
    return tuple(" · ".join(filter(None, line)) for line in lines if any(line))


def person(PatientName: str) -> str:
    """A DICOM PN as people write it: family name, given names."""
    family, *rest = PatientName.partition("=")[0].split("^")
    given = " ".join(part for part in rest if part)
    return ", ".join(part for part in (family.strip(), given.strip()) if part)


def _duration(seconds: float) -> str:
    minutes = int(seconds // 60)
    if minutes < 1:
        return "under 1 min"
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes:02d} min"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h"


def _clock(at: float, now: float) -> str:
    """A time of day on this host's clock, with its date where that is another day."""
    then, today = time.localtime(at), time.localtime(now)
    same = then[:3] == today[:3]
    return time.strftime("%H:%M" if same else "%Y-%m-%d %H:%M", then)
