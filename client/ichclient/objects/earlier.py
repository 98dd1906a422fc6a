"""A folder that was written before -> the report in it, if it is one of this study.

Whatever lies there may be anybody's, so a file that is no such report counts as none.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ichclient.objects.judgement import Predecessor

if TYPE_CHECKING:
    from pydicom import Dataset

_REPORT_CLASS = "1.2.840.10008.5.1.4.1.1.88.34"


@dataclass(frozen=True)
class Earlier:
    """A report that is there: its UIDs, when its analysis began, and which one it replaced."""

    itself: Predecessor
    began: datetime | None
    predecessor: Predecessor | None


def earlier_report(path: Path, study_uid: str) -> Earlier | None:
    """Read the report at `path`; None where there is none, or none of this study."""
    from pydicom import dcmread

    try:
        dataset = dcmread(path)
        itself = Predecessor(
            str(dataset.SOPClassUID),
            str(dataset.StudyInstanceUID),
            str(dataset.SeriesInstanceUID),
            str(dataset.SOPInstanceUID),
        )
        if itself.SOPClassUID != _REPORT_CLASS or itself.StudyInstanceUID != study_uid:
            return None
        return Earlier(itself, _began(dataset), _predecessor(dataset))
    except Exception:  # absent, cut, or somebody else's: pydicom raises many kinds
        return None


def _began(dataset: Dataset) -> datetime | None:
    with contextlib.suppress(ValueError):
        text = f"{dataset.ContentDate}{dataset.ContentTime}"
        return datetime.strptime(text, "%Y%m%d%H%M%S.%f")
    return None


def _predecessor(dataset: Dataset) -> Predecessor | None:
    for study in dataset.get("PredecessorDocumentsSequence", []):
        for series in study.ReferencedSeriesSequence:
            for item in series.ReferencedSOPSequence:
                return Predecessor(
                    str(item.ReferencedSOPClassUID),
                    str(study.StudyInstanceUID),
                    str(series.SeriesInstanceUID),
                    str(item.ReferencedSOPInstanceUID),
                )
    return None
