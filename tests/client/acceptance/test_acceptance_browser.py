"""acceptance.html in a real browser: it asks nobody for anything, and fits phone and paper."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ichclient.acceptance.point import acceptance_of, point_by_sensitivity, set_point

OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """Debian's Chromium, driven by Playwright."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=OPTIONS)
        yield browser
        browser.close()


def test_it_is_one_file_that_works_everywhere(chromium: Any, accepted: Path) -> None:
    acceptance = acceptance_of(accepted)
    set_point(accepted, acceptance, point_by_sensitivity(acceptance, 0.5))
    file = accepted / "acceptance.html"
    for scheme, width in (("light", 1200), ("dark", 1200), ("light", 390)):
        context = chromium.new_context(
            color_scheme=scheme, viewport={"width": width, "height": 900}
        )
        page = context.new_page()
        asked: list[str] = []
        said: list[str] = []
        page.on("request", lambda request, asked=asked: asked.append(request.url))
        page.on("console", lambda message, said=said: said.append(message.text))
        page.goto(file.as_uri())
        assert [url for url in asked if not url.startswith("data:")] == [file.as_uri()]
        assert said == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        back = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (back == "rgb(12, 15, 20)") == (scheme == "dark")
        assert page.locator("svg circle.mark").count() >= 1
        page.locator("a[href='cases/0002/report.html']").first.click()
        assert page.url.endswith("cases/0002/report.html")
        context.close()
    page = chromium.new_page()
    page.goto(file.as_uri())
    assert page.pdf(prefer_css_page_size=True).startswith(b"%PDF")
    page.close()
