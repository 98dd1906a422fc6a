"""Studies of a station in every phase, on values and in a real station's folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ichclient.station.folder import StationFolder
from ichclient.station.state import Station
from ichclient.station.studies import Identity, Outcome, Phase, StationImage, StationStudy

POINTS = ("high_sensitivity", "balanced", "high_specificity")


def study_of(key: str, phase: Phase = Phase.JUDGED, **values: Any) -> StationStudy:
    """A study with one decision at both operating points, unless `decisions` are given."""
    word = values.pop("word", None)
    decisions: Mapping[str, str] = values.pop("decisions", dict.fromkeys(POINTS, word))
    given: dict[str, Any] = {
        "identity": Identity(f"1.9.{key}"), "received_at": 0.0, "last_image_at": 0.0, "images": 32,
        "generation": 1, "generation_at": 0.0, "waiting_at": None, "judging_generation": 1,
        "judged_generation": 1, "attempts": 1, "next_attempt_at": 0.0, "judged_at": None,
        "study_score": None, "lesion_volume_ml": None, "top_finding": None,
        "top_finding_score": None, "reason_code": None, "reason": None,
    }  # fmt: skip
    return StationStudy(
        key=key, phase=phase, decisions=decisions if word or decisions else {}, **given | values
    )


class Ward:
    """A station's folder that is filled with studies in any phase, without waiting for them."""

    def __init__(self, path: Path, now: float) -> None:
        self.folder, self.now = StationFolder.made(path), now
        self._images = 0

    def add(
        self, number: int, minutes: float, phase: Phase = Phase.JUDGED, *, images: int = 32,
        outcome: Outcome | None = None, code: str = "", reason: str = "", report: str | None = None,
        **who: str,
    ) -> str:  # fmt: skip
        """A study that came so many minutes ago and is in that phase now; gives its key."""
        key = key_of(number)
        at = self.now - minutes * 60
        identity = Identity(f"1.9.{number}", **who)
        with Station(self.folder) as station:
            for _ in range(images):
                self._images += 1
                file, uid = f"{self._images:032x}.dcm", f"1.2.{self._images}"
                image = StationImage(key, uid, file, 1, f"{self._images:064x}", at, "CT")
                station.received(image, identity)
            if phase is not Phase.RECEIVING:
                station.complete(at + 1, 0.5, 60.0)
            if phase not in (Phase.RECEIVING, Phase.WAITING):
                begun = station.begin(at + 2)
                assert begun is not None
                assert begun.key == key, "one study at a time"
            if phase is Phase.JUDGED:
                assert outcome is not None
                station.judged(key, outcome, at + 5)
            elif phase is Phase.REFUSED:
                station.refused(key, code, reason, at + 3)
            elif phase is Phase.FAILED:
                station.failed(key, code, reason, at + 3)
        if report is not None:
            folder = self.folder.result_of(key)
            folder.mkdir(parents=True)
            (folder / "report.html").write_text(report, encoding="utf-8")
        return key


def key_of(number: int) -> str:
    return f"{number:020x}"


def outcome_of(score: float, *words: str, volume_ml: float | None = 0.0) -> Outcome:
    """A judgement with one decision for each operating point, or one for all."""
    given = words * len(POINTS) if len(words) == 1 else words
    return Outcome(score, dict(zip(POINTS, given, strict=True)), volume_ml, "subdural", score / 2)
