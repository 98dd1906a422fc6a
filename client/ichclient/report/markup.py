"""The folder `template` -> pages that ask for nothing: the shared style and a page's own policy."""

from __future__ import annotations

from ichclient import markup
from ichclient.markup import Template, as_it_is, base_style, source_of
from ichclient.report.windows import BRAIN, SUBDURAL, filter_from_windows
from ichclient.result import DISCLAIMER

__all__ = ["as_it_is", "page_style", "policy", "template", "text_of"]


def template(name: str) -> Template:
    """A file of the folder, ready to be filled."""
    return markup.template(__package__, name)


def text_of(name: str) -> str:
    """A file of the folder as it is."""
    return markup.text_of(__package__, name)


def page_style() -> str:
    """The style that all pages which are one file share."""
    brightness, contrast = filter_from_windows(SUBDURAL, BRAIN)
    return template("page.css").render(
        base=base_style(),
        disclaimer=DISCLAIMER,
        brightness=f"{brightness:.5f}",
        contrast=f"{contrast:.5f}",
    )


def policy(style: str, script: str = "") -> str:
    """What a page may do: show its style and embedded pictures, run its script, and no more."""
    return (
        "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; "
        f"style-src {source_of(style)}; script-src {source_of(script)}"
    )
