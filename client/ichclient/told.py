"""Study -> the parts of a result that intake knows: identity, geometry, and every verdict.

`infer.py` tells them beside scores, `validate.py` without any.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np

from ichclient.headers import Fact, SliceHeader, Verdict, Warning_, told_once
from ichclient.result import (
    GeometryResult,
    IntakeResult,
    Judgement,
    Notice,
    SeriesResult,
    SliceResult,
)
from ichclient.rules import RuleBook
from ichclient.series import Candidate, Series

if TYPE_CHECKING:
    from ichclient.stream import Judged


def series_result(series: Series) -> SeriesResult:
    """What names the series, and its measures."""
    identity = series.identity
    return SeriesResult(
        SeriesInstanceUID=identity.SeriesInstanceUID,
        SeriesNumber=identity.SeriesNumber,
        SeriesDescription=identity.SeriesDescription,
        slices=len(series.slices),
        slice_spacing_mm=series.slice_spacing_mm,
        pixel_spacing_mm=series.pixel_spacing_mm,
        gantry_tilt_degrees=series.gantry_tilt_degrees,
    )


def geometry_result(series: Series) -> GeometryResult:
    """Where the series lies."""
    geometry = series.geometry
    steps = geometry.table_steps_mm
    return GeometryResult(
        FrameOfReferenceUID=geometry.FrameOfReferenceUID,
        rows=geometry.rows,
        columns=geometry.columns,
        pixel_area_mm2=round(geometry.pixel_area_mm2, 6),
        row_direction=geometry.row_direction,
        column_direction=geometry.column_direction,
        normal=geometry.normal,
        canonical=asdict(geometry.canonical),
        gaps_mm=tuple(round(gap, 6) for gap in geometry.gaps_mm),
        table_step_mm=round(float(np.median(steps)), 6) if steps else 0.0,
        height_mm=round(geometry.coverage_mm, 6),
    )


def slice_results(
    series: Series, judged: Judged, members: tuple[str, ...]
) -> tuple[SliceResult, ...]:
    """Every slice of the series, with its place and its scores."""
    return tuple(
        SliceResult(
            index=index,
            SOPInstanceUID=place.SOPInstanceUID,
            frame_number=place.frame_number,
            position_mm=place.position_mm,
            origin_mm=place.origin_mm,
            score=float(judged.score[index]),
            member_scores=dict(zip(members, judged.member_scores[index].tolist(), strict=True)),
            lesion_mm2=float(judged.lesion_mm2[index]),
            brain_mm2=float(judged.brain_mm2[index]),
        )
        for index, place in enumerate(series.geometry.slices)
    )


def intake_result(book: RuleBook, series_uid: str | None) -> IntakeResult:
    """By which rules the study was judged fit."""
    return IntakeResult(book.site.sha256, tuple(sorted(book.allowed)), series_uid is not None)


def judgements(verdicts: Iterable[Verdict]) -> tuple[Judgement, ...]:
    """Verdicts as a result tells them."""
    return tuple(
        Judgement(item.code, item.sentence, dict(item.facts), item.path) for item in verdicts
    )


def considered(candidates: Iterable[Candidate]) -> tuple[Judgement, ...]:
    """Every stack of the study with its verdict."""
    return judgements(item.verdict for item in candidates)


def file_groups(skipped: Iterable[Verdict]) -> tuple[Judgement, ...]:
    """The files that are no image, one judgement for each code."""
    groups: dict[str, list[Verdict]] = {}
    for verdict in skipped:
        groups.setdefault(verdict.code, []).append(verdict)
    return tuple(
        Judgement(
            code,
            f"{len(group)} file(s): {group[0].sentence}",
            {"files": len(group), "first": group[0].path},
        )
        for code, group in groups.items()
    )


def notices(warnings: Iterable[Warning_]) -> tuple[Notice, ...]:
    """Warnings, each code once however many slices gave it."""
    return tuple(Notice(item.code, item.sentence) for item in told_once(warnings))


def interruption_warning(interrupted: int) -> tuple[Warning_, ...]:
    """That a server was away for a while, where it was."""
    if not interrupted:
        return ()
    text = (
        f"A server did not answer {interrupted} time(s), and the question was sent again; who "
        "answers now proved the golden slices once more afterwards."
    )
    return (Warning_("server_interrupted", text),)


def refused_slices(candidates: Iterable[Candidate]) -> tuple[Judgement, ...]:
    """Slices that were left out or stand against another, of every stack."""
    every = (
        verdict for item in candidates for verdict in (*item.stack.dropped, *item.stack.conflicts)
    )
    return judgements({(item.code, item.path): item for item in every}.values())


def slice_verdicts(
    series: Series, warnings: Iterable[tuple[Warning_, ...]]
) -> tuple[Judgement, ...]:
    """Slices that were left out, and those that were fixed or are in doubt.

    `warnings` holds those of each slice, in the order of the series.
    """
    doubted = (
        Verdict(warning.code, warning.sentence, header.relative_path, _facts(index, header))
        for index, (header, told) in enumerate(zip(series.slices, warnings, strict=False))
        for warning in told
    )
    return judgements((*series.slice_verdicts, *doubted))


def _facts(index: int, header: SliceHeader) -> dict[str, Fact]:
    return {
        "index": index,
        "SOPInstanceUID": header.SOPInstanceUID,
        "frame_number": header.frame_number,
    }
