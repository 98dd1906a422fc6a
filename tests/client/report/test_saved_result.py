"""result.json comes back as the result it was; anything else is refused with its place."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ichclient.errors import NothingFound, RefusedInput
from ichclient.report.page import page_from_result
from ichclient.result import Result, result_to_json
from ichclient.saved import result_from_file, result_from_json

JUNK = (None, True, -1, 1.5, "text", [], {}, [None], {"x": None}, 10**400)


def test_a_result_comes_back_as_it_was(result: Result) -> None:
    assert result_from_json(result_to_json(result)) == result
    bare = replace(result, combination=None, masks_sha256=None, lesion_volume_ml=None)
    assert result_from_json(result_to_json(bare)) == bare


def test_a_result_of_before_masks_were_kept_is_still_read(result: Result) -> None:
    old = json.loads(result_to_json(result))
    del old["combination"], old["masks_sha256"]
    assert result_from_json(json.dumps(old)).masks_sha256 is None


def test_a_folder_stands_for_its_result(result: Result, tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(result_to_json(result), encoding="utf-8")
    assert result_from_file(tmp_path) == result_from_file(tmp_path / "result.json") == result


def test_a_file_that_is_absent_or_no_text_is_told(tmp_path: Path) -> None:
    with pytest.raises(NothingFound, match="ichclient infer --out"):
        result_from_file(tmp_path / "result.json")
    (tmp_path / "result.json").write_bytes(b"\xff\xfe")
    with pytest.raises(RefusedInput, match="UTF-8"):
        result_from_file(tmp_path)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda found: found.update(schema_version=2), "schema_version 1"),
        (lambda found: found.update(disclaimer="A medical device."), "disclaimer"),
        (lambda found: found.update(study_score=1.5), "0 to 1"),
        (lambda found: found["slices"][3].update(score=-0.1), "0 to 1"),
        (lambda found: found["slices"][3].update(index=7), "indices"),
        (lambda found: found["slices"][3].update(position_mm=-900.0), "rise"),
        (lambda found: found["slices"][3].update(lesion_mm2=-1), "below 0"),
        (lambda found: found["slices"][3].update(member_scores={}), "members"),
        (lambda found: found["slices"][3].pop("score"), r"slices\[3\] has no 'score'"),
        (lambda found: found.update(extra=1), "unknown field 'extra'"),
        (lambda found: found.update(decisions={"balanced": "maybe"}), "decisions.balanced"),
        (lambda found: found.update(top_slices=[99]), "top_slices"),
    ],
)
def test_what_no_result_holds_is_refused_with_its_place(
    result: Result, change: Any, told: str
) -> None:
    found = json.loads(result_to_json(result))
    change(found)
    with pytest.raises(RefusedInput, match=told):
        result_from_json(json.dumps(found))


@pytest.mark.parametrize("text", ["", "[]", "null", "{", "NaN", "[" * 100_000])
def test_what_is_no_json_object_is_refused(text: str) -> None:
    with pytest.raises(RefusedInput):
        result_from_json(text)


def test_a_score_that_is_no_number_is_refused(result: Result) -> None:
    text = result_to_json(result).replace('"study_score": 0.85', '"study_score": NaN')
    with pytest.raises(RefusedInput, match="NaN"):
        result_from_json(text)


def places(found: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a JSON value."""
    items = found.items() if isinstance(found, dict) else enumerate(found)
    for key, value in items:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from places(value, (*path, key))


def test_junk_in_any_place_is_refused_or_drawn(result: Result) -> None:
    short = replace(
        result,
        slices=result.slices[:2],
        top_slices=(1,),
        series=replace(result.series, slices=2),
    )
    found = json.loads(result_to_json(short))
    drawn = refused = 0
    for *path, last in places(found):
        for junk in JUNK:
            changed = copy.deepcopy(found)
            holder = changed
            for key in path:
                holder = holder[key]
            holder[last] = junk
            try:
                read = result_from_json(json.dumps(changed))
            except RefusedInput:
                refused += 1
            else:
                assert page_from_result(read).endswith("</html>\n")
                drawn += 1
    assert refused > 500
    assert drawn > 50
