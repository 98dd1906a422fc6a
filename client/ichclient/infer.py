"""Study folder -> result: the whole chain, and the only place that sees all of it.

    files -> headers -> series -> HU slices -> chunks in flight -> slice scores -> study -> result

Everything is computed before anything is written, and nothing is printed here.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np

from ichclient.ahead import ChunksAhead
from ichclient.allocation import keep_memory
from ichclient.combination import combination_from_spec, known_spec
from ichclient.connect import ProvenServer, Reached, ServerOptions, ServerStart, proven_server
from ichclient.dicom import headers_from_path
from ichclient.errors import NothingFound, PartialResult, RefusedInput, ServerRefused
from ichclient.headers import Scan, Warning_
from ichclient.held import HeldSlices
from ichclient.hounsfield import hu_slices_from_series
from ichclient.objects.extra import require_highdicom
from ichclient.objects.files import Written, object_files, written_objects
from ichclient.objects.refused import refusals_reported
from ichclient.output import output_folder, write_files
from ichclient.reading import GLIMPSE_S, MOMENT_S, give_a_moment, raise_refusal, refusal_first
from ichclient.result import Bundle, Judgement, Result, StudyIdentity
from ichclient.result_files import files_from_judged
from ichclient.rules import DEFAULT_BOOK, RuleBook
from ichclient.series import Series, chosen_series, series_from_scan
from ichclient.site_point import refuse_other_spec, site_decision
from ichclient.slabs import series_in_slabs
from ichclient.sources import SourceOptions, opened_source
from ichclient.sources.options import Progress
from ichclient.stream import Chunks, Judged, judged_from_chunks
from ichclient.told import (
    considered,
    file_groups,
    geometry_result,
    intake_result,
    interruption_warning,
    judgements,
    notices,
    series_result,
    slice_results,
    slice_verdicts,
)
from ichclient.tracing import traced_study
from ichclient.warm import WarmServer
from ichcore import Grid, SliceScores, StudyScore

Judge: TypeAlias = ServerOptions | ServerStart | WarmServer | ProvenServer
"""Who judges a study: the server of these options, one that was started, or one that is shared."""


@dataclass(frozen=True)
class Study:
    """A study that was read: its chosen series, and all that was found beside it."""

    scan: Scan
    series: Series
    read_s: float
    book: RuleBook = DEFAULT_BOOK
    series_uid: str | None = None


def study_from_path(
    path: Path,
    series_uid: str | None = None,
    book: RuleBook = DEFAULT_BOOK,
    slab_mm: float | None = None,
) -> Study:
    """Read the headers below `path` and choose the series to judge, in slabs if that is wanted."""
    started = time.monotonic()
    scan = headers_from_path(path, book)
    series = chosen_series(series_from_scan(scan, book), series_uid, book)
    if slab_mm is not None:
        series = series_in_slabs(series, slab_mm)
    return Study(scan, series, time.monotonic() - started, book, series_uid)


def considered_from_path(
    path: Path | str,
    book: RuleBook = DEFAULT_BOOK,
    *,
    source: SourceOptions | None = None,
    progress: Progress = lambda *_: None,
) -> tuple[Judgement, ...]:
    """Judge every series of the study at `path` by its headers; say which one would be taken.

    The series stand in the order of their rank, the files that are no image behind them.
    """
    with opened_source(path, source, progress) as files:
        scan = headers_from_path(files, book)
        candidates = series_from_scan(scan, book)
        with contextlib.suppress(NothingFound, RefusedInput):
            candidates = chosen_series(candidates, book=book).considered
    return (*considered(candidates), *file_groups(scan.skipped))


def result_from_path(
    path: Path | str,
    judge: Judge,
    *,
    source: SourceOptions | None = None,
    series_uid: str | None = None,
    book: RuleBook = DEFAULT_BOOK,
    slab_mm: float | None = None,
    out: Path | None = None,
    dicom: bool = False,
    written: Written = lambda _: None,
    progress: Progress = lambda *_: None,
) -> Result:
    """Judge the study at `path`, and write its result into the folder `out` if there is one.

    `path` is whatever `opened_source` opens. `judge` says which server is used for this study
    alone, is the start of one, or is the one that many studies share, proven by now or not. With
    `dicom` the result is written as DICOM objects too; that needs a folder. Raises an IchError for
    whatever stands in the way; nothing is written then, except that with `dicom` a refused study
    gets a report that says so.
    """
    started = time.monotonic()
    keep_memory()
    objects_out = out if dicom else None
    held = HeldSlices() if out is not None else None
    if dicom:
        require_highdicom()
    with (
        output_folder(out) if out is not None else contextlib.nullcontext(),
        opened_source(path, source, progress) as opened,
        refusals_reported(opened, objects_out, series_uid, book, written),
        ThreadPoolExecutor(1, thread_name_prefix="ichclient-read") as reader,
    ):
        reading = reader.submit(study_from_path, opened, series_uid, book, slab_mm)
        ahead = ChunksAhead(reader, lambda grid: chunks_from_study(reading.result(), grid, held))
        progress("reading", 0, 0)
        # No server is asked for a study that is refused at once; an embedded one starts meanwhile.
        starts = isinstance(judge, ServerStart) or (
            isinstance(judge, ServerOptions) and judge.url is None
        )
        give_a_moment(reading, GLIMPSE_S if starts else MOMENT_S)
        progress("server", 0, 0)
        with (
            contextlib.closing(ahead),
            refusal_first(reading),
            _server(judge, partial(raise_refusal, reading), ahead.begin) as server,
        ):
            study = reading.result()
            result, judged = result_from_study(study, server, progress, started, ahead.chunks)
        if out is not None:
            progress("report", 0, 0)
            result, files = files_from_judged(study.series, book, judged, result, held)
            objects = object_files(study.series, judged, result, out) if dicom else {}
            write_files(out, {**objects, **files})
            if dicom:
                written(written_objects(out, objects))
    return result


def result_from_study(
    study: Study,
    server: ProvenServer,
    progress: Progress,
    started: float,
    chunks_on: Callable[[Grid], Chunks] | None = None,
) -> tuple[Result, Judged]:
    """Judge a study on a proven server; `started` is when its whole chain began (monotonic s).

    All of its calls carry one trace, whose random number the result tells. `chunks_on` gives the
    chunks of the study on a grid, begun already or held as they pass.
    """
    with traced_study() as trace_id:
        result, judged = _judged_study(
            study, server, progress, started, chunks_on or partial(chunks_from_study, study)
        )
    return replace(result, trace_id=trace_id), judged


def chunks_from_study(study: Study, grid: Grid, held: HeldSlices | None = None) -> Chunks:
    """The chunks of a study's series; slices that pass are left in `held`, for who draws them."""
    slices = hu_slices_from_series(study.series, book=study.book)
    passing = slices if held is None else held.as_they_pass(slices)
    return Chunks(passing, grid, close=slices.close)


def _judged_study(
    study: Study,
    server: ProvenServer,
    progress: Progress,
    started: float,
    chunks_on: Callable[[Grid], Chunks],
) -> tuple[Result, Judged]:
    series, transport = study.series, server.transport
    facts = transport.metadata()
    spec = known_spec(facts.spec_sha256, server.repository)
    point = study.book.site.point
    if point is not None:
        refuse_other_spec(point, facts.spec_sha256, spec)
    count = len(series.slices)
    before = time.monotonic()
    interruptions = transport.interruptions
    with contextlib.closing(chunks_on(facts.grid)) as chunks:
        judged = judged_from_chunks(
            chunks, transport, on_judged=lambda done: progress("slices", done, count)
        )
    if len(judged.score) != count:
        raise PartialResult(f"Only {len(judged.score)} of {count} slices were judged; try again.")
    judged_at = time.monotonic()
    score = transport.study(_slice_scores(judged, series))
    if score.provenance != judged.provenance[0]:
        raise ServerRefused("The study model belongs to another bundle than the slices' scores.")
    interrupted = transport.interruptions - interruptions
    if interrupted or not judged.starts <= server.proof.starts:
        server.prove_again(judged.starts)
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
    warnings = (*series.warnings, *judged.warnings, *interruption_warning(interrupted))
    result = _told(study, judged, score, facts.member_names, bundle, warnings, timings)
    if spec is not None:
        site = None if point is None else site_decision(result, spec, point)
        result = replace(result, combination=combination_from_spec(spec), site=site)
    return result, judged


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
    series = study.series
    return Result(
        study=StudyIdentity(series.identity.StudyInstanceUID),
        series=series_result(series),
        geometry=geometry_result(series),
        intake=intake_result(study.book, study.series_uid),
        study_score=score.score,
        member_scores=dict(zip(members, score.member_scores, strict=True)),
        decisions=dict(score.decisions),
        lesion_volume_ml=score.lesion_volume_ml,
        coverage_mm=score.coverage_mm,
        top_slices=score.top_slices,
        slices=slice_results(series, judged, members),
        considered=considered(series.considered),
        skipped_files=judgements(study.scan.skipped),
        slice_verdicts=slice_verdicts(series, judged.slice_warnings),
        warnings=notices(warnings),
        bundle=bundle,
        timings={name: round(seconds, 4) for name, seconds in timings.items()},
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


def _server(
    judge: Judge, meanwhile: Callable[[], object], reached: Reached
) -> AbstractContextManager[ProvenServer]:
    if isinstance(judge, ProvenServer):
        return contextlib.nullcontext(judge)
    if isinstance(judge, WarmServer):
        return judge.lent(reached)
    return proven_server(judge, known=True, meanwhile=meanwhile, reached=reached)
