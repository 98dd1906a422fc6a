"""A study that is complete -> its result in `results/<key>/`, or what kept it from one.

Every error is told apart by what is to be done: a refusal is an outcome, with a report that says
so; whatever may pass is tried again.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from ichclient.audit.chain import Fact
from ichclient.errors import NothingFound, ObjectsError, RefusedInput
from ichclient.infer import result_from_path
from ichclient.result import (
    MASKS_FILE,
    PICTURE_FILE,
    REPORT_FILE,
    RESULT_FILE,
    TABLE_FILE,
    Result,
)
from ichclient.rules import DEFAULT_BOOK, RuleBook
from ichclient.sources.options import Progress
from ichclient.station.folder import StationFolder
from ichclient.station.shelf import missing_images
from ichclient.station.state import Outcome, Station
from ichclient.warm import WarmServer

_FILES = (RESULT_FILE, REPORT_FILE, TABLE_FILE, PICTURE_FILE, MASKS_FILE)
_ANY = "any"


@dataclass(frozen=True)
class Judged:
    """A study has a result; `facts` are for the audit log."""

    outcome: Outcome
    facts: dict[str, Fact]


@dataclass(frozen=True)
class Refused:
    """A study must not be judged."""

    code: str
    reason: str


class Judge:
    """Judges studies of a station, one after the other, on one server."""

    def __init__(
        self, station: Station, server: WarmServer, book: RuleBook = DEFAULT_BOOK,
        *, objects: bool = True,
    ) -> None:  # fmt: skip
        self._station = station
        self._server = server
        self._book = book
        self._objects = objects

    def judge(self, key: str, progress: Progress) -> Judged | Refused:
        """Judge the images that are there now; raises whatever may pass, and what `progress` does.

        Where no object can refer to the images honestly, the result comes without objects.
        """
        if missing := missing_images(self._station, key):
            return Refused(
                "images_missing",
                f"{missing} images of the study were removed from {self._station.folder.received}, "
                "and part of a study is not judged. Send it again. [images_missing]",
            )
        try:
            result = self._result(key, progress, objects=self._objects)
        except ObjectsError:
            result = self._result(key, progress, objects=False)
        except (RefusedInput, NothingFound) as error:
            self._remove_result(key)
            code = error.code if isinstance(error, RefusedInput) else "nothing_found"
            return Refused(code, str(error))
        return Judged(outcome_from_result(result), self._facts(key, result))

    def _result(self, key: str, progress: Progress, *, objects: bool) -> Result:
        folder = self._station.folder
        return result_from_path(
            folder.images_of(key), self._server, book=self._book, out=folder.result_of(key),
            dicom=objects, progress=progress,
        )  # fmt: skip

    def _remove_result(self, key: str) -> None:
        """What an earlier generation was given must not be taken for what this one has."""
        for name in _FILES:
            (self._station.folder.result_of(key) / name).unlink(missing_ok=True)

    def _facts(self, key: str, result: Result) -> dict[str, Fact]:
        content = (self._station.folder.result_of(key) / RESULT_FILE).read_bytes()
        return {
            "score": round(result.study_score, 4),
            "decisions": ",".join(f"{point}:{word}" for point, word in result.decisions.items()),
            "result_sha256": hashlib.sha256(content).hexdigest(),
            "provenance": result.bundle.provenance,
            "ensemble": result.bundle.ensemble,
            "server_version": result.bundle.server_version,
        }


def objects_of(folder: StationFolder, key: str) -> list[str]:
    """Names of the objects of a study's newest result, the report first."""
    names = sorted(path.name for path in (folder.result_of(key) / "dicom").glob("*.dcm"))
    return sorted(names, key=lambda name: name != "report.dcm")


def outcome_from_result(result: Result) -> Outcome:
    """What the state keeps of a result."""
    findings = result.combination.findings if result.combination else {}
    kinds = {
        findings.get(member, member): score
        for member, score in result.member_scores.items()
        if not findings.get(member, member.removeprefix("ich_")).startswith(_ANY)
    }
    top = max(kinds, key=lambda kind: kinds[kind], default=None)
    return Outcome(
        study_score=result.study_score,
        decisions=result.decisions,
        lesion_volume_ml=result.lesion_volume_ml,
        top_finding=top,
        top_finding_score=kinds[top] if top is not None else None,
    )
