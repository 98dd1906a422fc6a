"""A reader's files hold images and case numbers, and nothing that tells what a case is."""

from __future__ import annotations

import base64
import csv
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from ichtrain.data import LabelledSeries
from ichtrain.errors import ReviewError
from ichtrain.review.answers import CAUSES, COLUMNS
from ichtrain.review.key import ROUNDS, WITH_AI, WITHOUT_AI, Key, key_from_pack
from ichtrain.review.pack import Images, write_pack
from ichtrain.review.page import DEMONSTRATION

from .conftest import SERIES, true_marks, uid

DATA_URI = re.compile(r"data:image/png;base64,([A-Za-z0-9+/=]+)")


def readers_files(pack: Path) -> list[Path]:
    return sorted(pack.glob("reader-*/*"))


def chunks(png: bytes) -> list[bytes]:
    """The types of a PNG's chunks."""
    found, at = [], 8
    while at < len(png):
        length = int.from_bytes(png[at : at + 4], "big")
        found.append(png[at + 4 : at + 8])
        at += 12 + length
    return found


def without_pictures(path: Path) -> str:
    return DATA_URI.sub("PNG", path.read_text(encoding="utf-8"))


def order_of(page: Path) -> list[int]:
    return [int(n) for n in re.findall(r'<article [^>]*id="case-(\d+)"', without_pictures(page))]


def test_a_pack_has_these_files(drawn_pack: Path) -> None:
    found = {path.relative_to(drawn_pack).as_posix() for path in drawn_pack.rglob("*.*")}
    readers = {
        f"reader-{n}/{name}"
        for n in (1, 2, 3)
        for name in ("without_ai.html", "with_ai.html", "answers.csv")
    }
    assert found == {"README.md", "key.json", *readers}


def test_no_readers_file_names_a_series_a_patient_a_site_or_a_reason(
    drawn_pack: Path, key: Key
) -> None:
    for path in readers_files(drawn_pack):
        text = path.read_text(encoding="utf-8")
        for case in key.cases:
            assert case.SeriesInstanceUID not in text
            assert case.reason not in text
        for word in ("Patient^", "1.2.826", "alert('site')", "iph", "difficult:", "control"):
            assert word not in DATA_URI.sub("PNG", text), (path, word)


def test_without_ai_no_score_decision_or_mark_is_shown(drawn_pack: Path, key: Key) -> None:
    for path in drawn_pack.glob("reader-*/without_ai.html"):
        text = without_pictures(path)
        for case in key.cases:
            score = case.scores[key.ensemble]
            assert f"{score:.2f}" not in text
            assert f"{score:.4f}" not in text
        for word in ("study score", "threshold", '"ai"', "-marks", "mL"):
            assert word not in text, word


def test_the_key_slices_without_ai_do_not_know_the_blood(drawn_pack: Path, key: Key) -> None:
    text = without_pictures(drawn_pack / "reader-1" / "without_ai.html")
    sections = re.findall(r'<div class="keys">(.*?)</div>\n', text, re.DOTALL)
    shown = {tuple(re.findall(r'data-slice="(\d+)"', one)) for one in sections}
    assert len(shown) == 1, "drawn heads are alike, so must be the slices shown of them"


def test_with_ai_score_decision_and_marks_are_shown(drawn_pack: Path, key: Key) -> None:
    text = without_pictures(drawn_pack / "reader-1" / "with_ai.html")
    for case in key.cases:
        assert f"study score {case.scores[key.ensemble]:.2f}" in text
        assert (f'id="s{case.number}-marks"' in text) == case.positive


def test_pictures_hold_pixels_and_no_words(drawn_pack: Path) -> None:
    for path in drawn_pack.glob("reader-1/*.html"):
        pictures = [base64.b64decode(m) for m in DATA_URI.findall(path.read_text())]
        assert len(pictures) >= 2 * SERIES
        for png in pictures:
            assert set(chunks(png)) <= {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}


def test_pages_load_nothing_from_anywhere(drawn_pack: Path) -> None:
    class Links(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            for name, value in attrs:
                if name in ("src", "href", "action", "xlink:href"):
                    assert str(value).startswith(("data:image/png", "#")), (tag, name)

    for path in drawn_pack.glob("reader-1/*.html"):
        text = path.read_text(encoding="utf-8")
        Links().feed(text)
        assert "default-src 'none'" in text
        assert "http" not in without_pictures(path).replace("http-equiv", "")


def test_every_case_says_that_this_is_no_medical_device(drawn_pack: Path) -> None:
    for path in drawn_pack.glob("reader-*/*.html"):
        assert without_pictures(path).count(DEMONSTRATION) == SERIES + 1
    assert DEMONSTRATION in (drawn_pack / "README.md").read_text()


def test_readers_and_rounds_have_orders_of_their_own(drawn_pack: Path, key: Key) -> None:
    orders = {
        (reader, name): order_of(drawn_pack / f"reader-{reader}" / f"{name}.html")
        for reader in key.readers
        for name in ROUNDS
    }
    for (reader, name), order in orders.items():
        assert tuple(order) == key.orders[reader - 1][name]
        assert sorted(order) == sorted(key.numbers)
    assert len({tuple(order) for order in orders.values()}) == len(orders)


def test_orders_and_numbers_come_from_the_seed(make_key: Callable[..., Key]) -> None:
    assert make_key(seed=4) == make_key(seed=4)
    assert make_key(seed=4).orders != make_key(seed=5).orders
    first, second = (
        {case.SeriesInstanceUID: case.number for case in make_key(seed=seed).cases}
        for seed in (4, 5)
    )
    assert first != second


def test_the_rounds_cross_over(drawn_pack: Path) -> None:
    begun = [
        (drawn_pack / f"reader-{n}" / "answers.csv").read_text().splitlines()[1].split(",")[1]
        for n in (1, 2, 3)
    ]
    assert begun == [WITHOUT_AI, WITH_AI, WITHOUT_AI]


def test_the_form_has_a_row_for_every_case_of_both_rounds(drawn_pack: Path, key: Key) -> None:
    with (drawn_pack / "reader-2" / "answers.csv").open() as form:
        rows = list(csv.DictReader(form))
    assert tuple(rows[0]) == COLUMNS
    assert set(CAUSES) < set(COLUMNS)
    assert sorted((row["round"], int(row["case"])) for row in rows) == sorted(
        (name, number) for name in ROUNDS for number in key.numbers
    )


def test_the_pages_form_has_the_columns_of_the_file(drawn_pack: Path) -> None:
    text = without_pictures(drawn_pack / "reader-1" / "without_ai.html")
    assert f'data-columns="{",".join(COLUMNS)}"' in text
    assert 'data-file="answers-without_ai.csv"' in text
    for form in re.findall(r"<form .*?</form>", text, re.DOTALL):
        named = dict.fromkeys(re.findall(r'data-column="(\w+)"', form))
        assert ("case", "round", *named) == COLUMNS


def test_the_key_comes_back_from_its_file(drawn_pack: Path, key: Key) -> None:
    assert key_from_pack(drawn_pack) == key
    assert {case.SeriesInstanceUID for case in key.cases} == {uid(n) for n in range(SERIES)}


def test_a_series_in_two_folders_is_refused(images: Images) -> None:
    with pytest.raises(ReviewError, match="name one of them"):
        Images(images.folders * 2)


def test_a_pack_is_not_written_over(drawn_pack: Path, key: Key, images: Images) -> None:
    with pytest.raises(ReviewError, match="exists"):
        write_pack(drawn_pack, key, images, None)


def test_a_pack_that_fails_leaves_nothing(tmp_path: Path, key: Key, images: Images) -> None:
    seen: list[str] = []

    def fails(series: LabelledSeries) -> np.ndarray:  # type: ignore[type-arg]
        seen.append(series.SeriesInstanceUID)
        if len(seen) == 3:
            raise OSError(28, "No space left on device")
        return true_marks(series)

    with pytest.raises(ReviewError, match="No space left"):
        write_pack(tmp_path / "PACK", key, images, fails)
    assert list(tmp_path.iterdir()) == []


def test_without_a_marker_the_pages_show_scores_alone(
    tmp_path: Path, key: Key, images: Images
) -> None:
    write_pack(tmp_path / "PACK", key, images, None)
    text = without_pictures(tmp_path / "PACK" / "reader-1" / "with_ai.html")
    assert "study score" in text
    assert "-marks" not in text.split("<main>")[1]
