"""Sheets of slices -> one HTML page for a reader and a round, complete in itself.

Pictures, style and script lie in the file; the policy in its head lets nothing be fetched or
sent. A slice is shown by moving the window of an SVG over the one sheet of its case.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files

from ichtrain.review.answers import CAUSES, COLUMNS, SAVED_FILES
from ichtrain.review.key import ROUNDS, WITH_AI, rounds_of
from ichtrain.review.windows import Sheet

DEMONSTRATION = "Research demonstration, not a medical device"

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
_PRINTED_WIDTH_MM = 192.0
_PRINTED_HEIGHT_MM = 66.0
_PRINTED_CAPTION_MM = 3.0
_NAMES = {"thin_sdh": "thin SDH"}


@dataclass(frozen=True)
class Opinion:
    """What the reader is told of the AI; `marks` is a picture of the sheet's size, as a URI."""

    called: str
    score: float
    threshold: float
    point: str
    marks: str | None = None
    marked_ml: float | None = None


@dataclass(frozen=True)
class Views:
    """One case as a page shows it: a sheet of slices in every window, and the slices to begin with.

    `uris` holds the sheet's picture by window name; `key_slices` count from 0; `position_mm` is
    the height of every slice above the lowest.
    """

    number: int
    sheet: Sheet
    uris: dict[str, str]
    position_mm: tuple[float, ...]
    key_slices: tuple[int, ...]
    opinion: Opinion | None = None


def page_from_articles(reader: int, name: str, articles: Iterable[str], study: str) -> str:
    """The whole page of a round; `study` tells the browser's store one study from another."""
    turn = rounds_of(reader).index(name) + 1
    what = "with AI" if name == WITH_AI else "without AI"
    title = f"Reader {reader}, round {turn} of 2: {what}"
    head = (
        '<!doctype html>\n<html lang="en-GB">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{_resource('page.css')}</style>\n</head>\n"
    )
    body = (
        f'<body data-columns="{",".join(COLUMNS)}" data-round="{name}" '
        f'data-file="{SAVED_FILES[ROUNDS.index(name)]}" data-store="{escape(study)}-{reader}-'
        f'{name}">\n<main>\n{_cover(title, name)}'
    )
    tail = (
        '</main>\n<div class="bar"><span id="done"></span>'
        '<button id="save" type="button">Save answers as CSV</button></div>\n'
        f"<script>\n{_resource('page.js')}</script>\n</body>\n</html>\n"
    )
    return "".join([head, body, *articles, tail])


def article_from_views(views: Views, place: int, count: int) -> str:
    """One case: viewer, key slices, all slices, and the form; `place` in the reading order."""
    marked = views.opinion is not None and views.opinion.marks is not None
    return (
        f'<article class="case{" marked" if marked else ""}" id="case-{views.number}">\n'
        f'<div class="head"><h2>Case {views.number}</h2>'
        f'<span class="place">{place} of {count}</span>'
        f'<p class="demonstration">{DEMONSTRATION}</p></div>\n'
        f"{_store(views)}{_opinion(views.opinion)}{_viewer(views, marked)}"
        f"{_key_slices(views, marked)}{_all_slices(views, marked)}{_form(views.number)}</article>\n"
    )


def _cover(title: str, name: str) -> str:
    ai = (
        "<p>The AI's study score and decision stand above each case; where it found blood, its "
        "marks lie over the slices in red. It is wrong on some of these cases. "
        "The key slices are those with most marks.</p>"
        if name == WITH_AI
        else "<p>The key slices are spread evenly through the head and chosen by anatomy alone.</p>"
    )
    return (
        f'<section class="cover"><h1>{escape(title)}</h1>\n'
        f'<p class="demonstration">{DEMONSTRATION}</p>\n'
        "<p>For each case: is there any intracranial haemorrhage? Answer positive or negative, say "
        "how sure you are (1 guess, 5 certain), where it is, and tick what makes the case "
        "difficult. Read in the order given, alone, and do not go back.</p>\n"
        f"{ai}\n<p>Images lie on a grid of equal spacing; patient's right is on the left. Windows: "
        "brain W80 L40, subdural W200 L80. Slices count from the skull base upwards. Move through "
        "them with the slider, the arrow keys or the wheel. Answers stay in this browser until "
        "you save them; fill in answers.csv instead if you read on paper.</p></section>\n"
    )


def _store(views: Views) -> str:
    """The sheets, once; every tile points here."""
    width, height = views.sheet.size
    pictures = dict(views.uris)
    if views.opinion is not None and views.opinion.marks is not None:
        pictures["marks"] = views.opinion.marks
    images = "".join(
        f'<image id="s{views.number}-{name}" width="{width}" height="{height}" href="{uri}"/>'
        for name, uri in pictures.items()
    )
    return f'<svg class="store" aria-hidden="true"><defs>{images}</defs></svg>\n'


def _opinion(opinion: Opinion | None) -> str:
    if opinion is None:
        return ""
    volume = "" if opinion.marked_ml is None else f"Its marks hold {opinion.marked_ml:.1f} mL."
    if opinion.marked_ml == 0:
        volume = "It marked nothing."
    return (
        f'<div class="ai"><p><b>AI: {escape(opinion.called)}</b>, study score {opinion.score:.2f} '
        f"(threshold {opinion.threshold:.2f}, operating point "
        f'{escape(opinion.point.replace("_", " "))}).</p><p class="small">{volume}</p></div>\n'
    )


def _film(views: Views, index: int, window: str, *, marked: bool, sided: bool) -> str:
    x, y = views.sheet.corner(index)
    box = f"{x} {y} {views.sheet.columns} {views.sheet.rows}"
    veil = f'<use class="marks" href="#s{views.number}-marks"/>' if marked else ""
    return (
        f'<div class="film{" sided" if sided else ""}"><svg viewBox="{box}" role="img" '
        f'aria-label="slice {index + 1}, {window} window"><use href="#s{views.number}-{window}"/>'
        f"{veil}</svg></div>"
    )


def _viewer(views: Views, marked: bool) -> str:
    first = views.key_slices[len(views.key_slices) // 2]
    panels = "".join(
        f"<figure>{_film(views, first, window, marked=marked, sided=True)}"
        f"<figcaption>{window}</figcaption></figure>"
        for window in views.uris
    )
    veil = '<label><input class="veil" type="checkbox" checked> AI marks</label>' if marked else ""
    sheet = views.sheet
    return (
        f'<section class="viewer" data-across="{sheet.across}" data-columns="{sheet.columns}" '
        f'data-rows="{sheet.rows}" data-count="{sheet.count}"><h3>All slices, large</h3>'
        f'<div class="panels">{panels}</div><div class="steer"><input type="range" min="1" '
        f'max="{sheet.count}" value="{first + 1}" aria-label="Slice of case {views.number}">'
        f"<output>slice {first + 1} of {sheet.count}</output>{veil}</div></section>\n"
    )


def _key_slices(views: Views, marked: bool) -> str:
    rows = [(window, False) for window in views.uris]
    if marked:
        rows.insert(1, (next(iter(views.uris)), True))
    text = []
    for window, veil in rows:
        figures = "".join(
            f'<figure data-slice="{index + 1}">'
            f"{_film(views, index, window, marked=veil, sided=True)}<figcaption>slice {index + 1}, "
            f"{views.position_mm[index]:.0f} mm</figcaption></figure>"
            for index in views.key_slices
        )
        what = f"{window} window{' with AI marks' if veil else ''}"
        text.append(f'<h3>Key slices, {what}</h3><div class="keys">{figures}</div>\n')
    return "".join(text)


def _all_slices(views: Views, marked: bool) -> str:
    window = next(iter(views.uris))
    figures = "".join(
        f'<figure data-slice="{index + 1}">'
        f"{_film(views, index, window, marked=marked, sided=False)}"
        f"<figcaption>{index + 1}</figcaption></figure>"
        for index in range(views.sheet.count)
    )
    return (
        f'<h3>All slices, {window} window</h3><div class="sheet" style="--printed-across: '
        f'{_printed_across(views.sheet)}">{figures}</div>\n'
    )


def _printed_across(sheet: Sheet) -> int:
    """The fewest tiles in a row with which all slices fit under the key slices on paper."""
    for across in range(8, sheet.count + 8):
        tile_mm = _PRINTED_WIDTH_MM / across * sheet.rows / sheet.columns + _PRINTED_CAPTION_MM
        if -(-sheet.count // across) * tile_mm <= _PRINTED_HEIGHT_MM:
            return across
    return sheet.count


def _form(number: int) -> str:
    """The same columns as answers.csv."""

    def choices(kind: str, column: str, words: Sequence[str]) -> str:
        return "".join(
            f'<label><input type="{kind}" name="{column}-{number}" value="{word}" '
            f'data-column="{column}"> {word}</label>'
            for word in words
        )

    ticks = "".join(
        f'<label><input type="checkbox" name="{cause}-{number}" data-column="{cause}"> '
        f"{_NAMES.get(cause, cause.replace('_', ' '))}</label>"
        for cause in CAUSES
    )

    def text(column: str, what: str) -> str:
        return (
            f'<fieldset><legend>{what}</legend><input type="text" name="{column}-{number}" '
            f'data-column="{column}" aria-label="{what}"></fieldset>'
        )

    return (
        f'<form data-case="{number}" autocomplete="off">'
        f"<fieldset><legend>Haemorrhage</legend>"
        f"{choices('radio', 'answer', ('positive', 'negative'))}</fieldset>"
        f"<fieldset><legend>Confidence</legend>{choices('radio', 'confidence', '12345')}</fieldset>"
        f"{text('location', 'Where')}"
        f"<fieldset><legend>Difficult by</legend>{ticks}</fieldset>"
        f"{text('comment', 'Comment')}</form>\n"
    )


def _resource(name: str) -> str:
    return files("ichtrain.review").joinpath(name).read_text(encoding="utf-8")
