"""A result -> the files of its objects, in the folder `dicom` beside result.json.

The same result gives the same bytes: UIDs are hashes, and times are those of the analysis. Where
the folder holds the report of the same result already, its times are kept. Where it holds that of
another result of the study, the new report is a new instance that names it as its predecessor.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from ichclient.objects.earlier import earlier_report
from ichclient.objects.extra import require_highdicom
from ichclient.objects.judgement import Judgement, Provenance, digest_of
from ichclient.objects.key_images import key_images_from_judgement
from ichclient.objects.key_objects import key_objects_from_judgement
from ichclient.objects.report import report_from_judgement
from ichclient.objects.segmentation import mask_from_judgement, probability_from_judgement
from ichclient.objects.sources import source_study
from ichclient.result import Result
from ichclient.series import Series
from ichclient.stream import Judged

if TYPE_CHECKING:
    from pydicom import Dataset

FOLDER = "dicom"
REPORT_FILE = f"{FOLDER}/report.dcm"
PROBABILITY_FILE = f"{FOLDER}/probability.dcm"
MASK_FILE = f"{FOLDER}/mask.dcm"
KEY_OBJECTS_FILE = f"{FOLDER}/key_objects.dcm"
_KEY_IMAGE_FILE = f"{FOLDER}/key_image_{{}}.dcm"

Written: TypeAlias = Callable[[tuple[Path, ...]], None]
"""Hears which files are all the objects of a result, once they are on disk."""


def object_files(
    series: Series, judged: Judged, result: Result, out: Path, began: datetime | None = None
) -> dict[str, bytes | None]:
    """Every object by its name below `out`; None for one of an earlier result that must go.

    `began` is when the analysis started, by default `total_s` before now. Raises ObjectsError.
    """
    require_highdicom()
    took = timedelta(seconds=result.timings.get("total_s", 0.0))
    source = source_study(series.slices, series.slice_spacing_mm)
    began = began or datetime.now() - took
    stamp = stamp_of(digest_of(result, judged), out, result.study.StudyInstanceUID, began)
    judgement = Judgement(series, judged, result, source, stamp)
    key_images = key_images_from_judgement(judgement)
    key_objects = key_objects_from_judgement(judgement, [_header(each) for each in key_images])
    files = earlier_objects(out)
    for number, key_image in enumerate(key_images, start=1):
        files[_KEY_IMAGE_FILE.format(number)] = key_image
    files[PROBABILITY_FILE] = probability_from_judgement(judgement)
    files[MASK_FILE] = mask_from_judgement(judgement, judgement.result.mask_level)
    files[KEY_OBJECTS_FILE] = key_objects
    files[REPORT_FILE] = report_from_judgement(judgement)
    return files


def stamp_of(digest: str, out: Path, study_uid: str, began: datetime) -> Provenance:
    """The stamp of the report in `out` if it is of the same result, else one that names it."""
    earlier = earlier_report(out / REPORT_FILE, study_uid)
    if earlier is None:
        return Provenance(digest, began)
    same = Provenance(digest, earlier.began or began, earlier.predecessor)
    if same.uid("report") == earlier.itself.SOPInstanceUID:
        return same
    return Provenance(digest, began, earlier.itself)


def written_objects(out: Path, files: Mapping[str, bytes | None]) -> tuple[Path, ...]:
    """Where the objects of one result lie, once `files` are written below `out`."""
    return tuple(out / name for name, content in files.items() if content is not None)


def earlier_objects(out: Path) -> dict[str, bytes | None]:
    """None for every object but the report that an earlier result may have left in `out`."""
    key_images = (out / FOLDER).glob("key_image_*.dcm")
    names = [path.relative_to(out).as_posix() for path in key_images]
    return dict.fromkeys([*names, PROBABILITY_FILE, MASK_FILE, KEY_OBJECTS_FILE])


def _header(content: bytes) -> Dataset:
    from pydicom import dcmread

    return dcmread(io.BytesIO(content), stop_before_pixels=True)
