"""Study folder -> result: the whole chain, and the only place that sees all of it.

    files -> headers -> series -> HU slices -> chunks in flight -> slice scores -> study -> result

Everything is computed before anything is written, and nothing is printed here.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ichclient.connect import ProvenServer, ServerOptions, proven_server
from ichclient.dicom import headers_from_path
from ichclient.errors import NothingFound, PartialResult, RefusedInput, ServerRefused
from ichclient.headers import Scan, Verdict, Warning_
from ichclient.hounsfield import hu_from_header, hu_slices_from_series
from ichclient.objects.extra import require_highdicom
from ichclient.objects.files import object_files
from ichclient.objects.refused import refusals_reported
from ichclient.output import output_folder, write_files
from ichclient.picture import png_from_slice
from ichclient.result import (
    PICTURE_FILE,
    RESULT_FILE,
    Bundle,
    Judgement,
    Notice,
    Result,
    SeriesResult,
    SliceResult,
    StudyIdentity,
    result_to_json,
)
from ichclient.series import Series, chosen_series, series_from_scan
from ichclient.stream import Judged, judged_from_slices
from ichcore import SliceScores, StudyScore, mask_from_grid

Progress = Callable[[str, int, int], None]
"""Hears the stage's name, how much of it is done, and of how much (0 where nobody knows)."""

# A study that cannot be judged is told at once; a large one is read while the server starts.
_READ_ALONE_S = 0.5


@dataclass(frozen=True)
class Study:
    """A study that was read: its chosen series, and all that was found beside it."""

    scan: Scan
    series: Series
    read_s: float


def study_from_path(path: Path, series_uid: str | None = None) -> Study:
    """Read the headers below `path` and choose the series to judge."""
    started = time.monotonic()
    scan = headers_from_path(path)
    series = chosen_series(series_from_scan(scan), series_uid)
    return Study(scan, series, time.monotonic() - started)


def considered_from_path(path: Path) -> tuple[Judgement, ...]:
    """Judge every series below `path` by its headers, and say which one would be taken."""
    candidates = series_from_scan(headers_from_path(path))
    with contextlib.suppress(NothingFound, RefusedInput):
        candidates = chosen_series(candidates).considered
    return tuple(_judgement(item.verdict) for item in candidates)


def result_from_path(
    path: Path,
    options: ServerOptions,
    *,
    series_uid: str | None = None,
    out: Path | None = None,
    dicom: bool = False,
    progress: Progress = lambda *_: None,
) -> Result:
    """Judge the study at `path`, and write its result into the folder `out` if there is one.

    With `dicom` the result is written as DICOM objects too; that needs a folder.
    Raises an IchError for whatever stands in the way; nothing is written then, except that with
    `dicom` a refused study gets a report that says so.
    """
    started = time.monotonic()
    reported: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
    if dicom and out is not None:
        require_highdicom()
        reported = refusals_reported(path, out, series_uid)
    with (
        output_folder(out) if out is not None else contextlib.nullcontext(),
        reported,
        ThreadPoolExecutor(1, thread_name_prefix="ichclient-read") as reader,
    ):
        reading = reader.submit(study_from_path, path, series_uid)
        progress("reading", 0, 0)
        _give_a_moment(reading)
        progress("server", 0, 0)
        with proven_server(options) as server:
            study = reading.result()
            result, judged = result_from_study(study, server, progress, started)
        if out is not None:
            files: dict[str, bytes | None] = {PICTURE_FILE: _picture(study.series, judged, result)}
            if dicom:
                files |= object_files(study.series, judged, result, out)
            write_files(out, {**files, RESULT_FILE: result_to_json(result).encode()})
    return result


def result_from_study(
    study: Study, server: ProvenServer, progress: Progress, started: float
) -> tuple[Result, Judged]:
    """Judge a study on a proven server; `started` is when its whole chain began (monotonic s)."""
    series, transport = study.series, server.transport
    facts = transport.metadata()
    count = len(series.slices)
    before = time.monotonic()
    interruptions = transport.interruptions
    with contextlib.closing(hu_slices_from_series(series)) as slices:
        judged = judged_from_slices(
            slices,
            transport,
            facts.grid,
            on_judged=lambda done: progress("slices", done, count),
        )
    if len(judged.score) != count:
        raise PartialResult(f"Only {len(judged.score)} of {count} slices were judged; try again.")
    judged_at = time.monotonic()
    score = transport.study(_slice_scores(judged, series))
    if score.provenance != judged.provenance[0]:
        raise ServerRefused("The study model belongs to another bundle than the slices' scores.")
    interrupted = transport.interruptions - interruptions
    if interrupted:
        server.prove_again()
    now = time.monotonic()
    timings = {
        "read_headers_s": study.read_s,
        **server.timings,
        "slices_s": judged_at - before,
        "study_s": now - judged_at,
        "total_s": now - started,
    }
    bundle = Bundle(
        ensemble=facts.ensemble,
        provenance=score.provenance,
        spec_sha256=facts.spec_sha256,
        server_version=facts.server_version,
        contract_version=facts.contract_version,
    )
    warnings = (*series.warnings, *judged.warnings, *_interruption_warning(interrupted))
    return _told(study, judged, score, facts.member_names, bundle, warnings, timings), judged


def _told(
    study: Study,
    judged: Judged,
    score: StudyScore,
    members: tuple[str, ...],
    bundle: Bundle,
    warnings: tuple[Warning_, ...],
    timings: Mapping[str, float],
) -> Result:
    """The result of numbers that are all there."""
    series, identity = study.series, study.series.identity
    return Result(
        study=StudyIdentity(identity.StudyInstanceUID),
        series=SeriesResult(
            SeriesInstanceUID=identity.SeriesInstanceUID,
            SeriesNumber=identity.SeriesNumber,
            SeriesDescription=identity.SeriesDescription,
            slices=len(series.slices),
            slice_spacing_mm=series.slice_spacing_mm,
            pixel_spacing_mm=series.pixel_spacing_mm,
            gantry_tilt_degrees=series.gantry_tilt_degrees,
        ),
        study_score=score.score,
        member_scores=dict(zip(members, score.member_scores, strict=True)),
        decisions=dict(score.decisions),
        lesion_volume_ml=score.lesion_volume_ml,
        coverage_mm=score.coverage_mm,
        top_slices=score.top_slices,
        slices=_slice_results(series, judged, members),
        considered=tuple(_judgement(item.verdict) for item in series.considered),
        skipped_files=tuple(_judgement(verdict) for verdict in study.scan.skipped),
        warnings=tuple(Notice(item.code, item.sentence) for item in dict.fromkeys(warnings)),
        bundle=bundle,
        timings={name: round(seconds, 4) for name, seconds in timings.items()},
    )


def _slice_results(
    series: Series, judged: Judged, members: tuple[str, ...]
) -> tuple[SliceResult, ...]:
    return tuple(
        SliceResult(
            index=index,
            SOPInstanceUID=header.SOPInstanceUID,
            position_mm=series.positions_mm[index],
            score=float(judged.score[index]),
            member_scores=dict(zip(members, judged.member_scores[index].tolist(), strict=True)),
            lesion_mm2=float(judged.lesion_mm2[index]),
            brain_mm2=float(judged.brain_mm2[index]),
        )
        for index, header in enumerate(series.slices)
    )


def _slice_scores(judged: Judged, series: Series) -> SliceScores:
    return SliceScores(
        score=judged.score,
        member_scores=judged.member_scores,
        lesion_mm2=judged.lesion_mm2,
        brain_mm2=judged.brain_mm2,
        position_mm=np.asarray(series.positions_mm, dtype=np.float32),
        provenance=judged.provenance,
    )


def _picture(series: Series, judged: Judged, result: Result) -> bytes:
    """The slice with the highest score, decoded again so that no other was kept in memory."""
    index = result.top_slices[0]
    one = hu_from_header(series.slices[index])
    probability = judged.mask[index] / np.float32(255)
    mask = mask_from_grid(probability, judged.placements[index], judged.grid)
    caption = f"slice {index + 1} of {len(series.slices)}, score {judged.score[index]:.3f}"
    return png_from_slice(one, mask, caption)


def _give_a_moment(reading: Future[Study]) -> None:
    with contextlib.suppress(NotYet):
        reading.result(timeout=_READ_ALONE_S)


def _judgement(verdict: Verdict) -> Judgement:
    return Judgement(verdict.code, verdict.sentence, dict(verdict.facts), verdict.path)


def _interruption_warning(interrupted: int) -> tuple[Warning_, ...]:
    if not interrupted:
        return ()
    text = (
        f"The server did not answer {interrupted} time(s) and was asked again; it proved its "
        "golden slices once more afterwards."
    )
    return (Warning_("server_interrupted", text),)
