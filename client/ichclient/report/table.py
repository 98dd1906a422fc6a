"""Result -> slices.csv: one row a slice, to be opened in a spreadsheet; columns in docs/report.md.

Numbers are written as numbers. Text is made harmless: a spreadsheet runs what begins like a
formula, so such text gets an apostrophe in front (OWASP, CSV Injection).
"""

from __future__ import annotations

import csv
import io

from ichclient.plain import printable
from ichclient.result import Result

_FORMULA_BEGINS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def csv_from_result(result: Result) -> str:
    """The text of slices.csv: RFC 4180, one row for each slice from the lowest up."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\r\n")
    members = list(result.member_scores)
    rank = {index: place for place, index in enumerate(result.top_slices, start=1)}
    writer.writerow(
        ["slice", "SOPInstanceUID", "position_mm", "score"]
        + [cell_from_text(f"score_{member}") for member in members]
        + ["lesion_mm2", "brain_mm2", "top_rank"]
    )
    for one in result.slices:
        writer.writerow(
            [one.index + 1, cell_from_text(one.SOPInstanceUID), one.position_mm, one.score]
            + [one.member_scores[member] for member in members]
            + [one.lesion_mm2, one.brain_mm2, rank.get(one.index, "")]
        )
    return buffer.getvalue()


def cell_from_text(text: str) -> str:
    """Text that a spreadsheet shows and does not run."""
    shown = printable(text).replace("\n", " ")
    # Blanks in front are looked through by some programs.
    return f"'{shown}" if shown.lstrip().startswith(_FORMULA_BEGINS) else shown
