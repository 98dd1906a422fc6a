"""The figures of a reading study -> review.json and review.md.

What readers and files wrote is text: it is escaped, and never read as Markdown or HTML.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from html import escape

from ichtrain.review.answers import CAUSES
from ichtrain.review.key import ROUNDS, Key
from ichtrain.review.score import Change, Interval, Reading, Score
from ichtrain.statistics import Proportion

_NAMES = {"without_ai": "without AI", "with_ai": "with AI"}
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+!|~-])")

_WARNING = (
    "Research demonstration, not a medical device. The cases were picked because the AI or its "
    "comparators are wrong or nearly wrong on them: none of these figures is an accuracy among "
    "patients, and the AI's own figures here are worse than elsewhere by the way of picking."
)
_NOTES = (
    "Intervals are 95 %, exact (Clopper-Pearson). Pooled exact intervals take every answer for an "
    "independent one and are too narrow; the interval over cases (bootstrap) does not, but "
    "needs a dozen cases of a kind before it can be trusted.",
    "p is the two-sided exact McNemar test; pooled, a case counts once, as gained or lost by more "
    "readers (sign test). The readers' p are also given adjusted for their number (Holm).",
    "Fleiss' kappa is over the cases that every reader of the round answered; its interval is a "
    "percentile bootstrap over cases.",
)


def json_from_score(score: Score) -> str:
    """The text of review.json."""
    return json.dumps(asdict(score), indent=1) + "\n"


def markdown_from_score(score: Score, key: Key, picture: str) -> str:
    """The text of review.md; `picture` is the file name of the plot beside it."""
    title = f"# Reading study: {len(key.cases)} cases, {score.readers} readers"
    return "\n\n".join(
        [
            title,
            _WARNING,
            _incomplete(score),
            "## Readers",
            _readings(score.readings),
            f"![Readers with and without AI in ROC space]({picture})",
            "## AI on the same cases",
            f"At the operating point {plain(score.point)}. The first row is the AI that readers "
            "saw.",
            _readings(score.models),
            "## What AI changed",
            _changes(score.changes),
            "## Agreement",
            _agreement(score),
            "## Causes ticked",
            _causes(score),
            "## Cases most readers missed",
            _missed(score, key),
            "## Every case",
            _cases(score, key),
            "## Notes",
            "\n".join(f"- {note}" for note in _NOTES),
        ]
    ) + "\n"  # fmt: skip


def summary_from_score(score: Score) -> str:
    """A few lines for a terminal."""
    lines = [f"Not read: reader {gap.reader}, {_NAMES[gap.round]}, {len(gap.cases)} cases"
             for gap in score.gaps]  # fmt: skip
    for one in score.readings:
        if one.who == "pooled":
            kappa = score.agreement[one.round].kappa
            lines.append(
                f"{_NAMES[one.round]}: sensitivity {_share(one.sensitivity)}, specificity "
                f"{_share(one.specificity)}, kappa {'none' if kappa is None else f'{kappa:.3f}'}"
            )
    lines.append("Research demonstration, not a medical device.")
    return "\n".join(lines)


def _share(one: Proportion | None) -> str:
    return "not read" if one is None else f"{one.share:.3f}"


def plain(text: str) -> str:
    """Text that Markdown and HTML show as it is, on one line."""
    return _MARKDOWN.sub(r"\\\1", escape(" ".join(text.split()), quote=False))


def _incomplete(score: Score) -> str:
    if not score.gaps:
        return "Every reader answered every case in both rounds."
    lines = [
        f"- reader {gap.reader}, {_NAMES[gap.round]}: {len(gap.cases)} not answered "
        f"(case {', '.join(map(str, gap.cases))})"
        for gap in score.gaps
    ]
    return "**Incomplete**; figures are over what was answered:\n\n" + "\n".join(lines)


def _readings(readings: Iterable[Reading]) -> str:
    rows = [
        (
            plain(one.who),
            _NAMES.get(one.round, ""),
            str(one.answered),
            _shown(one.sensitivity, one.sensitivity_over_cases),
            _shown(one.specificity, one.specificity_over_cases),
        )
        for one in readings
    ]
    return _table(("who", "round", "answers", "sensitivity", "specificity"), rows)


def _shown(one: Proportion | None, over_cases: Interval | None) -> str:
    if one is None:
        return "no answers"
    text = f"{one.share:.3f} [{one.low:.3f}, {one.high:.3f}], {one.count} of {one.total}"
    if over_cases is None:
        return text
    return f"{text}; over cases [{over_cases[0]:.3f}, {over_cases[1]:.3f}]"


def _changes(changes: Iterable[Change]) -> str:
    rows = [
        (
            one.who,
            str(one.cases),
            str(one.gained),
            str(one.lost),
            str(one.misled),
            f"{one.p:.3g}",
            "" if one.p_holm is None else f"{one.p_holm:.3g}",
        )
        for one in changes
    ]
    heads = (
        "who",
        "cases read twice",
        "became right",
        "became wrong",
        "of these AI wrong",
        "p",
        "p (Holm)",
    )
    return _table(heads, rows)


def _agreement(score: Score) -> str:
    rows = []
    for name, one in score.agreement.items():
        kappa = (
            "none: fewer than two readers or cases, or all answers alike"
            if one.kappa is None
            else f"{one.kappa:.3f} [{one.low:.3f}, {one.high:.3f}]"
        )
        rows.append((_NAMES[name], kappa, str(one.cases), str(one.readers)))
    return _table(("round", "Fleiss' kappa", "cases", "readers"), rows)


def _causes(score: Score) -> str:
    rows = [
        (cause.replace("_", " "), *(str(score.causes[name][cause]) for name in ROUNDS))
        for cause in CAUSES
    ]
    return _table(("cause", *(_NAMES[name] for name in ROUNDS)), rows)


def _missed(score: Score, key: Key) -> str:
    rows = []
    for name in ROUNDS:
        for one in score.outcomes:
            if one.missed(name):
                wrong = one.answered[name] - one.right[name]
                ai = "right" if key.ai_is_right(one.case) else "wrong"
                comments = "; ".join(plain(text) for text in one.comments)
                rows.append(
                    (_NAMES[name], str(one.case.number), _truth(one.case.positive,
                     one.case.subtypes), f"{wrong} of {one.answered[name]}", ai,
                     _ticked(one.causes), comments)
                )  # fmt: skip
    if not rows:
        return "None."
    return _table(("round", "case", "truth", "wrong", "AI", "causes", "comments"), rows)


def _cases(score: Score, key: Key) -> str:
    rows = [
        (
            str(one.case.number),
            _truth(one.case.positive, one.case.subtypes),
            "" if one.case.lesion_ml is None else f"{one.case.lesion_ml:.1f}",
            f"{one.case.kind}: {plain(one.case.reason)}",
            f"{one.case.called[key.ensemble]} ({one.case.scores[key.ensemble]:.2f})",
            *(f"{one.right[name]} of {one.answered[name]}" for name in ROUNDS),
            _ticked(one.causes),
        )
        for one in score.outcomes
    ]
    heads = ("case", "truth", "mL", "picked as", "AI", "right without AI", "right with AI",
             "causes")  # fmt: skip
    return _table(heads, rows)


def _truth(positive: bool, subtypes: Sequence[str]) -> str:
    return " ".join(["bleed" if positive else "normal", *(one.upper() for one in subtypes)])


def _ticked(causes: dict[str, int]) -> str:
    return ", ".join(f"{cause.replace('_', ' ')} ({count})" for cause, count in causes.items())


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
