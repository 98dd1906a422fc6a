"""Result and pictures -> report.html: one file that asks for nothing and can do nothing.

Every text is escaped by jinja2 and freed of control characters, whoever wrote it. The page's own
policy allows its one style, its one script and embedded pictures, and nothing else: no address is
asked for, and markup that slipped in would not run. Numbers that matter are in the HTML, so it
reads without the script.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from ichclient.plain import printable
from ichclient.report import sections
from ichclient.report.curve import curve_from_result, slices_apart
from ichclient.report.pictures import Pictures
from ichclient.report.windows import BRAIN, SUBDURAL, Window, filter_from_windows
from ichclient.result import DISCLAIMER, Result

_WIDE, _NARROW = (1040, 320), (380, 280)


def page_from_result(result: Result, pictures: Pictures | None = None) -> str:
    """The text of report.html; without pictures it has the curve, the tables and the verdicts."""
    brightness, contrast = filter_from_windows(SUBDURAL, BRAIN)
    style = _template("page.css").render(
        disclaimer=DISCLAIMER, brightness=f"{brightness:.5f}", contrast=f"{contrast:.5f}"
    )
    script = _file("page.js") if pictures else ""
    return _template("page.html").render(
        style=Markup(style),  # ours, and named by its hash in the policy
        script=Markup(script),
        policy=_policy(style, script),
        disclaimer=DISCLAIMER,
        version=version("ich-triton"),
        result=result,
        pictures=pictures,
        shown={picture.index for picture in pictures.slices} if pictures else set(),
        curves=[curve_from_result(result, *size) for size in (_WIDE, _NARROW)],
        sections=sections,
        apart=slices_apart(result),
        window_names={"brain": _window_words(BRAIN), "subdural": _window_words(SUBDURAL)},
    )


@cache
def _template(name: str) -> Template:
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_readable,
    )
    environment.filters["words"] = sections.in_words
    return environment.from_string(_file(name))


def _readable(value: Any) -> Any:
    """What jinja2 writes for a value: never a control character or a mark of direction."""
    if isinstance(value, Markup) or value is None:
        return "" if value is None else value
    return printable(value) if isinstance(value, str) else value


def _policy(style: str, script: str) -> str:
    scripts = _source(script) if script else "'none'"
    return (
        "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; "
        f"style-src {_source(style)}; script-src {scripts}"
    )


def _source(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _window_words(window: Window) -> str:
    return f"L {window.level_hu:.0f} W {window.width_hu:.0f}"


def _file(name: str) -> str:
    return files(__package__).joinpath("template", name).read_text(encoding="utf-8")
