"""CQ500 layout -> rows: reads.csv and a folder a study, labels by majority of three readers.

    SOURCE/reads.csv                         name,Category,R1:ICH,R1:IPH,...,R2:ICH,...,R3:ICH,...
    SOURCE/CQ500CT123 CQ500CT123/Unknown Study/CT Plain/CT000000.dcm

A study comes with several series; which one is read is the client's own choice.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from ichtrain.data.intake import intake_from_paths
from ichtrain.data.parallel import Progress, silent
from ichtrain.data.readers.reading import ReaderOptions, Reading, reading_from_cases
from ichtrain.data.rows import Problems, SliceRow
from ichtrain.data.series import LABELS
from ichtrain.errors import DataError, ManifestError

READERS = ("R1", "R2", "R3")

FINDING_OF = {"any": "ICH", **{name: name.upper() for name in LABELS[1:]}}
"""Column of a reader for each label."""

_NAME = re.compile(r"CQ500-CT-(\d+)")
_FOLDER = re.compile(r"CQ500CT(\d+)(?: .*)?")


@dataclass(frozen=True)
class Cq500Options(ReaderOptions):
    """Options of the CQ500 reader: the name of the table in the source."""

    site: str = "cq500"
    table: str = "reads.csv"


@dataclass(frozen=True)
class _Study:
    name: str
    folder: Path
    labels: tuple[int, ...]


def rows_from_cq500(
    source: Path, options: Cq500Options = Cq500Options(), progress: Progress = silent
) -> Reading:
    """Every study of the table that has a folder; others are noted.

    Raises `ManifestError` naming lines of the table, and `DataError` naming a study.
    """
    source = Path(source).absolute()
    labels = labels_from_reads(source / options.table)
    folders = _folders(source)
    studies = [
        _Study(name, folders[number], majority)
        for number, (name, majority) in labels.items()
        if number in folders
    ]
    if not studies:
        raise DataError(f"{source} holds no folder of a study in {options.table}.")
    absent = [name for number, (name, _) in labels.items() if number not in folders]
    notes = [f"no folder for {len(absent)} studies, such as {absent[0]}"] if absent else []
    unread = sorted(folder.name for number, folder in folders.items() if number not in labels)
    notes += [f"no reads for {len(unread)} folders, such as {unread[0]}"] if unread else []
    read = partial(_rows_of_study, options=options)
    reading = reading_from_cases(read, studies, lambda study: study.name, options, progress)
    return replace(reading, notes=(*notes, *reading.notes))


def labels_from_reads(path: Path) -> dict[int, tuple[str, tuple[int, ...]]]:
    """Name and majority labels of every study, by the study's number.

    Raises `ManifestError` where columns are absent, a read is neither 0 nor 1, or a study is read
    twice.
    """
    problems = Problems()
    labels: dict[int, tuple[str, tuple[int, ...]]] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = csv.DictReader(file)
            lines.fieldnames = [name.strip() for name in lines.fieldnames or ()]
            _refuse_columns(lines.fieldnames, path)
            for number, line in enumerate(lines, 1):
                name = _NAME.fullmatch((line["name"] or "").strip())
                if name is None:
                    problems.add(number, "name", f"{line['name']!r} is no CQ500-CT-<number>")
                elif int(name[1]) in labels:
                    problems.add(number, "name", f"{name[0]} has a line already")
                else:
                    labels[int(name[1])] = name[0], _majorities(line, number, problems)
    except OSError as error:
        raise ManifestError(f"{path} cannot be read ({error.strerror or error}).") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ManifestError(f"{path} is no CSV that can be read: {error}") from error
    problems.refuse(str(path))
    return labels


def _refuse_columns(names: list[str], path: Path) -> None:
    wanted = [f"{reader}:{finding}" for reader in READERS for finding in FINDING_OF.values()]
    missing = [name for name in ("name", *wanted) if name not in names]
    if missing:
        raise ManifestError(f"{path} lacks the column(s) {', '.join(missing)}.")


def _majorities(line: dict[str, str], number: int, problems: Problems) -> tuple[int, ...]:
    majorities = []
    for finding in FINDING_OF.values():
        votes = 0
        for reader in READERS:
            read = (line[f"{reader}:{finding}"] or "").strip()
            if read not in ("0", "1"):
                problems.add(number, f"{reader}:{finding}", f"{read!r} is neither 0 nor 1")
            votes += read == "1"
        majorities.append(int(2 * votes > len(READERS)))
    return tuple(majorities)


def _folders(source: Path) -> dict[int, Path]:
    """Study folders by number; the archives unpack into the source or one folder further down."""
    folders: dict[int, Path] = {}
    for folder in sorted([*source.glob("*/"), *source.glob("*/*/")]):
        name = _FOLDER.fullmatch(folder.name)
        if name is None or not folder.is_dir() or _FOLDER.fullmatch(folder.parent.name):
            continue
        number = int(name[1])
        if number in folders:
            raise DataError(f"Study {number} has two folders, {folders[number]} and {folder}.")
        folders[number] = folder
    return folders


def _rows_of_study(study: _Study, options: Cq500Options) -> list[SliceRow]:
    intake = intake_from_paths([study.folder])
    return [
        SliceRow(
            series=intake.folder,
            StudyInstanceUID=header.StudyInstanceUID,
            SeriesInstanceUID=header.SeriesInstanceUID,
            SOPInstanceUID=header.SOPInstanceUID,
            labels=study.labels,
            patient=study.name,
            site=options.site,
            split=options.split,
            annotation="study",
        )
        for header in intake.series.slices
    ]
