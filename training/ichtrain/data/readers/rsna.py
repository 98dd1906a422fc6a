"""RSNA 2019 layout -> rows: stage_2_train.csv and its one DICOM folder, labels slice by slice.

    SOURCE/stage_2_train.csv                 ID,Label
                                             ID_12cadc6af_epidural,0
    SOURCE/stage_2_train/ID_12cadc6af.dcm

The table has six lines an image. It is known to repeat a few images, and one image to be corrupt.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from ichtrain.data.parallel import Progress, silent
from ichtrain.data.patients import identity_from_file
from ichtrain.data.readers.reading import ReaderOptions, Reading, reading_from_cases
from ichtrain.data.rows import Problems, SliceRow
from ichtrain.data.series import LABELS
from ichtrain.errors import DataError, ManifestError

LABEL_OF = {
    "any": "any",
    "subdural": "sdh",
    "subarachnoid": "sah",
    "epidural": "edh",
    "intraparenchymal": "iph",
    "intraventricular": "ivh",
}
"""Types of the table, in the order of `LABELS`."""

CORRUPT = frozenset({"ID_6431af929"})
"""Images whose pixels are known to be cut short; their lines are left out with a note."""

_NAME = re.compile(r"(ID_[0-9A-Za-z]+)_([a-z]+)")


@dataclass(frozen=True)
class RsnaOptions(ReaderOptions):
    """Options of the RSNA reader: names of the table and of the DICOM folder in the source."""

    site: str = "rsna"
    table: str = "stage_2_train.csv"
    images: str = "stage_2_train"


@dataclass(frozen=True)
class _Image:
    name: str
    labels: tuple[int, ...]


def rows_from_rsna(
    source: Path, options: RsnaOptions = RsnaOptions(), progress: Progress = silent
) -> Reading:
    """Every image of the table; patient, study and series come from its header.

    Raises `ManifestError` naming lines of the table, and `DataError` naming a file.
    """
    source = Path(source).absolute()
    images, notes = images_from_table(source / options.table)
    corrupt = [image.name for image in images if image.name in CORRUPT]
    notes += [f"left out: {name}, known to be corrupt" for name in corrupt]
    wanted = [image for image in images if image.name not in CORRUPT]
    read = partial(_row_of_image, folder=source / options.images, options=options)
    reading = reading_from_cases(read, wanted, lambda image: image.name, options, progress)
    # Slices of a series stand together, whatever the order of the table.
    rows = sorted(
        reading.rows, key=lambda row: (row.patient, row.SeriesInstanceUID, row.SOPInstanceUID)
    )
    return replace(reading, rows=tuple(rows), notes=(*notes, *reading.notes))


def images_from_table(path: Path) -> tuple[list[_Image], list[str]]:
    """Images of the table with their labels, and notes; identical repeated lines count once.

    Raises `ManifestError` for a line that is none, a label that is neither 0 nor 1, lines that
    contradict each other, and an image without all six.
    """
    labels: dict[str, dict[str, tuple[int, int]]] = {}
    problems, repeated = Problems(), 0
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = csv.reader(file)
            head = next(lines, [])
            if head[:2] != ["ID", "Label"]:
                raise ManifestError(f"{path} must begin with ID,Label, not {','.join(head)}.")
            for number, cells in enumerate(lines, 1):
                name = _NAME.fullmatch(cells[0]) if len(cells) == 2 else None
                if name is None or name[2] not in LABEL_OF:
                    problems.add(number, "ID", f"{','.join(cells)!r} is no ID_<image>_<type>,label")
                elif cells[1] not in ("0", "1"):
                    problems.add(number, "Label", f"{cells[1]} is neither 0 nor 1")
                else:
                    here = (int(cells[1]), number)
                    first = labels.setdefault(name[1], {}).setdefault(name[2], here)
                    repeated += first[1] != number
                    if first[0] != here[0]:
                        what = f"{cells[0]} is {here[0]}, but {first[0]} in row {first[1]}"
                        problems.add(number, "Label", what)
    except OSError as error:
        raise ManifestError(f"{path} cannot be read ({error.strerror or error}).") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ManifestError(f"{path} is no CSV that can be read: {error}") from error
    for image, found in labels.items():
        if len(found) < len(LABEL_OF):
            last = max(number for _, number in found.values())
            lacking = ", ".join(kind for kind in LABEL_OF if kind not in found)
            problems.add(last, "ID", f"{image} has no line for {lacking}")
    problems.refuse(str(path))
    notes = [f"{repeated} line(s) repeat another and count once"] if repeated else []
    images = [
        _Image(image, tuple(found[kind][0] for kind in LABEL_OF)) for image, found in labels.items()
    ]
    return images, notes


def _row_of_image(image: _Image, folder: Path, options: RsnaOptions) -> list[SliceRow]:
    file = folder / f"{image.name}.dcm"
    if not file.is_file():
        raise DataError(f"{file} does not exist.")
    identity = identity_from_file(file)
    return [
        SliceRow(
            series=file,
            StudyInstanceUID=identity.StudyInstanceUID,
            SeriesInstanceUID=identity.SeriesInstanceUID,
            SOPInstanceUID=identity.SOPInstanceUID,
            labels=image.labels,
            patient=identity.PatientID,  # a pseudonym already
            site=options.site,
            split=options.split,
            annotation="slice",
        )
    ]


assert tuple(LABEL_OF.values()) == LABELS
