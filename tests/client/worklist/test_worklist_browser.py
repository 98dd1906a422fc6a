"""The work list in a real browser: it is live, and can be read and used by everyone."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise

import pytest

from ichclient.audit.log import AuditLog
from ichclient.worklist.access import WorklistOptions
from ichclient.worklist.marks import marks_of
from ichclient.worklist.routes import Worklist
from ichclient.worklist.server import WorklistServer

from ..conftest import CONTRASTS, PHONE, Seen
from .conftest import (
    TOKEN,
    Phase,
    Running,
    Served,
    Ward,
    key_of,
    keys,
    logged_in,
    outcome_of,
    shown,
    until,
)

Serve = Callable[..., Served]


def test_a_study_that_comes_appears_where_it_belongs(
    opened: Callable[..., Seen], served: Serve, night: Ward
) -> None:
    seen = opened(served().url)
    assert shown(seen.page) == keys(1, 2, 6, 3, 4, 5, 7, 8, 9)
    night.add(10, 0, outcome=outcome_of(0.95, "positive"), report="<p>ten</p>")
    until(seen.page, keys(10, 2, 1, 6, 3, 4, 5, 7, 8, 9))
    assert "fresh" in seen.page.get_attribute(f"#study-{key_of(10)}", "class").split()
    assert "fresh" not in seen.page.get_attribute(f"#study-{key_of(1)}", "class").split()
    assert seen.page.inner_text("#news") == "1 new study"
    assert seen.said == []


def test_one_click_anywhere_on_a_row_opens_the_report(
    opened: Callable[..., Seen], served: Serve, night: Ward
) -> None:
    page = opened(served().url).page
    box = page.locator(f"#study-{key_of(1)} .wait").bounding_box()
    page.mouse.click(box["x"] + 5, box["y"] + 5)
    page.wait_for_url(f"**/studies/{key_of(1)}/report")
    assert page.inner_text("body") == "one"
    page.go_back()
    until(page, keys(1, 2, 6, 3, 4, 5, 7, 8, 9))
    assert page.locator(f"#study-{key_of(3)} a").count() == 0, "a refused study has no report"


def test_search_finds_by_accession_number_key_and_patient(
    opened: Callable[..., Seen], served: Serve, night: Ward
) -> None:
    seen = opened(served(identity=True).url)
    page = seen.page
    for text, found in {
        "acc1": [1], "acc": [1, 2], "jane doe": [1], "p77": [1], key_of(5)[-3:]: [5], "zebra": [],
        "": [1, 2, 6, 3, 4, 5, 7, 8, 9],
    }.items():  # fmt: skip
        page.fill("#search", text)
        assert shown(page) == keys(*found), text
        assert page.locator(".none-found").is_visible() == (found == [])
    page.keyboard.press("Tab")
    page.keyboard.press("/")
    page.keyboard.type("acc2")
    assert shown(page) == keys(2)
    night.add(10, 0, Phase.RECEIVING, AccessionNumber="ACC22")
    until(page, keys(2, 10))
    assert page.input_value("#search") == "acc2"
    page.keyboard.press("Enter")
    assert page.url.endswith("/"), "what was searched for is in no address"
    assert seen.said == []


def test_a_server_that_was_away_is_told_and_the_page_is_right_again(
    opened: Callable[..., Seen], night: Ward
) -> None:
    options = WorklistOptions(port=0)
    worklist = Worklist(night.folder, options, AuditLog(night.folder.path))
    with Running(WorklistServer(options, worklist)) as port:
        page = opened(f"http://127.0.0.1:{port}/").page
        page.wait_for_selector("text=as of")
    page.wait_for_selector("#alarm:not([hidden])")
    assert "does not answer" in page.inner_text("#alarm")
    assert page.evaluate("Number(getComputedStyle(document.getElementById('list')).opacity)") < 1
    assert page.inner_text("#words") == "not connected"
    night.add(10, 0, outcome=outcome_of(0.95, "positive"))
    with Running(WorklistServer(WorklistOptions(port=port), worklist)):
        until(page, keys(10, 2, 1, 6, 3, 4, 5, 7, 8, 9))
        page.wait_for_selector("#alarm", state="hidden")
        assert page.inner_text("#words").startswith("as of")


def test_logging_in_marking_and_taking_back(
    opened: Callable[..., Seen], served: Serve, night: Ward
) -> None:
    server = served(token=TOKEN, marking=True)
    page = logged_in(opened(server.url))
    assert TOKEN not in page.url
    assert page.evaluate("document.cookie") == ""
    page.click(f"#study-{key_of(1)} .mark button")
    until(page, keys(2, 6, 3, 4, 5, 7, 8, 9))
    assert list(marks_of(night.folder)) == [key_of(1)]
    page.click("#read summary")
    until(page, keys(2, 6, 3, 4, 5, 7, 8, 9, 1))
    page.click(f"#study-{key_of(1)} .mark button")
    until(page, keys(1, 2, 6, 3, 4, 5, 7, 8, 9))
    assert marks_of(night.folder) == {}
    page.click("text=Log out")
    page.wait_for_selector("#token")


def test_a_wrong_token_is_told(opened: Callable[..., Seen], served: Serve, night: Ward) -> None:
    page = opened(served(token=TOKEN).url).page
    page.fill("#token", "wrong")
    page.click("button")
    page.wait_for_selector("text=That is not the token.")
    assert page.locator(".study").count() == 0


def test_a_session_that_ends_asks_for_the_token_again(
    opened: Callable[..., Seen], served: Serve, night: Ward
) -> None:
    late = [0.0]
    page = logged_in(opened(served(token=TOKEN, clock=lambda: time.time() + late[0]).url))
    late[0] = 13 * 3600
    page.wait_for_selector("#token")
    assert page.locator(".study").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_contrast_in_both_schemes(
    opened: Callable[..., Seen], served: Serve, night: Ward, scheme: str
) -> None:
    server = served(token=TOKEN, marking=True, identity=True)
    seen = opened(server.url, color_scheme=scheme)
    found = seen.page.evaluate(CONTRASTS)
    page = logged_in(seen)
    page.wait_for_selector("text=as of")
    page.click(f"#study-{key_of(1)} .mark button")
    until(page, keys(2, 6, 3, 4, 5, 7, 8, 9))
    page.click("#read summary")
    found += page.evaluate(CONTRASTS)
    assert len(found) > 80
    assert [words for ratio, words in found if ratio < 4.5] == []
    red, _, _ = page.evaluate(
        "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
    )
    assert (red < 40) == (scheme == "dark")


@pytest.mark.parametrize("width", [PHONE["width"], 320, 768])
def test_a_narrow_screen_shows_it_without_scrolling_sideways(
    opened: Callable[..., Seen], served: Serve, night: Ward, width: int
) -> None:
    night.add(11, 1, Phase.FAILED, reason="x" * 400, AccessionNumber="1" * 64)
    size = {"width": width, "height": 844}
    page = opened(served(identity=True).url, viewport=size, is_mobile=True, has_touch=True).page
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.tap(f"#study-{key_of(1)} .open")
    page.wait_for_url("**/report")


def test_it_prints_the_list_with_the_warning(
    opened: Callable[..., Seen], served: Serve, night: Ward
) -> None:
    page = opened(served().url, color_scheme="dark").page
    assert page.pdf(prefer_css_page_size=True).startswith(b"%PDF-")
    page.emulate_media(media="print", color_scheme="dark")
    assert page.locator(".banner").is_visible()
    assert not page.locator("#search").is_visible()
    assert page.locator(f"#study-{key_of(9)}").is_visible()
    assert "rgb(255, 255, 255)" in page.evaluate("getComputedStyle(document.body).backgroundColor")


def test_it_reads_and_marks_without_the_script(
    opened: Callable[..., Seen], served: Serve, night: Ward
) -> None:
    seen = opened(served(token=TOKEN, marking=True).url, java_script_enabled=False)
    page = seen.page
    page.fill("#token", TOKEN)
    page.click("button")
    page.wait_for_selector("#waiting")
    page.click(f"#study-{key_of(1)} .mark button")
    page.wait_for_selector("#read")
    assert list(marks_of(night.folder)) == [key_of(1)]


def test_keyboard_and_screen_readers_get_everything(
    opened: Callable[..., Seen], served: Serve, night: Ward
) -> None:
    page = logged_in(opened(served(token=TOKEN, marking=True).url))
    levels = page.evaluate(
        "[...document.querySelectorAll('h1, h2, h3')].map((one) => Number(one.tagName[1]))"
    )
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 2 for before, after in pairwise(levels))
    assert page.get_attribute("html", "lang") == "en-GB"
    assert page.evaluate(
        "[...document.querySelectorAll('input')].every((one) => one.labels.length)"
    )
    page.focus(f"#study-{key_of(1)} .open")
    night.add(10, 0, outcome=outcome_of(0.95, "positive"), report="<p>ten</p>")
    until(page, keys(10, 2, 1, 6, 3, 4, 5, 7, 8, 9))
    assert page.evaluate("document.activeElement.closest('.study').id") == f"study-{key_of(1)}"
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/studies/{key_of(1)}/report")
