"""Folders written by `ichtrain phantom` -> rows: DICOM files, masks.npz and manifest.json each."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ichtrain.data.drawn import labels_from_regions
from ichtrain.data.intake import intake_from_paths
from ichtrain.data.masks import regions_from_file
from ichtrain.data.parallel import Progress, silent
from ichtrain.data.readers.reading import ReaderOptions, Reading, reading_from_cases
from ichtrain.data.rows import SliceRow
from ichtrain.data.series import SUBTYPES
from ichtrain.errors import DataError
from ichtrain.phantom import Lesion

MEANING = {int(Lesion[name.upper()]): name for name in SUBTYPES}
"""What the values of `lesion` in masks.npz mean."""


@dataclass(frozen=True)
class PhantomsOptions(ReaderOptions):
    """Options of the phantom reader."""

    site: str = "phantom"


def rows_from_phantoms(
    source: Path, options: PhantomsOptions = PhantomsOptions(), progress: Progress = silent
) -> Reading:
    """Every phantom folder below `source`, itself included.

    Raises `DataError` where there is none, or one is broken.
    """
    folders = sorted(path.parent for path in Path(source).absolute().rglob("masks.npz"))
    if not folders:
        raise DataError(f"{source} holds no phantom; make some with `ichtrain phantom {source}`.")
    read = partial(_rows_of_phantom, options=options)
    return reading_from_cases(read, folders, str, options, progress)


def _rows_of_phantom(folder: Path, options: PhantomsOptions) -> list[SliceRow]:
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        patient = f"PHANTOM-{manifest['kind']}-{manifest['seed']}"
        uid, lesion_ml = manifest["SeriesInstanceUID"], float(manifest["lesion_ml"])
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"its manifest.json is broken ({error}).") from error
    series = intake_from_paths([folder], uid).series
    mask = folder / "masks.npz"
    labels = labels_from_regions(regions_from_file(mask, series), series, MEANING)
    return [
        SliceRow(
            series=folder,
            StudyInstanceUID=header.StudyInstanceUID,
            SeriesInstanceUID=header.SeriesInstanceUID,
            SOPInstanceUID=header.SOPInstanceUID,
            labels=of_slice,
            mask=mask,
            lesion_ml=lesion_ml,
            patient=patient,
            site=options.site,
            split=options.split,
            annotation="mask",
        )
        for header, of_slice in zip(series.slices, labels, strict=True)
    ]
