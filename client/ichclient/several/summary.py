"""Rows -> summary.csv and summary.json: replaced whole after each study, read again to go on."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ichclient.errors import RefusedInput
from ichclient.output import write_files
from ichclient.report.table import cell_from_text
from ichclient.result import DISCLAIMER
from ichclient.saved import dataclass_from_json
from ichclient.several.rows import StudyRow

SUMMARY_TABLE = "summary.csv"
SUMMARY_FILE = "summary.json"
SUMMARY_VERSION = 1


class Summary:
    """The rows of a folder by the folders of their studies; each row is on disk once it is put."""

    def __init__(self, out: Path, earlier: Iterable[StudyRow] = ()) -> None:
        self._out = out
        self._rows = {row.folder: row for row in earlier}

    def row_of(self, folder: str) -> StudyRow | None:
        """What is known of a study."""
        return self._rows.get(folder)

    def put(self, row: StudyRow) -> None:
        """Add or replace the row of a study. Raises CannotWrite."""
        self._rows[row.folder] = row
        rows = list(self._rows.values())
        write_files(
            self._out,
            {SUMMARY_TABLE: csv_from_rows(rows).encode(), SUMMARY_FILE: json_from_rows(rows)},
        )


def rows_from_folder(out: Path) -> tuple[StudyRow, ...]:
    """The rows that an earlier run left in `out`; none where it left no summary.

    Raises RefusedInput where the file is no summary of this version.
    """
    file = out / SUMMARY_FILE
    try:
        found: Any = json.loads(file.read_text(encoding="utf-8"))
        if found["schema_version"] != SUMMARY_VERSION:
            raise ValueError(f"it has another version than {SUMMARY_VERSION}")
        return tuple(dataclass_from_json(StudyRow, row, "studies") for row in found["studies"])
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise RefusedInput(
            f"{file} is no summary that can be gone on from ({error}). "
            "Name another folder with --out, or leave --resume out."
        ) from error


def folders_known(out: Path | None) -> set[str]:
    """Names of folders that studies have in `out` already, those without a result among them."""
    if out is None or not out.is_dir():
        return set()
    names = {path.name for path in out.iterdir()}
    with contextlib.suppress(RefusedInput):
        names |= {row.folder for row in rows_from_folder(out)}
    return names


def json_from_rows(rows: Iterable[StudyRow]) -> bytes:
    """The content of summary.json."""
    told = {"schema_version": SUMMARY_VERSION, "disclaimer": DISCLAIMER}
    studies = [asdict(row) for row in rows]
    return _json({**told, "studies": studies}, indent=1).encode() + b"\n"


def line_from_row(row: StudyRow) -> str:
    """One line of JSON: a row as it stands in summary.json."""
    return _json(asdict(row))


def csv_from_rows(rows: Iterable[StudyRow]) -> str:
    """The text of summary.csv: RFC 4180, text as harmless as in slices.csv."""
    rows = list(rows)
    points = list(dict.fromkeys(point for row in rows for point in row.decisions))
    members = list(dict.fromkeys(member for row in rows for member in row.member_scores))
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow(
        ["folder", "StudyInstanceUID", "SeriesInstanceUID", "SeriesDescription", "slices"]
        + [cell_from_text(f"decision_{point}") for point in points]
        + ["study_score"]
        + [cell_from_text(f"score_{member}") for member in members]
        + ["lesion_volume_ml", "warnings", "seconds", "exit_code", "code", "reason"]
    )
    for row in rows:
        writer.writerow(
            [_cell(row.folder), _cell(row.StudyInstanceUID), _cell(row.SeriesInstanceUID)]
            + [_cell(row.SeriesDescription), _number(row.slices)]
            + [row.decisions.get(point, "") for point in points]
            + [_number(row.study_score)]
            + [_number(row.member_scores.get(member)) for member in members]
            + [_number(row.lesion_volume_ml), _cell(" ".join(row.warnings)), row.seconds]
            + [row.exit_code, _cell(row.code), _cell(row.reason)]
        )
    return buffer.getvalue()


def _cell(text: str | None) -> str:
    return cell_from_text(text or "")


def _number(value: float | None) -> float | str:
    return "" if value is None else value


def _json(value: object, indent: int | None = None) -> str:
    return json.dumps(value, indent=indent, allow_nan=False, ensure_ascii=False)
