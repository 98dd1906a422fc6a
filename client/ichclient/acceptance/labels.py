"""LABELS.csv -> the studies of an acceptance with what they are known to hold.

One heading row, then one study a line: `study` and `haemorrhage` are needed, `case`, `subtypes` and
`volume_ml` may be there. A study's path may hold a name, so nothing but this file repeats it: a
case is known by `case`, or by its number.
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ichclient.errors import BadLabels

NEEDED = ("study", "haemorrhage")
OPTIONAL = ("case", "subtypes", "volume_ml")
_YES, _NO = {"yes", "y", "1", "true"}, {"no", "n", "0", "false"}
_MOST_BYTES = 16 << 20
_NAME = re.compile(r"[\w.-]{1,64}")
_REMOTE = ("dicomweb:", "dimse:")


@dataclass(frozen=True)
class Case:
    """One labelled study; `number` counts the studies of the table from 1."""

    number: int
    name: str
    haemorrhage: bool
    subtypes: tuple[str, ...]
    volume_ml: float | None

    @property
    def folder(self) -> str:
        """Where its result goes, below the folder of the acceptance."""
        return f"cases/{self.number:04}"


@dataclass(frozen=True)
class Labels:
    """All labelled studies and where each is; `sha256` is that of the table's bytes."""

    cases: tuple[Case, ...]
    studies: tuple[str, ...]
    sha256: str


def labels_from_file(path: Path) -> Labels:
    """Read a table of labels; raises BadLabels naming the line that cannot be understood.

    A path that is not absolute lies below the table's own folder; an address as `infer` takes it
    is left as it is.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
        text = content.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise BadLabels(f"The labels {path} cannot be read ({why}).") from error
    if len(content) > _MOST_BYTES:
        raise BadLabels(f"The labels {path} are larger than 16 MiB, so they are none.")
    cases: list[Case] = []
    studies: list[str] = []
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        _refuse_columns(path, reader.fieldnames or ())
        for row in reader:
            where = f"{path}, line {reader.line_num}"
            case, study = _case(row, len(cases) + 1, where), _study(row, path.parent, where)
            if study in studies:
                raise BadLabels(f"{where}: this study is there twice.")
            if case.name in {one.name for one in cases}:
                raise BadLabels(f"{where}: the case '{case.name}' is there twice.")
            cases.append(case)
            studies.append(study)
    except csv.Error as error:
        raise BadLabels(f"{path} is no table of commas ({error}).") from error
    if not cases:
        raise BadLabels(f"{path} names no study.")
    return Labels(tuple(cases), tuple(studies), hashlib.sha256(content).hexdigest())


def _refuse_columns(path: Path, found: object) -> None:
    columns = list(found) if isinstance(found, list | tuple) else []
    absent = [name for name in NEEDED if name not in columns]
    unknown = [name for name in columns if name not in (*NEEDED, *OPTIONAL)]
    if absent or unknown or len(set(columns)) < len(columns):
        what = f"lacks {', '.join(absent)}" if absent else f"has {', '.join(map(repr, unknown))}"
        raise BadLabels(
            f"The first line of {path} {what}: it names the columns {', '.join(NEEDED)}, and "
            f"where they are known {', '.join(OPTIONAL)}, each once."
        )


def _case(row: Mapping[str, str | None], number: int, where: str) -> Case:
    if None in row or None in row.values():
        raise BadLabels(f"{where} has not as many values as there are columns.")
    truth = _text(row, "haemorrhage").lower()
    if truth not in _YES | _NO:
        raise BadLabels(f"{where}: haemorrhage is yes or no, not '{truth}'.")
    name = _text(row, "case") or f"case {number}"
    if _text(row, "case") and not _NAME.fullmatch(name):
        raise BadLabels(f"{where}: a case is named by letters, digits, _ . and -, 64 at most.")
    subtypes = tuple(filter(None, (part.strip() for part in _text(row, "subtypes").split(";"))))
    volume = _volume(_text(row, "volume_ml"), where)
    if truth in _NO and (subtypes or volume):
        raise BadLabels(f"{where} has no haemorrhage, but a subtype or a volume of one.")
    return Case(number, name, truth in _YES, subtypes, volume)


def _volume(text: str, where: str) -> float | None:
    if not text:
        return None
    try:
        volume_ml = float(text)
    except ValueError:
        volume_ml = math.nan
    if not 0 <= volume_ml < math.inf:
        raise BadLabels(f"{where}: volume_ml is a number of mL from 0 on, not '{text}'.")
    return volume_ml


def _study(row: Mapping[str, str | None], folder: Path, where: str) -> str:
    text = _text(row, "study")
    if not text:
        raise BadLabels(f"{where} names no study.")
    if text.startswith(_REMOTE):
        return text
    path = folder / text
    if not path.exists():
        raise BadLabels(f"{where}: there is no {path}.")
    return str(path.resolve())


def _text(row: Mapping[str, str | None], name: str) -> str:
    return (row.get(name) or "").strip()
