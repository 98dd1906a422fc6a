"""Rows -> HTML: the page, the list inside it that is fetched again and again, and the login form.

The list is drawn here alone: the page's script puts a newer one in its place as it comes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version

from ichclient.markup import base_style, ours, source_of, template, text_of
from ichclient.result import DISCLAIMER
from ichclient.worklist.access import WorklistOptions
from ichclient.worklist.order import Rule
from ichclient.worklist.rows import Row


@dataclass(frozen=True)
class Listing:
    """All that the list shows; `counts` are tone, number and word."""

    waiting: Sequence[Row]
    earlier: Sequence[Row]
    read: Sequence[Row]
    counts: Sequence[tuple[str, int, str]]

    @property
    def all(self) -> int:
        """How many studies there are."""
        return len(self.waiting) + len(self.earlier) + len(self.read)


def list_from_rows(listing: Listing, options: WorklistOptions, rule: Rule) -> str:
    """The list as a piece of HTML."""
    return template(__package__, "list.html").render(
        listing=listing,
        marking=options.marking,
        marked=rule.marked,
        longest_min=_number(rule.longest_wait_s / 60),
        shown_h=_number(rule.shown_s / 3600),
    )


def page_from_list(piece: str, tag: str, options: WorklistOptions, *, login: bool) -> str:
    """The whole page around the list, which has the entity tag `tag`."""
    return template(__package__, "page.html").render(
        style=ours(_style()), script=ours(_script()), piece=ours(piece), tag=tag, login=login,
        disclaimer=DISCLAIMER, version=version("ich-triton"),
        longest_min=_number(options.rule.longest_wait_s / 60),
        operating_point=options.rule.operating_point,
    )  # fmt: skip


def login_page(told: str = "") -> str:
    """The form that asks for the token, with what was wrong before."""
    return template(__package__, "login.html").render(
        style=ours(_style()), disclaimer=DISCLAIMER, told=told
    )


def policy() -> str:
    """What these pages may do: their own style and script, and requests to their own server."""
    return (
        "default-src 'none'; img-src data:; connect-src 'self'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'; "
        f"style-src {source_of(_style())}; script-src {source_of(_script())}"
    )


def _number(value: float) -> str:
    return f"{value:g}"


def _style() -> str:
    return template(__package__, "page.css").render(base=base_style(), disclaimer=DISCLAIMER)


def _script() -> str:
    return text_of(__package__, "page.js")
