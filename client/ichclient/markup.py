"""Templates of a package -> pages in which text from elsewhere stays text.

Every value is escaped by jinja2 and freed of control characters, whoever wrote it. A page's policy
names its own style and script by their hashes, so markup that slipped in would not run.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined, Template
from markupsafe import Markup

from ichclient.plain import printable


def template(package: str, name: str) -> Template:
    """The template of that name in the package's folder `template/`; it may include others there.

    The filter `words` writes a name of a spec as people do.
    """
    return _environment(package).get_template(name)


def text_of(package: str, name: str) -> str:
    """A file of the package's folder `template/`."""
    return files(package).joinpath("template", name).read_text(encoding="utf-8")


def base_style() -> Markup:
    """Colours of both schemes, letters and the warning's banner, for every page."""
    return ours(text_of(__package__, "base.css"))


def ours(text: str) -> Markup:
    """Text that is markup already, and our own."""
    return Markup(text)


def source_of(text: str) -> str:
    """How a Content-Security-Policy names a style or script: by its hash, 'none' where empty."""
    if not text:
        return "'none'"
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def policy(style: str, script: str = "") -> str:
    """What a page in one file may do: show its style and its own pictures, run its script."""
    return (
        "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; "
        f"style-src {source_of(style)}; script-src {source_of(script)}"
    )


def in_words(name: str) -> str:
    """A name of a spec as people write it."""
    return name.replace("_", " ")


@cache
def _environment(package: str) -> Environment:
    environment = Environment(
        loader=FunctionLoader(lambda name: text_of(package, name)),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_readable,
    )
    environment.filters["words"] = in_words
    return environment


def _readable(value: Any) -> Any:
    """What jinja2 writes for a value: never a control character or a mark of direction."""
    if isinstance(value, Markup) or value is None:
        return "" if value is None else value
    return printable(value) if isinstance(value, str) else value
