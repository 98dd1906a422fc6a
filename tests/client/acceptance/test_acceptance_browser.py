"""acceptance.html in a real browser: it asks nobody for anything, and fits phone and paper."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ichclient.acceptance.point import acceptance_of, point_by_sensitivity, set_point


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
