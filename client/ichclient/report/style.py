"""The style of pages that are one file: that of a report, and of an acceptance."""

from __future__ import annotations

from ichclient.markup import base_style, template
from ichclient.report.windows import BRAIN, SUBDURAL, filter_from_windows
from ichclient.result import DISCLAIMER


def page_style() -> str:
    """The text of their style sheet."""
    brightness, contrast = filter_from_windows(SUBDURAL, BRAIN)
    return template(__package__, "page.css").render(
        base=base_style(),
        disclaimer=DISCLAIMER,
        brightness=f"{brightness:.5f}",
        contrast=f"{contrast:.5f}",
    )
