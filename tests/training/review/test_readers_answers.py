"""Readers' answers are read as they stand, and what is wrong is named by file, row and column."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from ichtrain.errors import ReviewError
from ichtrain.review.answers import COLUMNS, Answer, answers_from_pack, form_from_key
from ichtrain.review.key import WITH_AI, WITHOUT_AI, Key

FIRST = {"case": "1", "round": WITHOUT_AI, "answer": "positive"}


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., None]:
    """Write rows as a reader's file."""

    def written(
        *rows: dict[str, str], reader: int = 1, name: str = "answers.csv", delimiter: str = ","
    ) -> None:
        folder = tmp_path / f"reader-{reader}"
        folder.mkdir(exist_ok=True)
        with (folder / name).open("w", newline="") as file:
            table = csv.DictWriter(file, COLUMNS, delimiter=delimiter)
            table.writeheader()
            table.writerows(rows)

    return written


def complaint(pack: Path, key: Key) -> str:
    with pytest.raises(ReviewError) as caught:
        answers_from_pack(pack, key)
    return str(caught.value)


def test_an_answer_is_read_whole(tmp_path: Path, key: Key, write: Callable[..., None]) -> None:
    comment = 'a "thin" rim, perhaps; falx?'
    write({"case": "case-07", "round": "With_AI", "answer": " Negative", "confidence": "4",
           "location": "falx", "small": "x", "other": "Yes", "comment": comment})  # fmt: skip
    assert answers_from_pack(tmp_path, key) == (
        Answer(1, 7, WITH_AI, False, 4, "falx", ("small", "other"), comment),
    )


def test_the_empty_form_is_no_answer(tmp_path: Path, key: Key) -> None:
    (tmp_path / "reader-1").mkdir()
    (tmp_path / "reader-1" / "answers.csv").write_text(form_from_key(key, 1))
    assert answers_from_pack(tmp_path, key) == ()


def test_a_spreadsheets_semicolons_and_byte_order_mark_are_read(
    tmp_path: Path, key: Key, write: Callable[..., None]
) -> None:
    write({**FIRST, "comment": "one, two"}, delimiter=";")
    path = tmp_path / "reader-1" / "answers.csv"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert answers_from_pack(tmp_path, key)[0].comment == "one, two"


def test_files_that_the_pages_saved_are_read_beside_the_form(
    tmp_path: Path, key: Key, write: Callable[..., None]
) -> None:
    (tmp_path / "reader-1").mkdir()
    (tmp_path / "reader-1" / "answers.csv").write_text(form_from_key(key, 1))
    write(FIRST, name="answers-without_ai.csv")
    write({**FIRST, "round": WITH_AI}, name="answers-with_ai.csv")
    assert [one.round for one in answers_from_pack(tmp_path, key)] == [WITHOUT_AI, WITH_AI]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"case": "99"}, "row 2, column 'case': '99' is no case of this study"),
        ({"case": ""}, "row 2, column 'case': '' is no case"),
        ({"round": "third"}, "row 2, column 'round': 'third' is neither without_ai nor with_ai"),
        ({"answer": "", "confidence": "3"}, "row 2, column 'answer': the answer is missing"),
        ({"answer": "", "small": "x"}, "row 2, column 'answer': the answer is missing"),
        ({"answer": "maybe"}, "column 'answer': 'maybe' is neither positive nor negative"),
        ({"confidence": "6"}, "row 2, column 'confidence': '6' is not 1, 2, 3, 4 or 5"),
        ({"isodense": "perhaps"}, "row 2, column 'isodense': 'perhaps' is no tick"),
    ],
)
def test_a_mistake_is_named_by_row_and_column(
    wrong: dict[str, str], said: str, tmp_path: Path, key: Key, write: Callable[..., None]
) -> None:
    write({**FIRST, **wrong})
    assert said in complaint(tmp_path, key)
    assert "reader-1/answers.csv" in complaint(tmp_path, key)


def test_a_case_answered_twice_is_named_with_both_rows(
    tmp_path: Path, key: Key, write: Callable[..., None]
) -> None:
    write(FIRST, {**FIRST, "case": "2"}, FIRST)
    said = complaint(tmp_path, key)
    assert "row 4, column 'case': case 1 without_ai is answered in" in said
    assert "reader-1/answers.csv, row 2 already" in said


def test_all_readers_mistakes_are_told_at_once_but_not_without_end(
    tmp_path: Path, key: Key, write: Callable[..., None]
) -> None:
    write({**FIRST, "answer": "?"})
    write(*[{**FIRST, "case": "77"}] * 20, reader=2)
    said = complaint(tmp_path, key)
    assert "reader-1" in said
    assert "reader-2" in said
    assert said.endswith("and 9 more")


def test_columns_that_are_not_the_forms_are_named(tmp_path: Path, key: Key) -> None:
    (tmp_path / "reader-1").mkdir()
    path = tmp_path / "reader-1" / "answers.csv"
    path.write_text(",".join([*COLUMNS[:-1], "remark"]) + "\n")
    said = complaint(tmp_path, key)
    assert "missing: comment; unknown or doubled: remark" in said


def test_a_comma_too_many_is_named(tmp_path: Path, key: Key, write: Callable[..., None]) -> None:
    write(FIRST)
    path = tmp_path / "reader-1" / "answers.csv"
    path.write_text(path.read_text().rstrip() + ", and more\n")
    assert f"row 2: {len(COLUMNS) + 1} cells for {len(COLUMNS)} columns" in complaint(tmp_path, key)


def test_a_file_in_another_encoding_is_named(tmp_path: Path, key: Key) -> None:
    (tmp_path / "reader-1").mkdir()
    (tmp_path / "reader-1" / "answers.csv").write_bytes(b"case,\xff\xfe")
    assert "reader-1/answers.csv cannot be read" in complaint(tmp_path, key)
