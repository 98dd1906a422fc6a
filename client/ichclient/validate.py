"""Study -> Validation: the whole judgement of its fitness without a server, to the last pixel.

What `infer` would refuse is refused here by the same calls, and told as a value instead of an
error, so that a refusal too carries every verdict and its facts.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ichclient.dicom import headers_from_path
from ichclient.errors import IchClientError, NothingFound, RefusedInput
from ichclient.headers import Scan, Warning_
from ichclient.hounsfield import HUSlice, hu_slices_from_series
from ichclient.result import (
    DISCLAIMER,
    SCHEMA_VERSION,
    GeometryResult,
    IntakeResult,
    Judgement,
    Notice,
    SeriesResult,
    StudyIdentity,
)
from ichclient.rules import DEFAULT_BOOK, RuleBook
from ichclient.series import Candidate, Series, chosen_series, series_from_scan
from ichclient.slabs import series_in_slabs
from ichclient.sources import SourceOptions, opened_source
from ichclient.sources.options import Progress
from ichclient.told import (
    considered,
    file_groups,
    geometry_result,
    intake_result,
    judgements,
    notices,
    refused_slices,
    series_result,
    slice_verdicts,
)

VALID = "valid"
NO_CT = "no_ct"
_BRAIN_HU = (15.0, 60.0)


@dataclass(frozen=True)
class PixelFacts:
    """What the pixels of a series hold, in Hounsfield units."""

    slices: int
    lowest_hu: float
    highest_hu: float
    slices_with_air: int
    slices_with_bone: int
    brain_percent: float


@dataclass(frozen=True)
class Validation:
    """Whether a study may be judged and why; the keys are those of `result.json`.

    `study`, `series` and `geometry` are None where no series was chosen, `pixels` where none was
    decoded to its end. `exit_code` is what `infer` would end with before any server is asked.
    """

    verdict: Judgement
    exit_code: int
    study: StudyIdentity | None
    series: SeriesResult | None
    geometry: GeometryResult | None
    pixels: PixelFacts | None
    intake: IntakeResult
    considered: tuple[Judgement, ...]
    skipped_files: tuple[Judgement, ...]
    slice_verdicts: tuple[Judgement, ...]
    warnings: tuple[Notice, ...]
    timings: Mapping[str, float] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION
    disclaimer: str = DISCLAIMER
    file_groups: tuple[Judgement, ...] = ()


def validation_from_path(
    path: Path | str,
    *,
    source: SourceOptions | None = None,
    series_uid: str | None = None,
    book: RuleBook = DEFAULT_BOOK,
    slab_mm: float | None = None,
    progress: Progress = lambda *_: None,
) -> Validation:
    """Read the headers of the study at `path`, choose a series and decode all of it.

    `path` is whatever `opened_source` opens. Raises NothingFound where there is no DICOM at all,
    of which there is nothing to tell.
    """
    started = time.monotonic()
    with opened_source(path, source, progress) as opened:
        progress("reading", 0, 0)
        scan = headers_from_path(opened, book)
        candidates = series_from_scan(scan, book)
        headers_s = time.monotonic() - started
        try:
            series = chosen_series(candidates, series_uid, book)
            if slab_mm is not None:
                series = series_in_slabs(series, slab_mm)
        except (NothingFound, RefusedInput) as refusal:
            told = _without_series(refusal, candidates, scan, book, series_uid)
        else:
            told = _with_series(series, scan, book, series_uid, progress)
    now = time.monotonic() - started
    timings = {"read_headers_s": round(headers_s, 4), "total_s": round(now, 4)}
    return replace(told, timings=timings, file_groups=file_groups(scan.skipped))


def _without_series(
    refusal: IchClientError,
    candidates: Sequence[Candidate],
    scan: Scan,
    book: RuleBook,
    series_uid: str | None,
) -> Validation:
    return Validation(
        verdict=_refused(refusal),
        exit_code=refusal.exit_code,
        study=None,
        series=None,
        geometry=None,
        pixels=None,
        intake=intake_result(book, series_uid),
        considered=considered(candidates),
        skipped_files=judgements(scan.skipped),
        slice_verdicts=refused_slices(candidates),
        warnings=(),
    )


def _with_series(
    series: Series, scan: Scan, book: RuleBook, series_uid: str | None, progress: Progress
) -> Validation:
    sentence = "Nothing speaks against judging this series."
    verdict, exit_code = Judgement(VALID, sentence, {}), 0
    counted = _Counted()
    try:
        with contextlib.closing(hu_slices_from_series(series, book=book)) as slices:
            for one in slices:
                counted.add(one)
                progress("pixels", counted.slices, len(series.slices))
    except RefusedInput as refusal:
        paths = [header.relative_path for header in series.slices]
        about = next((path for path in paths if str(refusal).startswith(path)), "")
        verdict, exit_code = replace(_refused(refusal), path=about), refusal.exit_code
    warnings = [*series.warnings, *(item for told in counted.warnings for item in told)]
    return Validation(
        verdict=verdict,
        exit_code=exit_code,
        study=StudyIdentity(series.identity.StudyInstanceUID),
        series=series_result(series),
        geometry=geometry_result(series),
        pixels=counted.facts if counted.slices == len(series.slices) else None,
        intake=intake_result(book, series_uid),
        considered=considered(series.considered),
        skipped_files=judgements(scan.skipped),
        slice_verdicts=slice_verdicts(series, counted.warnings),
        warnings=notices(warnings),
    )


class _Counted:
    """The pixels of the slices that went by; none is kept."""

    def __init__(self) -> None:
        self.slices = self.air = self.bone = self.brain = self.pixels = 0
        self.lowest, self.highest = float("inf"), float("-inf")
        self.warnings: list[tuple[Warning_, ...]] = []

    def add(self, one: HUSlice) -> None:
        self.slices += 1
        self.air += one.air
        self.bone += one.bone
        self.lowest = min(self.lowest, float(one.hu.min()))
        self.highest = max(self.highest, float(one.hu.max()))
        self.brain += int(((one.hu > _BRAIN_HU[0]) & (one.hu < _BRAIN_HU[1])).sum())
        self.pixels += one.hu.size
        self.warnings.append(one.warnings)

    @property
    def facts(self) -> PixelFacts:
        return PixelFacts(
            slices=self.slices,
            lowest_hu=self.lowest,
            highest_hu=self.highest,
            slices_with_air=self.air,
            slices_with_bone=self.bone,
            brain_percent=round(100 * self.brain / self.pixels, 2),
        )


def _refused(error: IchClientError) -> Judgement:
    code = error.code if isinstance(error, RefusedInput) else NO_CT
    return Judgement(code, str(error).removesuffix(f" [{code}]"), {})
