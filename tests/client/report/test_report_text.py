"""The page says what the result holds, and text from elsewhere stays text."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

from ichclient.report.curve import slices_apart
from ichclient.report.page import page_from_result
from ichclient.report.pictures import Pictures
from ichclient.report.sections import headline, ranges, tone
from ichclient.result import DISCLAIMER, Judgement, Notice, Result
from ichcore import Decision

HOSTILE = [
    "<script>window.owned = 1</script>",
    '"><img src=x onerror="window.owned=1">',
    "' onload='window.owned=1",
    "javascript:window.owned=1",
    "</style></script><svg onload=window.owned=1>",
    "{{ 7 * 7 }}{% raw %}",
    "]]>--><!--",
    "\u202egnp.exe\u2066\x00\x07\x1b[2J\u2028",
]
ALLOWED = {
    "html", "head", "meta", "title", "link", "style", "body", "p", "main", "header", "h1", "h2",
    "h3", "section", "div", "ul", "ol", "li", "dl", "dt", "dd", "span", "b", "small", "code",
    "bdi", "a", "svg", "line", "text", "rect", "polyline", "circle", "path", "table", "thead",
    "tbody", "tr", "th", "td", "figure", "figcaption", "img", "label", "input", "fieldset",
    "legend", "details", "summary", "footer", "script",
}  # fmt: skip


class Page(HTMLParser):
    """Tags, attributes and words of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words += data


def with_text_everywhere(result: Result, text: str) -> Result:
    """The result with the same text wherever a file or a server may have written it."""
    verdict = Judgement(text, text, {"SeriesNumber": text, "SeriesDescription": text}, text)
    members = {text: 0.9, "ich_sdh": 0.8}
    slices = tuple(
        replace(one, SOPInstanceUID=text, member_scores={text: one.score, "ich_sdh": one.score})
        for one in result.slices
    )
    return replace(
        result,
        study=replace(result.study, StudyInstanceUID=text),
        series=replace(result.series, SeriesInstanceUID=text, SeriesDescription=text),
        member_scores=members,
        decisions={text: Decision.POSITIVE, "balanced": Decision.NEGATIVE},
        slices=slices,
        considered=(verdict,),
        skipped_files=(verdict,),
        warnings=(Notice(text, text),),
        bundle=replace(result.bundle, ensemble=text, provenance=text, server_version=text),
        timings={text: 1.0},
        combination=replace(
            result.combination,  # type: ignore[arg-type]
            findings={text: text},
            thresholds={text: 0.2},
            study_rule=text,
        ),
    )


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text_wherever_it_stands(
    result: Result, pictures: Pictures, text: str
) -> None:
    page = Page(page_from_result(with_text_everywhere(result, text), pictures))
    ours = Page(page_from_result(with_text_everywhere(result, "plain"), pictures))
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in ours.tags]
    assert {tag for tag, _ in page.tags} <= ALLOWED
    assert [set(attributes) for _, attributes in page.tags] == [
        set(attributes) for _, attributes in ours.tags
    ]
    shown = "".join(char if char.isprintable() else "?" for char in text)
    assert page.words.count(shown) >= 12


def test_no_control_character_and_no_turn_of_direction_reaches_the_page(result: Result) -> None:
    text = page_from_result(with_text_everywhere(result, HOSTILE[-1]))
    assert all(char.isprintable() or char == "\n" for char in text)


def test_links_lead_into_the_page_alone_and_pictures_are_embedded(
    result: Result, pictures: Pictures
) -> None:
    page = Page(page_from_result(result, pictures))
    names = {attributes["id"] for _, attributes in page.tags if attributes.get("id")}
    for tag, attributes in page.tags:
        assert not any(name.startswith("on") or name == "style" for name in attributes), tag
        for name in ("href", "src", "action", "data", "srcset", "poster"):
            target = attributes.get(name)
            if target is None:
                continue
            assert target.startswith(("#", "data:image/webp;base64,", "data:,"))
            assert not target.startswith("#") or target[1:] in names
    assert "://" not in page_from_result(result, pictures)
    assert "url(" not in page_from_result(result, pictures)


def test_the_policy_names_the_pages_own_style_and_script(
    result: Result, pictures: Pictures
) -> None:
    page = Page(page_from_result(result, pictures))
    (policy,) = [
        attributes["content"]
        for tag, attributes in page.tags
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert len(re.findall(r"(?:style|script)-src 'sha256-[\w+/]{43}='", policy)) == 2


def test_the_page_says_what_the_result_holds(result: Result, pictures: Pictures) -> None:
    words = " ".join(Page(page_from_result(result, pictures)).words.split())
    for told in (
        DISCLAIMER, "0.850", "16.5 mL", "subdural haemorrhage", "weight 0.75", "threshold 0.500",
        "sharp_kernel", "notes.txt", "spec:aa engines:bb", "a" * 64, "2.51.0", "2.50 s",
        "Chosen: the best of those accepted.", "smoothed maximum", result.masks_sha256,
        result.series.SeriesInstanceUID,
    ):  # fmt: skip
        assert str(told) in words, told
    assert words.count(DISCLAIMER) >= 2


def test_weights_that_are_not_known_are_left_out_and_that_is_told(result: Result) -> None:
    words = Page(page_from_result(replace(result, combination=None))).words
    assert "weight 0" not in words
    assert "threshold 0" not in words
    assert "Weights and thresholds are not shown" in words


def test_a_volume_that_is_not_known_is_said_to_be_unknown(result: Result) -> None:
    page = page_from_result(replace(result, lesion_volume_ml=None))
    assert "unknown" in Page(page).words


@pytest.mark.parametrize(
    ("decisions", "line", "colour"),
    [
        ({"a": "positive", "b": "positive"}, "Positive at all 2 operating points", "positive"),
        ({"balanced": "negative"}, "Negative at balanced", "negative"),
        (
            {"high_sensitivity": "positive", "balanced": "negative", "c": "negative"},
            "Positive at high sensitivity; negative at balanced and c",
            "positive",
        ),
        ({"a": "indeterminate", "b": "negative"}, "Indeterminate at a; negative at b",
         "indeterminate"),
    ],
)  # fmt: skip
def test_the_headline_is_the_decision(
    result: Result, decisions: dict[str, Any], line: str, colour: str
) -> None:
    decided = replace(result, decisions={key: Decision(word) for key, word in decisions.items()})
    assert headline(decided) == line
    assert tone(decided) == colour


def test_indeterminate_is_explained_where_it_is_said(result: Result) -> None:
    assert "too little brain was seen to call it negative" in page_from_result(result)
    sure = replace(result, decisions={"balanced": Decision.NEGATIVE})
    assert "to call it negative" not in page_from_result(sure)


def test_slices_that_do_not_count_are_named(result: Result) -> None:
    words = " ".join(Page(page_from_result(result)).words.split())
    assert f"slices with too little brain ({ranges(slices_apart(result))})" in words


def test_slices_are_listed_in_words() -> None:
    assert ranges([0, 2, 3, 4, 9]) == "1, 3 to 5, 10"
    assert ranges([]) == ""
