"""Result and pictures -> report.html: one file that asks for nothing and can do nothing.

Every text is escaped (`markup.py`), whoever wrote it. The page's own policy allows its one style,
its one script and embedded pictures, and nothing else: no address is asked for. Numbers that matter
are in the HTML, so it reads without the script.
"""

from __future__ import annotations

from importlib.metadata import version

from ichclient.markup import ours, policy, template, text_of
from ichclient.report import sections
from ichclient.report.curve import curve_from_result, slices_apart
from ichclient.report.pictures import Pictures
from ichclient.report.style import page_style
from ichclient.report.windows import BRAIN, SUBDURAL, Window
from ichclient.result import DISCLAIMER, Result

_WIDE, _NARROW = (1040, 320), (380, 280)


def page_from_result(result: Result, pictures: Pictures | None = None) -> str:
    """The text of report.html; without pictures it has the curve, the tables and the verdicts."""
    style = page_style()
    script = text_of(__package__, "page.js") if pictures else ""
    return template(__package__, "page.html").render(
        style=ours(style),  # named by its hash in the policy
        script=ours(script),
        policy=policy(style, script),
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


def _window_words(window: Window) -> str:
    return f"L {window.level_hu:.0f} W {window.width_hu:.0f}"
