"""A reader's form <-> answers: what may stand in each column, and which row does not hold to it.

A reader fills in `answers.csv`, or answers in the pages and puts the files they save beside it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ichtrain.errors import ReviewError
from ichtrain.review.key import ROUNDS, Key, folder_name, rounds_of

FORM_FILE = "answers.csv"
SAVED_FILES = tuple(f"answers-{name}.csv" for name in ROUNDS)
"""What the pages save, one file a round."""

CAUSES = (
    "calcification",
    "artefact",
    "thin_sdh",
    "posterior_fossa",
    "small",
    "isodense",
    "partial_volume",
    "post_operative",
    "other",
)
"""What made a case difficult, to be ticked."""

COLUMNS = ("case", "round", "answer", "confidence", "location", *CAUSES, "comment")

ANSWERS = {"positive": True, "negative": False}
_TICKS = {"": False, "0": False, "no": False, "1": True, "x": True, "yes": True}
_TOLD = 12


@dataclass(frozen=True)
class Answer:
    """What one reader said of one case in one round; `confidence` 1 to 5, None if not given."""

    reader: int
    case: int
    round: str
    positive: bool
    confidence: int | None
    location: str
    causes: tuple[str, ...]
    comment: str


def form_from_key(key: Key, reader: int) -> str:
    """The empty form: a row for every case of both rounds, in the order of reading."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for name in rounds_of(reader):
        for number in key.orders[reader - 1][name]:
            writer.writerow([number, name] + [""] * (len(COLUMNS) - 2))
    return text.getvalue()


def answers_from_pack(pack: Path, key: Key) -> tuple[Answer, ...]:
    """Every reader's answers, in the order of readers, files and rows; blank rows are left out.

    Raises `ReviewError` that lists what is wrong by file, row and column.
    """
    answers: list[Answer] = []
    problems: list[str] = []
    for reader in key.readers:
        seen: dict[tuple[int, str], str] = {}
        for path in _files(pack / folder_name(reader)):
            for row, cells in _rows(path, problems):
                where = f"{path.parent.name}/{path.name}, row {row}"
                answer = _answer(cells, reader, key, where, problems)
                if answer is None:
                    continue
                one = (answer.case, answer.round)
                if one in seen:
                    problems.append(
                        f"{where}, column 'case': case {one[0]} {one[1]} is answered in "
                        f"{seen[one]} already; keep one of them"
                    )
                else:
                    seen[one] = where
                    answers.append(answer)
    if problems:
        more = len(problems) - _TOLD
        told = problems[:_TOLD] + ([f"and {more} more"] if more > 0 else [])
        raise ReviewError(
            "The answers cannot be scored; correct these and score again:\n  " + "\n  ".join(told)
        )
    return tuple(answers)


def _files(folder: Path) -> list[Path]:
    paths = [folder / name for name in (FORM_FILE, *SAVED_FILES)]
    return [path for path in paths if path.is_file()]


def _rows(path: Path, problems: list[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows of a file with their numbers as a spreadsheet shows them."""
    where = f"{path.parent.name}/{path.name}"
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        problems.append(f"{where} cannot be read ({error}); save it as CSV in UTF-8")
        return
    head = text.partition("\n")[0]
    # Spreadsheets of many countries write semicolons.
    table = csv.reader(io.StringIO(text, newline=""), delimiter=";" if ";" in head else ",")
    columns = [name.strip() for name in next(table, [])]
    if sorted(columns) != sorted(COLUMNS):
        absent = [name for name in COLUMNS if name not in columns]
        strange = [name for name in columns if name not in COLUMNS]
        problems.append(
            f"{where}, row 1: the columns are not those of the form"
            f" (missing: {', '.join(absent) or 'none'}; unknown or doubled: "
            f"{', '.join(strange) or 'none'})"
        )
        return
    for row, cells in enumerate(table, 2):
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(columns):
            problems.append(
                f"{where}, row {row}: {len(cells)} cells for {len(columns)} columns; a comment "
                "with a comma needs quotes"
            )
            continue
        yield row, dict(zip(columns, (cell.strip() for cell in cells), strict=True))


def _answer(
    cells: dict[str, str], reader: int, key: Key, where: str, problems: list[str]
) -> Answer | None:
    """One row; None when it is blank or wrong, and then `problems` says so."""
    if not any(cells[name] for name in COLUMNS[2:]):
        return None
    before = len(problems)

    def wrong(column: str, what: str) -> None:
        problems.append(f"{where}, column '{column}': {what}")

    number = _number(cells["case"])
    if number not in key.numbers:
        wrong("case", f"'{cells['case']}' is no case of this study")
    name = cells["round"].lower()
    if name not in ROUNDS:
        wrong("round", f"'{cells['round']}' is neither {' nor '.join(ROUNDS)}")
    word = cells["answer"].lower()
    if not word:
        wrong("answer", "the answer is missing although other columns are filled in")
    elif word not in ANSWERS:
        wrong("answer", f"'{cells['answer']}' is neither positive nor negative")
    if cells["confidence"] not in ("", "1", "2", "3", "4", "5"):
        wrong("confidence", f"'{cells['confidence']}' is not 1, 2, 3, 4 or 5")
    for cause in CAUSES:
        if cells[cause].lower() not in _TICKS:
            wrong(cause, f"'{cells[cause]}' is no tick; write x or leave it empty")
    if len(problems) > before:
        return None
    return Answer(
        reader=reader,
        case=number,
        round=name,
        positive=ANSWERS[word],
        confidence=int(cells["confidence"]) if cells["confidence"] else None,
        location=cells["location"],
        causes=tuple(cause for cause in CAUSES if _TICKS[cells[cause].lower()]),
        comment=cells["comment"],
    )


def _number(text: str) -> int:
    """The case number in '7', '07', 'case 7' or 'case-07'; -1 if there is none."""
    digits = text.lower().removeprefix("case").strip(" -")
    return int(digits) if digits.isascii() and digits.isdigit() else -1
