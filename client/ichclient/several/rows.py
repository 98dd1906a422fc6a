"""What is told of one study among many: its result in short, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ichclient.errors import NothingFound, RefusedInput
from ichclient.plain import printable
from ichclient.result import Result
from ichcore import Decision
from ichcore.errors import IchError

_UNKNOWN_FAILURE = 1
_OF_THE_STUDY = (NothingFound.exit_code, RefusedInput.exit_code)


@dataclass(frozen=True)
class StudyRow:
    """One study of a summary; the order is that of the file. `folder` holds its result.

    `exit_code` is what `ichclient infer` of this study alone would have ended with, `code` the
    rule that refused it. `input_sha256` stands for its files, the wishes and the client.
    """

    folder: str
    StudyInstanceUID: str | None = None
    SeriesInstanceUID: str | None = None
    SeriesDescription: str | None = None
    slices: int | None = None
    decisions: Mapping[str, Decision] = field(default_factory=dict)
    study_score: float | None = None
    member_scores: Mapping[str, float] = field(default_factory=dict)
    lesion_volume_ml: float | None = None
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0
    exit_code: int = 0
    code: str | None = None
    reason: str | None = None
    provenance: str | None = None
    input_sha256: str | None = None

    def __post_init__(self) -> None:
        """A study has a result or a reason, never both."""
        if len({self.exit_code == 0, self.study_score is not None, self.reason is None}) != 1:
            raise ValueError("a row holds a result, or why there is none")


def row_from_result(
    folder: str, result: Result, seconds: float, input_sha256: str | None
) -> StudyRow:
    """The row of a study that was judged."""
    return StudyRow(
        folder=folder,
        StudyInstanceUID=result.study.StudyInstanceUID,
        SeriesInstanceUID=result.series.SeriesInstanceUID,
        SeriesDescription=result.series.SeriesDescription,
        slices=result.series.slices,
        decisions=result.decisions,
        study_score=result.study_score,
        member_scores=result.member_scores,
        lesion_volume_ml=result.lesion_volume_ml,
        warnings=tuple(warning.code for warning in result.warnings),
        seconds=round(seconds, 3),
        provenance=result.bundle.provenance,
        input_sha256=input_sha256,
    )


def row_from_error(
    folder: str, uid: str | None, error: Exception, seconds: float, input_sha256: str | None
) -> StudyRow:
    """The row of a study that was not judged.

    What an error says that the client does not know may name a patient, so it stays out.
    """
    known = isinstance(error, IchError)
    reason = printable(error) if known else (
        f"{type(error).__name__}, which ichclient does not know. "
        "Judge this study alone to see where, and report it."
    )  # fmt: skip
    return StudyRow(
        folder=folder,
        StudyInstanceUID=uid,
        seconds=round(seconds, 3),
        exit_code=error.exit_code if isinstance(error, IchError) else _UNKNOWN_FAILURE,
        code=error.code if isinstance(error, RefusedInput) else None,
        reason=reason,
        input_sha256=input_sha256,
    )


def exit_code_of_rows(rows: Iterable[StudyRow]) -> int:
    """0 where every study was judged, else the first code that is no study's own fault.

    A study that holds nothing to judge (3) or is refused (4) gives its code only where nothing
    else went wrong; of those the first counts.
    """
    codes = [row.exit_code for row in rows if row.exit_code]
    return next((code for code in codes if code not in _OF_THE_STUDY), codes[0] if codes else 0)
