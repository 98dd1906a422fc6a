"""slices.csv holds one row a slice, and nothing in it that a spreadsheet would run."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import pytest

from ichclient.report.table import cell_from_text, csv_from_result
from ichclient.result import Result


def rows(result: Result) -> list[list[str]]:
    return list(csv.reader(io.StringIO(csv_from_result(result), newline="")))


def test_every_slice_has_a_row_with_its_numbers(result: Result) -> None:
    heading, *body = rows(result)
    assert heading == [
        "slice", "SOPInstanceUID", "position_mm", "score", "score_ich_any", "score_ich_sdh",
        "lesion_mm2", "brain_mm2", "top_rank",
    ]  # fmt: skip
    assert len(body) == len(result.slices)
    eleventh = dict(zip(heading, body[10], strict=True))
    assert eleventh["slice"] == "11"
    assert eleventh["SOPInstanceUID"] == result.slices[10].SOPInstanceUID
    assert float(eleventh["score"]) == result.slices[10].score
    assert float(eleventh["position_mm"]) == result.slices[10].position_mm
    assert eleventh["top_rank"] == "1"
    assert dict(zip(heading, body[0], strict=True))["top_rank"] == ""


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "\uff1d1", "=cmd|' /C calc'!A0"]
)
def test_text_that_begins_like_a_formula_is_made_text(text: str) -> None:
    assert cell_from_text(text).startswith(("'", "?"))


def test_hostile_names_stay_in_their_cell(result: Result) -> None:
    first = replace(result.slices[0], SOPInstanceUID='=HYPERLINK("http://x","a")\r\n,"b\u202e')
    _, body, *_ = rows(replace(result, slices=(first, *result.slices[1:])))
    assert len(body) == 9
    assert body[1] == '\'=HYPERLINK("http://x","a")? ,"b?'


def test_ordinary_text_and_numbers_are_left_alone(result: Result) -> None:
    assert cell_from_text("1.2.840.10008") == "1.2.840.10008"
    first = replace(result.slices[0], position_mm=-120.5)
    assert rows(replace(result, slices=(first, *result.slices[1:])))[1][2] == "-120.5"
