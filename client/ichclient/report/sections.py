"""Result -> what the page says: every number with its unit, every judgement in words.

The template only places these; nothing is decided there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ichclient.markup import in_words
from ichclient.result import Judgement, Result, SliceResult
from ichcore import Decision

MAX_ROWS = 200
"""Of series and of skipped files; the rest is in result.json."""

SIGNS = {Decision.POSITIVE: "▲", Decision.NEGATIVE: "▽", Decision.INDETERMINATE: "?"}
_BAR = 100.0
_TIMINGS = {
    "read_headers_s": "reading the headers",
    "server_ready_s": "starting or reaching the server",
    "golden_proof_s": "proving it with golden slices",
    "slices_s": "judging the slices",
    "study_s": "judging the study",
    "total_s": "from the call to the result",
}


@dataclass(frozen=True)
class Verdict:
    """The decision at one operating point; `threshold` is empty where it is not known."""

    point: str
    word: str
    sign: str
    threshold: str


@dataclass(frozen=True)
class Bar:
    """A score as a bar 100 wide, with the places of the thresholds."""

    name: str
    finding: str
    score: str
    length: float
    weight: str


def headline(result: Result) -> str:
    """The decisions in one line; one word where all operating points agree."""
    return headline_of(result.decisions)


def headline_of(decisions: Mapping[str, str]) -> str:
    """Decisions by operating point in one line."""
    by_word: dict[str, list[str]] = {}
    for point, word in decisions.items():
        by_word.setdefault(word, []).append(in_words(point))
    if len(by_word) == 1:
        ((only, points),) = by_word.items()
        where = "" if len(points) == 1 else f" at all {len(points)} operating points"
        return f"{only.capitalize()}{where or f' at {points[0]}'}"
    parts = [f"{word} at {' and '.join(points)}" for word, points in by_word.items()]
    return "; ".join(parts).capitalize()


def tone(result: Result) -> str:
    """The decision that colours the page: the one that most needs somebody to look."""
    words = set(result.decisions.values())
    order = (Decision.POSITIVE, Decision.INDETERMINATE, Decision.NEGATIVE)
    return next(word for word in order if word in words).value


def verdicts(result: Result) -> list[Verdict]:
    """Every operating point in the spec's order."""
    thresholds: Mapping[str, float] = result.combination.thresholds if result.combination else {}
    return [
        Verdict(
            in_words(point),
            word,
            SIGNS[Decision(word)],
            f"threshold {thresholds[point]:.3f}" if point in thresholds else "",
        )
        for point, word in result.decisions.items()
    ] + site_verdicts(result)


def site_verdicts(result: Result) -> list[Verdict]:
    """The decision at the site's own operating point, which never replaces one of the bundle."""
    site = result.site
    if site is None:
        return []
    point = f"{in_words(site.name)}, this site's own"
    return [Verdict(point, site.decision, SIGNS[site.decision], f"threshold {site.threshold:.3f}")]


def threshold_places(result: Result) -> list[float]:
    """Where the thresholds lie on a bar 100 wide."""
    thresholds = result.combination.thresholds if result.combination else {}
    return sorted({round(value * _BAR, 2) for value in thresholds.values()})


def member_bars(result: Result) -> list[Bar]:
    """Every member with its finding and weight where they are known."""
    known = result.combination
    return [
        Bar(
            name,
            known.findings.get(name, "") if known else "",
            f"{score:.3f}",
            round(score * _BAR, 2),
            f"{known.score_weights[name]:.2f}" if known and name in known.score_weights else "",
        )
        for name, score in result.member_scores.items()
    ]


def figures(result: Result) -> list[tuple[str, str, str]]:
    """Name, value and note of what is measured on the study."""
    volume, top = result.lesion_volume_ml, result.slices[result.top_slices[0]]
    marked = sum(one.lesion_mm2 > 0 for one in result.slices)
    noun = "slice" if marked == 1 else "slices"
    tilt = result.series.gantry_tilt_degrees
    return [
        (
            "Lesion volume",
            "unknown" if volume is None else f"{volume:.1f} mL",
            "slice positions allow none" if volume is None else f"marked on {marked} {noun}",
        ),
        ("Top slice", f"{top.index + 1} of {len(result.slices)}", f"at {mm(top.position_mm)}"),
        (
            "Coverage",
            f"{result.coverage_mm:.0f} mm",
            f"{len(result.slices)} slices every {result.series.slice_spacing_mm:.1f} mm",
        ),
        ("Gantry tilt", f"{_whole_zero(tilt, 1)}°", "measured from positions"),
    ]


def slice_words(one: SliceResult, count: int) -> str:
    """One slice in a line, for captions and for those who cannot see the picture."""
    marked = f", {one.lesion_mm2:.0f} mm² marked" if one.lesion_mm2 else ""
    return f"Slice {one.index + 1} of {count}, {mm(one.position_mm)}, score {one.score:.3f}{marked}"


def considered_rows(result: Result) -> list[dict[str, str]]:
    """The verdict of every series of the study."""
    return [
        {
            "number": _fact(item, "SeriesNumber"),
            "name": _fact(item, "SeriesDescription") or _fact(item, "SeriesInstanceUID"),
            "slices": _fact(item, "slices"),
            "code": item.code,
            "sentence": item.sentence,
        }
        for item in result.considered[:MAX_ROWS]
    ]


def hashes(result: Result) -> list[tuple[str, str]]:
    """Which software and engines judged which images."""
    bundle = result.bundle
    rows = [
        ("Ensemble", bundle.ensemble),
        ("Study rule", in_words(result.combination.study_rule) if result.combination else ""),
        ("Provenance", bundle.provenance),
        ("Spec SHA-256", bundle.spec_sha256),
        ("Masks SHA-256", result.masks_sha256 or ""),
        ("Server version", bundle.server_version),
        ("Contract version", str(bundle.contract_version)),
        ("Schema version", str(result.schema_version)),
        ("Trace", result.trace_id or ""),
        ("StudyInstanceUID", result.study.StudyInstanceUID),
        ("SeriesInstanceUID", result.series.SeriesInstanceUID),
    ]
    return [(name, value) for name, value in rows if value]


def timing_rows(result: Result) -> list[tuple[str, str]]:
    """Seconds of every stage, in words where it is one that we know."""
    return [
        (_TIMINGS.get(name, in_words(name)), f"{seconds:.2f} s")
        for name, seconds in result.timings.items()
    ]


def ranges(indices: Sequence[int]) -> str:
    """Slices in words, counted from 1: '3, 7 to 9, 12'."""
    parts: list[list[int]] = []
    for index in indices:
        if parts and index == parts[-1][-1] + 1:
            parts[-1].append(index)
        else:
            parts.append([index])
    words = (
        f"{part[0] + 1}" if len(part) == 1 else f"{part[0] + 1} to {part[-1] + 1}" for part in parts
    )
    return ", ".join(words)


def top_positions(result: Result) -> str:
    """The top slices by number, highest first."""
    return _listed(str(index + 1) for index in result.top_slices)


def mm(value: float) -> str:
    """A position without a minus before zero."""
    return f"{_whole_zero(value, 1)} mm"


def _whole_zero(value: float, digits: int) -> str:
    return f"{round(value, digits) + 0.0:.{digits}f}"


def _fact(item: Judgement, name: str) -> str:
    value = item.facts.get(name)
    return "" if value is None else str(value)


def _listed(words: Iterable[str]) -> str:
    return ", ".join(words)
