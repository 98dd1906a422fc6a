"""Series with a NIfTI or DICOM SEG mask beside each -> rows, labels from what is drawn.

Either a folder with one folder a case, which holds a series and at most one mask, or a table:

    SOURCE/CASE/...                          DICOM files, and mask.nii.gz or a DICOM SEG
    SOURCE.csv                               series,mask[,patient,site,split,SeriesInstanceUID]
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from ichtrain.data.drawn import UNNAMED, labels_from_regions, lesion_ml_from_blood
from ichtrain.data.intake import Intake, intake_from_paths
from ichtrain.data.masks import regions_from_file
from ichtrain.data.parallel import Progress, silent
from ichtrain.data.patients import identity_from_file
from ichtrain.data.readers.reading import ReaderOptions, Reading, reading_from_cases
from ichtrain.data.rows import SliceRow
from ichtrain.data.series import LABELS, SUBTYPES
from ichtrain.errors import DataError, ManifestError, MaskError

NIFTI = (".nii", ".nii.gz")
TABLE_COLUMNS = ("series", "mask", "patient", "site", "split", "SeriesInstanceUID")
PATIENTS = ("header", "folder")


@dataclass(frozen=True)
class MasksOptions(ReaderOptions):
    """Options of the mask reader.

    `meaning` gives each mask value or segment number a subtype or `lesion`; without any, all are
    `lesion`. `patients` come from the PatientID of the `header`, as a code, or from the name of
    the case's `folder`. With `no_mask_is_normal` a case without a mask has no blood; otherwise it
    is refused. Raises `DataError` for other words.
    """

    meaning: Mapping[int, str] = field(default_factory=dict)
    patients: str = "header"
    no_mask_is_normal: bool = False

    def __post_init__(self) -> None:
        """Refuse meanings that no label has."""
        for value, name in self.meaning.items():
            if value == 0 or name not in (*SUBTYPES, UNNAMED):
                raise DataError(
                    f"--label {value}={name} cannot be used: give a value other than 0 and one of "
                    f"{', '.join((*SUBTYPES, UNNAMED))}."
                )
        if self.patients not in PATIENTS:
            raise DataError(f"Patients come from one of {', '.join(PATIENTS)}.")


@dataclass(frozen=True)
class _Case:
    series: Path
    mask: Path | None = None
    patient: str = ""
    site: str = ""
    split: str = ""
    uid: str = ""
    find_mask: bool = False


def rows_from_masks(
    source: Path, options: MasksOptions = MasksOptions(), progress: Progress = silent
) -> Reading:
    """Every case of a table or folder.

    Raises `ManifestError` naming a line of the table, `MaskError` and `DataError` naming a case.
    """
    source = Path(source).absolute()
    cases = _cases_from_table(source) if source.is_file() else _cases_from_folder(source)
    read = partial(_rows_of_case, options=options)
    return reading_from_cases(read, cases, lambda case: case.series, options, progress)


def _cases_from_folder(source: Path) -> list[_Case]:
    cases = [_Case(folder, find_mask=True) for folder in sorted(source.glob("*/"))]
    if not cases:
        raise DataError(f"{source} is neither a table nor a folder with one folder a case.")
    return cases


def _cases_from_table(path: Path) -> list[_Case]:
    cases = []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = csv.DictReader(file)
            names = [name.strip() for name in lines.fieldnames or ()]
            lines.fieldnames = names
            unknown = [name for name in names if name not in TABLE_COLUMNS]
            if unknown or not {"series", "mask"} <= set(names):
                raise ManifestError(
                    f"{path} has the columns {', '.join(names)}: give series and mask, and of "
                    f"{', '.join(TABLE_COLUMNS[2:])} what you know."
                )
            for number, line in enumerate(lines, 1):
                cells = {name: (line[name] or "").strip() for name in names}
                if not cells["series"]:
                    raise ManifestError(f"{path}, row {number}, series: is empty")
                cases.append(_case_from_cells(cells, path.parent))
    except OSError as error:
        raise ManifestError(f"{path} cannot be read ({error.strerror or error}).") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ManifestError(f"{path} is no CSV that can be read: {error}") from error
    return cases


def _case_from_cells(cells: dict[str, str], folder: Path) -> _Case:
    return _Case(
        series=folder / cells["series"],
        mask=folder / cells["mask"] if cells["mask"] else None,
        patient=cells.get("patient", ""),
        site=cells.get("site", ""),
        split=cells.get("split", ""),
        uid=cells.get("SeriesInstanceUID", ""),
    )


def _rows_of_case(case: _Case, options: MasksOptions) -> list[SliceRow]:
    intake = intake_from_paths([case.series], case.uid or None)
    mask = _mask_beside(case.series, intake) if case.find_mask else case.mask
    labels, lesion_ml = _truth(mask, intake, options)
    patient = case.patient or _patient(case, intake, options)
    return [
        SliceRow(
            series=intake.folder,
            StudyInstanceUID=header.StudyInstanceUID,
            SeriesInstanceUID=header.SeriesInstanceUID,
            SOPInstanceUID=header.SOPInstanceUID,
            labels=of_slice,
            mask=mask,
            lesion_ml=lesion_ml,
            patient=patient,
            site=case.site or options.site,
            split=case.split or options.split,
            annotation="slice" if mask is None else "mask",
        )
        for header, of_slice in zip(intake.series.slices, labels, strict=True)
    ]


def _truth(
    mask: Path | None, intake: Intake, options: MasksOptions
) -> tuple[list[tuple[int | None, ...]], float | None]:
    """Labels of every slice, and all blood in millilitres."""
    series = intake.series
    if mask is not None:
        regions = regions_from_file(mask, series)
        labels = labels_from_regions(regions, series, options.meaning)
        return labels, lesion_ml_from_blood(regions.blood, series)
    if not options.no_mask_is_normal:
        raise MaskError(
            "it has no mask. Where that means that there is no blood, say --no-mask-is-normal."
        )
    return [(0,) * len(LABELS)] * len(series.slices), 0.0


def _mask_beside(folder: Path, intake: Intake) -> Path | None:
    """The one mask in a case's folder, by its name or by its Modality."""
    found = [path for path in folder.rglob("*") if path.name.lower().endswith(NIFTI)]
    found += [header.path for header in intake.headers if header.Modality == "SEG"]
    if len(found) > 1:
        names = ", ".join(sorted(path.name for path in found))
        raise MaskError(f"it has {len(found)} masks, {names}: keep one, or give a table.")
    return found[0] if found else None


def _patient(case: _Case, intake: Intake, options: MasksOptions) -> str:
    if options.patients == "folder":
        return case.series.name
    return identity_from_file(intake.series.slices[0].path).patient
