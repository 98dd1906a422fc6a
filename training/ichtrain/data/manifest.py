"""Manifest file <-> rows: Parquet or CSV, by suffix, in one format.

The one file of this room that knows pyarrow. A file appears whole or not at all, and only with
rows that `checked` accepts.
"""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from ichexport.errors import MissingExtra
from ichtrain.data.rows import COLUMNS, Problems, SliceRow, checked
from ichtrain.data.series import LABELS
from ichtrain.errors import ManifestError

SUFFIXES = (".parquet", ".csv")

__all__ = ["SUFFIXES", "checked", "refuse_missing_files", "rows_from_manifest", "write_manifest"]


def rows_from_manifest(path: Path) -> tuple[SliceRow, ...]:
    """Read and check a manifest; paths come back absolute.

    Raises `ManifestError` (with rows and columns) and `SplitLeak`.
    """
    path = Path(path)
    read = _by_suffix(path, {".parquet": _cells_from_parquet, ".csv": _cells_from_csv})
    problems = Problems()
    try:
        rows = list(_rows(read(path), path.parent.absolute(), problems))
    except OSError as error:
        raise ManifestError(f"{path} cannot be read ({error.strerror or error}).") from error
    except (UnicodeDecodeError, csv.Error, ValueError) as error:
        raise ManifestError(f"{path} is no {path.suffix} file that can be read: {error}") from error
    return checked(rows, str(path), problems)


def write_manifest(rows: Iterable[SliceRow], path: Path) -> tuple[SliceRow, ...]:
    """Check rows and write them, whole or not at all; paths become relative to its folder.

    Returns the rows. Raises `ManifestError`, also where the file cannot be written.
    """
    path = Path(path)
    write = _by_suffix(path, {".parquet": _write_parquet, ".csv": _write_csv})
    rows = checked(rows, f"What was to become {path}")
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(_columns(rows, path.parent.absolute()), partial)
        partial.replace(path)
    except OSError as error:
        raise ManifestError(f"{path} cannot be written ({error.strerror or error}).") from error
    finally:
        partial.unlink(missing_ok=True)
    return rows


def refuse_missing_files(rows: Iterable[SliceRow], where: str) -> None:
    """Raise `ManifestError` naming the rows whose series or mask is not on this disk."""
    problems, known = Problems(), dict[Path, bool]()
    for number, row in enumerate(rows, 1):
        for column, path in (("series", row.series), ("mask", row.mask)):
            if path is not None and path not in known:
                known[path] = path.exists()
                if not known[path]:
                    problems.add(number, column, f"{path} does not exist")
    problems.refuse(where)


_Of = dict[str, Callable[..., Any]]


def _by_suffix(path: Path, choices: _Of) -> Callable[..., Any]:
    try:
        return choices[path.suffix.lower()]
    except KeyError:
        raise ManifestError(
            f"{path} is no manifest by its name: it must end in {' or '.join(SUFFIXES)}."
        ) from None


def _cells_from_csv(path: Path) -> Iterator[dict[str, str]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        lines = csv.reader(file, strict=True)
        head = next(lines, [])
        _refuse_columns(head, path)
        for number, cells in enumerate(lines, 1):
            if len(cells) != len(head):
                raise ManifestError(
                    f"{path}, row {number}: {len(cells)} cells, where the head has {len(head)}."
                )
            yield dict(zip(head, cells, strict=True))


def _cells_from_parquet(path: Path) -> Iterator[dict[str, str]]:
    _, parquet = _pyarrow()
    with parquet.ParquetFile(path) as file:
        names = file.schema_arrow.names
        _refuse_columns(names, path)
        for batch in file.iter_batches(columns=list(COLUMNS)):
            columns = [batch.column(name).to_pylist() for name in COLUMNS]
            for values in zip(*columns, strict=True):
                yield {name: _text(value) for name, value in zip(COLUMNS, values, strict=True)}


def _text(value: object) -> str:
    """A Parquet value as a CSV cell; null and NaN, as pandas leaves them, are empty."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return str(int(value)) if isinstance(value, bool) else str(value)


def _refuse_columns(names: list[str], path: Path) -> None:
    missing = [name for name in COLUMNS if name not in names]
    unknown = sorted({name for name in names if name not in COLUMNS or names.count(name) > 1})
    if missing or unknown:
        told = [f"lacks {', '.join(missing)}"] if missing else []
        told += [f"has {', '.join(unknown)} too much"] if unknown else []
        raise ManifestError(f"{path} {' and '.join(told)}: its columns are {', '.join(COLUMNS)}.")


def _rows(cells: Iterable[dict[str, str]], folder: Path, problems: Problems) -> Iterator[SliceRow]:
    absolute: dict[str, Path] = {}

    def path(text: str) -> Path:
        if text not in absolute:
            absolute[text] = Path(os.path.normpath(folder / text))
        return absolute[text]

    for number, row in enumerate(cells, 1):

        def value(column: str, convert: Callable[[str], Any], what: str) -> Any:
            text = row[column].strip()  # noqa: B023 - called before the loop goes on
            try:
                return convert(text) if text else None
            except ValueError:
                problems.add(number, column, f"'{text}' is {what}")  # noqa: B023
                return None

        if not row["series"].strip():
            problems.add(number, "series", "is empty")
        yield SliceRow(
            series=path(row["series"].strip()),
            mask=path(row["mask"].strip()) if row["mask"].strip() else None,
            labels=tuple(value(name, _whole, "neither 0 nor 1") for name in LABELS),
            lesion_ml=value("lesion_ml", float, "no number"),
            **{name: row[name].strip() for name in _TEXTS},
        )


_TEXTS = tuple(name for name in COLUMNS if name not in (*LABELS, "series", "mask", "lesion_ml"))


def _whole(text: str) -> int:
    """A whole number; a column with empty cells becomes 1.0 and 0.0 in many programs."""
    number = float(text)
    if not number.is_integer():
        raise ValueError(text)
    return int(number)


def _columns(rows: tuple[SliceRow, ...], folder: Path) -> dict[str, list[Any]]:
    relative: dict[Path, str] = {}

    def text(path: Path | None) -> str:
        if path is None:
            return ""
        if path not in relative:
            relative[path] = Path(os.path.relpath(path, folder)).as_posix()
        return relative[path]

    columns: dict[str, list[Any]] = {name: [getattr(row, name) for row in rows] for name in _TEXTS}
    columns["series"] = [text(row.series) for row in rows]
    columns["mask"] = [text(row.mask) for row in rows]
    columns["lesion_ml"] = [
        None if row.lesion_ml is None else round(float(row.lesion_ml), 4) for row in rows
    ]
    for index, name in enumerate(LABELS):
        columns[name] = [row.labels[index] for row in rows]
    return {name: columns[name] for name in COLUMNS}


def _write_csv(columns: dict[str, list[Any]], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(columns)
        lines.writerows(zip(*columns.values(), strict=True))


def _write_parquet(columns: dict[str, list[Any]], path: Path) -> None:
    pa, parquet = _pyarrow()
    types = {name: pa.string() for name in COLUMNS}
    types |= {name: pa.int8() for name in LABELS} | {"lesion_ml": pa.float64()}
    fields = [pa.field(name, types[name]) for name in COLUMNS]
    parquet.write_table(pa.table(columns, schema=pa.schema(fields)), path)


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise MissingExtra(
            f"Parquet needs pyarrow ({error}); run: pip install 'ich-triton[training]', or use .csv"
        ) from error
    return pyarrow, parquet
