"""`ichclient report` draws a result again without a server, and never over another study."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from ichclient.cli import main
from ichclient.errors import CannotWrite, RefusedInput
from ichclient.masks import Masks, bytes_from_masks
from ichclient.report.page import page_from_result
from ichclient.report.pictures import Pictures
from ichclient.report.redraw import report_from_file
from ichclient.result import Result, result_to_json


@pytest.fixture
def folder(result: Result, masks: Masks, tmp_path: Path) -> Path:
    """What `ichclient infer --out` leaves, without its page."""
    (tmp_path / "result.json").write_text(result_to_json(result), encoding="utf-8")
    (tmp_path / "masks.npz").write_bytes(bytes_from_masks(masks))
    return tmp_path


def test_with_its_study_the_page_is_the_same_to_the_byte(
    folder: Path, phantom: Path, result: Result, pictures: Pictures
) -> None:
    page = report_from_file(folder, phantom)
    assert page == folder / "report.html"
    assert page.read_text(encoding="utf-8") == page_from_result(result, pictures)


def test_without_a_study_it_has_curve_and_tables_and_no_pictures(folder: Path) -> None:
    text = report_from_file(folder / "result.json").read_text(encoding="utf-8")
    assert "data:image" not in text
    assert "<polyline" in text
    assert "script-src &#39;none&#39;" in text
    assert 'id="slice-11"' in text


def test_without_masks_nothing_is_outlined_and_the_page_says_so(
    folder: Path, phantom: Path
) -> None:
    (folder / "masks.npz").unlink()
    text = report_from_file(folder, phantom).read_text(encoding="utf-8")
    assert "No masks were at hand" in text
    assert 'id="outlines"' not in text
    assert "data:image/webp" in text


def test_masks_of_another_result_are_refused(folder: Path, phantom: Path, masks: Masks) -> None:
    other = replace(masks, mask=masks.mask[::-1])
    (folder / "masks.npz").write_bytes(bytes_from_masks(other))
    with pytest.raises(RefusedInput, match="hash"):
        report_from_file(folder, phantom)
    assert not (folder / "report.html").exists()


def test_the_study_of_somebody_else_is_refused(
    folder: Path, make_series: Callable[..., Path], tmp_path: Path
) -> None:
    other = make_series(tmp_path / "other")
    with pytest.raises(RefusedInput, match="does not hold series"):
        report_from_file(folder, other)
    assert not (folder / "report.html").exists()


def test_a_study_that_lost_or_changed_a_slice_is_refused(
    folder: Path, phantom: Path, result: Result, tmp_path: Path
) -> None:
    copied = tmp_path / "copied"
    shutil.copytree(phantom, copied)
    next(copied.glob("*.dcm")).unlink()
    with pytest.raises(RefusedInput, match="1 of its 24 slices are absent"):
        report_from_file(folder, copied)
    moved = replace(
        result,
        slices=tuple(replace(one, position_mm=one.position_mm + 1) for one in result.slices),
    )
    (folder / "result.json").write_text(result_to_json(moved), encoding="utf-8")
    with pytest.raises(RefusedInput, match="its slices differ"):
        report_from_file(folder, phantom)


def test_the_page_goes_where_it_is_wanted_or_nowhere(folder: Path, tmp_path: Path) -> None:
    assert report_from_file(folder, out=tmp_path / "a" / "b.html").is_file()
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotWrite):
        report_from_file(folder, out=tmp_path / "file" / "b.html")


def test_the_command_tells_where_the_page_is_and_ends_errors_in_a_sentence(
    folder: Path, tmp_path: Path
) -> None:
    done = CliRunner().invoke(main, ["report", str(folder)])
    assert (done.exit_code, done.stdout.strip()) == (0, str(folder / "report.html"))
    absent = CliRunner().invoke(main, ["report", str(tmp_path / "absent.json")])
    assert absent.exit_code == 3
    assert absent.stderr.startswith("Error: ")


def test_a_picture_of_the_page_is_embedded_once(result: Result, pictures: Pictures) -> None:
    text = page_from_result(result, pictures)
    assert text.count("data:image/webp") == len(pictures.slices) + 2 * len(pictures.tops)
    assert all(text.count(picture.picture) == 1 for picture in pictures.slices)
    first = base64.b64decode(pictures.slices[0].picture.partition(",")[2])
    assert first.startswith(b"RIFF")
