"""Result, candidates, checks -> tables and a progress bar for people.

Colour is carried by decisions alone. Texts from files and servers are shown as plain characters:
nothing that a DICOM header holds can move the cursor or be taken for markup.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from ichclient.plain import printable
from ichclient.result import DISCLAIMER
from ichclient.several.summary import SUMMARY_TABLE

if TYPE_CHECKING:
    from pathlib import Path

    from ichclient.acceptance.record import Acceptance
    from ichclient.delivery.outbox import Queued
    from ichclient.doctor import Check
    from ichclient.result import Judgement, Result
    from ichclient.several.rows import StudyRow
    from ichclient.several.run import Judged
    from ichclient.sources.options import Progress as Callback
    from ichclient.station.status import StudyStatus
    from ichclient.validate import Validation

_COLOURS = {"positive": "bold red", "negative": "green", "indeterminate": "yellow"}
_GRAVITY = ("positive", "indeterminate", "negative").index
_STAGES = {
    "fetching": "Fetching the study",
    "unpacking": "Unpacking the archive",
    "reading": "Reading DICOM headers",
    "server": "Starting and proving the server",
    "slices": "Judging slices",
    "pixels": "Decoding slices",
    "report": "Drawing the report",
    "studies": "Judging studies",
    "delivering": "Delivering objects",
}


def console(*, stderr: bool) -> Console:
    """Where tables go."""
    return Console(stderr=stderr, highlight=False)


@contextmanager
def progress_bar(where: Console) -> Iterator[Callback]:
    """Show the stages of a study while it is judged; silent where nobody watches.

    Of several studies, told by the stage `studies`, a second bar shows how many are done.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=where, transient=True, disable=not where.is_terminal) as bar:
        studies = bar.add_task("Studies", total=None, visible=False)
        task = bar.add_task("", total=None)

        def heard(stage: str, done: int, total: int) -> None:
            if stage == "studies":
                bar.update(studies, visible=True, completed=done, total=total)
                return
            bar.update(task, description=_STAGES[stage], completed=done, total=total or None)

        yield heard


def print_result(where: Console, result: Result) -> None:
    """The study's score and decisions, its top slices, and what to be careful about."""
    series = result.series
    name = series.SeriesDescription or series.SeriesInstanceUID
    where.print(_plain(f"Series {name}: {series.slices} slices"), soft_wrap=True)
    where.print(_study_table(result))
    where.print()
    where.print(_slice_table(result))
    for warning in result.warnings:
        where.print(_plain(f"Warning: {warning.sentence} [{warning.code}]"), soft_wrap=True)
    where.print(_plain(DISCLAIMER))


def print_judged(where: Console, done: Judged) -> None:
    """One line of a study among several, and what of its archive belongs to no study."""
    row = done.row
    line = Text(f"{done.number:>4} of {done.total}  {printable(row.folder)}  ")
    if row.exit_code:
        line.append(f"not judged: {' '.join(printable(row.reason).split())}")
    else:
        for point, word in row.decisions.items():
            line.append(f"{printable(point.replace('_', ' '))} ")
            line.append(word, style=_COLOURS[word]).append("  ")
        line.append(f"score {row.study_score:.3f}")
        line.append("  already judged" if done.skipped else f"  {row.seconds:.1f} s")
    if done.lost:
        where.print(_plain(f"{done.lost} file(s) belong to no study and are left out."))
    where.print(line, soft_wrap=True)


def print_run(where: Console, rows: Sequence[StudyRow], out: Path | None) -> None:
    """How many studies were judged, and where the summary is."""
    judged = sum(not row.exit_code for row in rows)
    text = f"{judged} of {len(rows)} studies have a result."
    where.print(_plain(text if out is None else f"{text} Summary: {out / SUMMARY_TABLE}"))
    where.print(_plain(DISCLAIMER))


def print_candidates(where: Console, considered: Sequence[Judgement]) -> None:
    """Every series of a study by rank, the files that are no image, and the reason of each."""
    table = _table("rank", "No.", "series", "slices", "mm", "tilt", "verdict")
    for item in considered:
        facts = item.facts
        row = (
            facts.get("rank"),
            facts.get("SeriesNumber"),
            _name(item),
            facts.get("slices") or f"{facts['files']} files",
            facts.get("spacings_mm"),
            facts.get("gantry_tilt_degrees"),
            item.code,
        )
        table.add_row(*map(_plain, row))
    where.print(table)
    where.print()
    for item in considered:
        where.print(_plain(f"{_name(item)}: {item.sentence} [{item.code}]"), soft_wrap=True)


def _name(item: Judgement) -> str:
    """What a reader knows a series or a group of files by."""
    names = ("SeriesDescription", "folder", "SeriesInstanceUID", "first")
    return next((str(item.facts[name]) for name in names if item.facts.get(name)), "unnamed")


def print_validation(where: Console, validation: Validation) -> None:
    """Whether a study may be judged, what its pixels hold, and what to be careful about."""
    print_candidates(where, (*validation.considered, *validation.file_groups))
    pixels = validation.pixels
    if pixels is not None:
        text = (
            f"Pixels: {pixels.slices} slices decoded, {pixels.lowest_hu:.0f} to "
            f"{pixels.highest_hu:.0f} HU; air in {pixels.slices_with_air}, bone in "
            f"{pixels.slices_with_bone}, and {pixels.brain_percent:.1f} % of all pixels are as "
            "dense as brain."
        )
        where.print(_plain(text), soft_wrap=True)
    for warning in validation.warnings:
        where.print(_plain(f"Warning: {warning.sentence} [{warning.code}]"), soft_wrap=True)
    verdict = validation.verdict
    where.print(_plain(f"{verdict.sentence} [{verdict.code}]"), soft_wrap=True)
    where.print(_plain(DISCLAIMER))


def print_acceptance(where: Console, acceptance: Acceptance, folder: Path) -> None:
    """Figures at each operating point beside the model card's, and what was refused."""
    from ichclient.acceptance.page import area_in_words, in_words

    table = _table("operating point", "threshold", "sensitivity", "specificity")
    site = () if acceptance.site is None else (acceptance.site.figures,)
    card = {} if acceptance.card is None else {p.name: p for p in acceptance.card.points}
    for point in (*acceptance.points, *site):
        rows = [(point.name.replace("_", " "), point)]
        if point.name in card:
            rows.append(("  on the model card", card[point.name]))
        for name, figures in rows:
            shares = map(in_words, (figures.sensitivity, figures.specificity))
            table.add_row(*map(_plain, (name, f"{figures.threshold:.4g}", *shares)))
    where.print(table)
    areas = f"Area under the ROC curve: {area_in_words(acceptance.roc.area)}"
    if acceptance.card is not None:
        areas += f"; on the model card {area_in_words(acceptance.card.roc.area)}"
    where.print(_plain(f"{areas}."), soft_wrap=True)
    for outcome in acceptance.refused:
        text = f"Refused, {outcome.case.name}: {outcome.sentence}"
        where.print(_plain(text), soft_wrap=True)
    where.print(_plain(f"Report: {folder / 'acceptance.html'}"), soft_wrap=True)
    where.print(_plain(DISCLAIMER))


def print_queue(where: Console, rows: Sequence[Queued]) -> None:
    """How many objects each target has, why others wait, and each that was refused."""
    counts = _table("target", "sent", "waiting", "refused")
    told: dict[str, None] = {}
    for target in dict.fromkeys(row.target for row in rows):
        of_target = [row for row in rows if row.target == target]
        states = Counter(row.state for row in of_target)
        waiting = states["waiting"] + states["sending"]
        counts.add_row(*map(_plain, (target, states["sent"], waiting, states["refused"])))
        for row in of_target:
            if row.state == "refused":
                told[f"{row.file} was refused by {target}: {row.reason}"] = None
            elif row.state != "sent":
                told[f"{target} has not got all of it: {row.reason or 'not tried yet'}"] = None
    where.print(counts)
    for line in told:
        where.print(_plain(line), soft_wrap=True)


def print_checks(where: Console, checks: Sequence[Check]) -> None:
    """What is there and what is missing."""
    table = _table("", "check", "found")
    for check in checks:
        mark = "ok" if check.ok else "missing" if check.needed else "-"
        table.add_row(_plain(mark), _plain(check.name), _plain(check.sentence))
    where.print(table)


def print_studies(where: Console, studies: Sequence[StudyStatus], *, identity: bool) -> None:
    """The studies of a station, and the reasons of those that ended without a score."""
    who = ("patient", "accession") if identity else ()
    table = _table("key", "phase", "images", "score", "decisions", "delivered", *who)
    for one in studies:
        study, sums = one.study, one.deliveries
        score = "" if study.study_score is None else f"{study.study_score:.3f}"
        delivered = f"{sums.sent} of {sums.sent + sums.unsent + sums.refused}"
        refused = f", {sums.refused} refused" if sums.refused else ""
        table.add_row(
            _plain(study.key), _plain(study.phase.value), _plain(study.images), _plain(score),
            _decisions(study.decisions.values()),
            _plain(delivered + refused if sums.sent + sums.unsent + sums.refused else ""),
            *([_plain(study.identity.PatientName), _plain(study.identity.AccessionNumber)]
              if identity else []),
        )  # fmt: skip
    where.print(table)
    for one in studies:
        study = one.study
        if study.reason_code and study.phase.value != "judged":
            reason = f": {study.reason}" if identity and study.reason else ""
            where.print(_plain(f"{study.key} [{study.reason_code}]{reason}"), soft_wrap=True)
        for row in one.deliveries.refusals:
            where.print(
                _plain(f"{study.key} refused by {row.target}: {row.reason}"), soft_wrap=True
            )
    where.print(_plain(DISCLAIMER))


def _decisions(words: Collection[str]) -> Text:
    """Each decision once, in the colour of the gravest."""
    style = _COLOURS[min(words, key=_GRAVITY)] if words else ""
    return Text(", ".join(dict.fromkeys(words)), style=style)


def _study_table(result: Result) -> Table:
    volume = result.lesion_volume_ml
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_row(_plain("study score"), _plain(f"{result.study_score:.3f}"))
    for member, score in result.member_scores.items():
        table.add_row(_plain(f"  {member}"), _plain(f"{score:.3f}"))
    for point, word in result.decisions.items():
        table.add_row(_plain(point.replace("_", " ")), Text(word, style=_COLOURS[word]))
    if result.site is not None:
        own = result.site.decision.value
        name = f"this site's own, {result.site.threshold:.3f}"
        table.add_row(_plain(name), Text(own, style=_COLOURS[own]))
    table.add_row(
        _plain("lesion volume"), _plain("unknown" if volume is None else f"{volume:.1f} mL")
    )
    return table


def _slice_table(result: Result) -> Table:
    table = _table("top slice", "position mm", "score", "lesion mm2")
    for index in result.top_slices:
        one = result.slices[index]
        table.add_row(
            _plain(f"{one.index + 1} of {len(result.slices)}"),
            _plain(f"{one.position_mm:.1f}"),
            _plain(f"{one.score:.3f}"),
            _plain(f"{one.lesion_mm2:.0f}"),
        )
    return table


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in headings:
        table.add_column(_plain(heading))
    return table


def _plain(value: object) -> Text:
    return Text("" if value is None else printable(value))
