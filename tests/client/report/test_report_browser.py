"""The page in a real browser: it works, asks nobody for anything, and can be read by everyone."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from ichclient.report.page import page_from_result
from ichclient.report.pictures import Pictures
from ichclient.result import Notice, Result

from ..conftest import CONTRASTS, PHONE, Seen


@pytest.fixture(scope="session")
def report_file(result: Result, pictures: Pictures, tmp_path_factory: Any) -> Path:
    file = Path(tmp_path_factory.mktemp("report")) / "report.html"
    file.write_text(page_from_result(result, pictures), encoding="utf-8")
    return file


@pytest.fixture
def opened(chromium: Any, report_file: Path) -> Iterator[Callable[..., Seen]]:
    contexts = []

    def open_page(file: Path = report_file, **options: Any) -> Seen:
        options.setdefault("viewport", {"width": 1280, "height": 900})
        contexts.append(chromium.new_context(**options))
        seen = Seen(contexts[-1].new_page())
        seen.page.goto(file.as_uri())
        return seen

    yield open_page
    for context in contexts:
        context.close()


def greys(locator: Any, size: int = 256) -> NDArray[np.float64]:
    """What is to be seen of an element, as grey values of one size."""
    with Image.open(io.BytesIO(locator.screenshot())) as image:
        return np.asarray(image.convert("L").resize((size, size)), dtype=np.float64)


def test_the_page_asks_for_nothing_and_complains_of_nothing(
    opened: Callable[..., Seen], report_file: Path
) -> None:
    seen = opened()
    outside = [url for url in seen.asked if not url.startswith("data:")]
    assert outside == [report_file.as_uri()]
    assert seen.said == []
    assert seen.page.evaluate(
        "[...document.images].every((image) => image.complete && image.naturalWidth > 0)"
    )


def test_its_policy_stops_what_would_leave_the_page(opened: Callable[..., Seen]) -> None:
    page = opened().page
    stopped = page.evaluate(
        """async () => {
          const stopped = [];
          addEventListener("securitypolicyviolation", (event) => {
            stopped.push(event.effectiveDirective);
          });
          new Image().src = "http://127.0.0.1:9/pixel";
          const script = document.createElement("script");
          script.textContent = "window.owned = 1";
          const style = document.createElement("style");
          style.textContent = "body { display: none }";
          document.body.append(script, style);
          document.body.setAttribute("onclick", "window.owned = 1");
          document.body.click();
          await fetch("http://127.0.0.1:9/").catch(() => {});
          await new Promise((done) => { setTimeout(done, 50); });
          return [...new Set(stopped)].sort();
        }"""
    )
    assert stopped == [
        "connect-src",
        "img-src",
        "script-src-attr",
        "script-src-elem",
        "style-src-elem",
    ]
    assert page.evaluate("window.owned") is None


def test_hostile_text_is_shown_and_does_nothing(
    opened: Callable[..., Seen], result: Result, pictures: Pictures, tmp_path: Path
) -> None:
    text = '<script>window.owned = 1</script>"><img src=x onerror="window.owned = 1">'
    hostile = replace(
        result,
        series=replace(result.series, SeriesDescription=text),
        warnings=(Notice(text, text),),
    )
    file = tmp_path / "report.html"
    file.write_text(page_from_result(hostile, pictures), encoding="utf-8")
    seen = opened(file)
    assert seen.page.evaluate("window.owned") is None
    assert seen.said == []
    assert text in seen.page.inner_text(".what")
    assert text in seen.page.title()


def test_the_slider_moves_the_picture_by_mouse_and_keys(opened: Callable[..., Seen]) -> None:
    page = opened().page
    slider, stage, words = (page.locator(f"#{name}") for name in ("slider", "stage", "words"))
    assert words.inner_text().startswith("Slice 11 of 24"), "it begins at the top slice"
    slider.focus()
    before = greys(stage)
    page.keyboard.press("ArrowRight")
    assert words.inner_text().startswith("Slice 12 of 24")
    assert np.abs(greys(stage) - before).mean() > 1
    page.keyboard.press("Home")
    assert slider.get_attribute("aria-valuetext") == words.inner_text()
    assert words.inner_text().startswith("Slice 1 of 24")
    stage.click()
    stage.hover()
    page.mouse.wheel(0, 100)
    page.wait_for_function("document.getElementById('words').textContent.startsWith('Slice 2 ')")
    box = slider.bounding_box()
    page.mouse.click(box["x"] + box["width"] - 2, box["y"] + box["height"] / 2)
    assert words.inner_text().startswith("Slice 24 of 24")


def test_a_point_of_the_curve_and_a_small_picture_lead_to_their_slice(
    opened: Callable[..., Seen],
) -> None:
    page = opened().page
    page.locator('.curve.wide a[href="#slice-5"]').click()
    assert page.locator("#words").inner_text().startswith("Slice 5 of 24")
    page.locator("#slice-19 a").click()
    assert page.locator("#words").inner_text().startswith("Slice 19 of 24")
    assert page.evaluate("document.activeElement.id") == "slider"


def test_the_switches_change_window_and_outline(opened: Callable[..., Seen]) -> None:
    page = opened().page
    stage = page.locator("#stage")
    marked = greys(stage)
    page.uncheck("#outlines")
    brain = greys(stage)
    assert np.abs(brain - marked).max() > 20
    top_brain = greys(page.locator(".tops li:first-child .picture").nth(0))
    top_subdural = greys(page.locator(".tops li:first-child .picture").nth(1))
    tissue = (top_brain > 40) & (top_brain < 215)
    assert np.median(np.abs(brain - top_brain)[tissue]) <= 4, "the filter makes the brain window"
    page.check("#subdural")
    assert np.median(np.abs(greys(stage) - top_subdural)[tissue]) <= 4
    assert np.abs(top_brain - top_subdural).mean() > 10


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_contrast_in_both_schemes(opened: Callable[..., Seen], scheme: str) -> None:
    page = opened(color_scheme=scheme).page
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    found = page.evaluate(CONTRASTS)
    assert len(found) > 200
    assert [words for ratio, words in found if ratio < 4.5] == []
    red, _, _ = page.evaluate(
        "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
    )
    assert (red < 40) == (scheme == "dark")


def test_a_phone_shows_it_without_scrolling_sideways(opened: Callable[..., Seen]) -> None:
    page = opened(viewport=PHONE, is_mobile=True, has_touch=True).page
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    assert page.locator(".curve.narrow").is_visible()
    assert not page.locator(".curve.wide").is_visible()
    page.locator("summary").first.tap()
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]


def test_it_prints_with_everything_that_matters(opened: Callable[..., Seen]) -> None:
    page = opened(color_scheme="dark").page
    assert page.pdf(prefer_css_page_size=True).startswith(b"%PDF-")
    page.emulate_media(media="print", color_scheme="dark")
    assert page.locator(".banner").is_visible()
    assert not page.locator("#viewer").is_visible()
    assert page.locator(".numbers tr").nth(3).bounding_box()["height"] > 5
    assert page.locator("#slice-24 img").is_visible()
    assert "rgb(255, 255, 255)" in page.evaluate("getComputedStyle(document.body).backgroundColor")


def test_it_reads_without_the_script(opened: Callable[..., Seen]) -> None:
    page = opened(java_script_enabled=False).page
    assert not page.locator("#viewer").is_visible()
    assert page.locator("#slice-24 img").is_visible()
    narrow = greys(page.locator("#slice-11 .picture"), 64)
    page.check("#subdural")
    assert np.abs(greys(page.locator("#slice-11 .picture"), 64) - narrow).mean() > 5


def test_headings_names_and_alternatives_are_there(opened: Callable[..., Seen]) -> None:
    page = opened().page
    levels = page.evaluate(
        "[...document.querySelectorAll('h1, h2, h3')].map((one) => Number(one.tagName[1]))"
    )
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert page.evaluate("[...document.images].every((image) => image.alt.length > 20)")
    nameless = page.evaluate(
        "[...document.querySelectorAll('input')].filter((one) => !one.labels.length).length"
    )
    assert nameless == 0
    assert page.get_attribute("html", "lang") == "en-GB"
    twice = page.evaluate(
        "(() => { const ids = [...document.querySelectorAll('[id]')].map((one) => one.id);"
        " return ids.length - new Set(ids).size; })()"
    )
    assert twice == 0
