"""The work list in a real browser: nothing acts on its reader, and nothing tells of patients."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..conftest import OPTIONS, Seen
from .conftest import (
    TOKEN,
    Phase,
    Served,
    Ward,
    key_of,
    keys,
    logged_in,
    outcome_of,
    until,
)

Serve = Callable[..., Served]
HOSTILE = (
    '<script>window.owned = 1</script>"><img src=x onerror="window.owned = 1">\u202e{{ 7 * 7 }}'
)


def test_it_asks_its_own_host_alone(
    opened: Callable[..., Seen], served: Serve, night: Ward
) -> None:
    server = served()
    seen = opened(server.url)
    night.add(10, 0, Phase.RECEIVING)
    until(seen.page, keys(1, 2, 6, 3, 4, 5, 7, 8, 9, 10))
    seen.page.click(f"#study-{key_of(1)} .open")
    seen.page.wait_for_url("**/report")
    outside = [url for url in seen.asked if not url.startswith((f"{server.url}/", "data:"))]
    assert outside == []
    assert seen.page.inner_text("body") == "one"


def test_hostile_text_in_every_attribute_stays_text(
    opened: Callable[..., Seen], served: Serve, ward: Ward
) -> None:
    who = dict.fromkeys(
        ("PatientName", "PatientID", "AccessionNumber", "StudyDate", "StudyTime",
         "StudyDescription"), HOSTILE,
    )  # fmt: skip
    ward.add(1, 1, Phase.REFUSED, code=HOSTILE, reason=HOSTILE, **who)
    ward.add(2, 90, outcome=outcome_of(0.9, "positive"), report=f"<title>{HOSTILE}</title>", **who)
    with sqlite3.connect(ward.folder.database) as connection:
        decisions = json.dumps({HOSTILE: "positive", "balanced": "negative"})
        connection.execute("UPDATE study SET decisions = ?, top_finding = ? WHERE key = ?",
                           (decisions, HOSTILE, key_of(2)))  # fmt: skip
    connection.close()
    seen = opened(served(identity=True, token=TOKEN, marking=True).url)
    page = logged_in(seen)
    ward.add(3, 0, Phase.RECEIVING, **who)
    until(page, keys(2, 1, 3))
    assert page.evaluate("window.owned") is None
    assert page.locator(".study img, .study script").count() == 0
    text = page.inner_text("#list")
    assert text.count('<img src=x onerror="window.owned = 1">') >= 12
    assert "49" not in text
    assert "\u202e" not in text
    page.click(f"#study-{key_of(2)} .open")
    page.wait_for_url("**/report")
    assert page.title() == f"Study {key_of(2)}"
    assert page.evaluate("window.owned") is None


def test_its_policy_stops_what_slipped_in(
    opened: Callable[..., Seen], served: Serve, night: Ward
) -> None:
    page = opened(served().url).page
    stopped = page.evaluate(
        """async () => {
          const stopped = [];
          addEventListener("securitypolicyviolation", (event) => {
            stopped.push(event.effectiveDirective);
          });
          new Image().src = "http://127.0.0.1:9/pixel";
          const script = document.createElement("script");
          script.textContent = "window.owned = 1";
          document.body.append(script);
          document.body.setAttribute("onclick", "window.owned = 1");
          document.body.click();
          await fetch("http://127.0.0.1:9/").catch(() => {});
          await new Promise((done) => { setTimeout(done, 50); });
          return [...new Set(stopped)].sort();
        }"""
    )
    assert stopped == ["connect-src", "img-src", "script-src-attr", "script-src-elem"]
    assert page.evaluate("window.owned") is None


def test_a_report_cannot_reach_the_work_list(
    opened: Callable[..., Seen], served: Serve, night: Ward
) -> None:
    (night.folder.result_of(key_of(1)) / "report.html").write_text(
        "<p>x</p><script>fetch('/api/studies').then((a) => a.text()).then("
        "(text) => { window.stolen = text; }, () => { window.stopped = 1; });</script>"
    )
    page = opened(f"{served().url}/studies/{key_of(1)}/report").page
    page.wait_for_function("window.stopped === 1")
    assert page.evaluate("window.stolen") is None
    assert page.evaluate("window.origin") == "null"


def test_the_browsers_history_holds_keys_and_no_patient(
    chromium: Any, served: Serve, night: Ward, tmp_path: Path
) -> None:
    server = served(identity=True)
    title = "<title>Positive: DOE JANE P77</title><p>one</p>"
    (night.folder.result_of(key_of(1)) / "report.html").write_text(title)
    profile = tmp_path / "profile"
    context = chromium.browser_type.launch_persistent_context(
        str(profile), executable_path=shutil.which("chromium"), args=OPTIONS
    )
    page = context.pages[0]
    page.goto(server.url)
    page.fill("#search", "doe jane")
    page.click(f"#study-{key_of(1)} .open")
    page.wait_for_url("**/report")
    context.close()
    with sqlite3.connect(profile / "Default" / "History") as connection:
        visited = connection.execute("SELECT url, title FROM urls ORDER BY id").fetchall()
    connection.close()
    assert visited == [
        (f"{server.url}/", "Work list"),
        (f"{server.url}/studies/{key_of(1)}/report", f"Study {key_of(1)}"),
    ]
    kept = [path for path in profile.rglob("*") if path.is_file()]
    assert kept
    for path in kept:
        content = path.read_bytes().lower()
        assert not any(word in content for word in (b"doe^jane", b"doe, jane", b"doe jane")), path
