"""Templates -> pages that ask for nothing: escaping, the shared style, and the page's own policy.

The one file that knows jinja2. Every text is escaped and freed of control characters.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from ichclient.plain import printable
from ichclient.report.sections import in_words
from ichclient.report.windows import BRAIN, SUBDURAL, filter_from_windows
from ichclient.result import DISCLAIMER


@cache
def template(name: str) -> Template:
    """A file of the folder `template`, ready to be filled."""
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_readable,
    )
    environment.filters["words"] = in_words
    return environment.from_string(text_of(name))


def page_style() -> str:
    """The style that all pages share."""
    brightness, contrast = filter_from_windows(SUBDURAL, BRAIN)
    return template("page.css").render(
        disclaimer=DISCLAIMER, brightness=f"{brightness:.5f}", contrast=f"{contrast:.5f}"
    )


def policy(style: str, script: str = "") -> str:
    """What a page may do: show its style and embedded pictures, run its script, and no more."""
    scripts = _source(script) if script else "'none'"
    return (
        "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; "
        f"style-src {_source(style)}; script-src {scripts}"
    )


def as_it_is(text: str) -> Markup:
    """A text of ours, not to be escaped."""
    return Markup(text)


def text_of(name: str) -> str:
    """A file of the folder `template` as it is."""
    return files(__package__).joinpath("template", name).read_text(encoding="utf-8")


def _readable(value: Any) -> Any:
    """What jinja2 writes for a value: never a control character or a mark of direction."""
    if isinstance(value, Markup) or value is None:
        return "" if value is None else value
    return printable(value) if isinstance(value, str) else value


def _source(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
