"""A study that could not be judged -> a report that says so, for those who wait for one.

Without it a PACS cannot tell a study that was refused from one that nobody has looked at. It says
that no algorithm succeeded and why, and says nothing of presence: silence is not a negative.

No report is written where one would have to guess: of files that mix patients or studies (whose
report would it be?), and of images without the UIDs by which a report could name them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ichclient.dicom import headers_from_path
from ichclient.errors import ObjectsError, RefusedInput
from ichclient.headers import Scan, SliceHeader
from ichclient.objects import codes
from ichclient.objects.document import Maker, document_of_groups
from ichclient.objects.files import (
    REPORT_FILE,
    Written,
    earlier_objects,
    stamp_of,
    written_objects,
)
from ichclient.objects.judgement import PRODUCT, uid_from
from ichclient.objects.sources import SourceStudy, source_study
from ichclient.output import write_files
from ichclient.result import DISCLAIMER
from ichclient.rules import RuleBook

_CODE = re.compile(r"\[(\w+)\]")
_DESCRIPTION_LETTERS = 64  # VR LO


@contextmanager
def refusals_reported(
    path: Path,
    out: Path | None,
    series_uid: str | None,
    book: RuleBook,
    written: Written = lambda _: None,
) -> Iterator[None]:
    """Where the study at `path` is refused within the block, write that into the folder `out`.

    `written` hears of the report; the refusal goes on to the caller. Without a folder nothing is
    done.
    """
    began = datetime.now()
    try:
        yield
    except RefusedInput as refusal:
        if out is not None:
            scan = headers_from_path(path, book)
            files = refusal_files(scan, refusal, out, began, series_uid)
            write_files(out, files)
            if files:
                written(written_objects(out, files))
        raise


def refusal_files(
    scan: Scan,
    refusal: RefusedInput,
    out: Path,
    began: datetime,
    series_uid: str | None = None,
) -> dict[str, bytes | None]:
    """The report of a refused study by its name below `out`; empty where none can be honest.

    None for an object of an earlier result, which the report replaces. Of a series that was named
    the report speaks of that series alone, and of a name that is not there of nothing.
    """
    images = tuple(
        header
        for header in scan.headers
        if header.is_ct_image and series_uid in (None, header.SeriesInstanceUID)
    )
    if not images or _mixed(images):
        return {}
    try:
        source = source_study(images)
    except ObjectsError:
        return {}
    sentence = str(refusal)
    uids = sorted(header.SOPInstanceUID for header in images)
    digest = hashlib.sha256("\n".join((sentence, *uids)).encode()).hexdigest()
    stamp = stamp_of(digest, out, images[0].StudyInstanceUID, began)
    maker = _maker()
    reasons = ", ".join(dict.fromkeys(_CODE.findall(sentence))) or "refused"
    document = document_of_groups(
        source,
        stamp,
        maker,
        [_group(source, maker, sentence)],
        incomplete=f"Not judged: {reasons}"[:_DESCRIPTION_LETTERS],
    )
    return {**earlier_objects(out), REPORT_FILE: document}


def _mixed(images: tuple[SliceHeader, ...]) -> bool:
    return len({(image.StudyInstanceUID, image.patient_key) for image in images}) > 1


def _maker() -> Maker:
    """The client alone: no server was asked, or what it said does not count."""
    try:
        installed = version(PRODUCT)
    except PackageNotFoundError:  # run from a checkout
        installed = "unknown"
    return Maker(PRODUCT, installed, uid_from(PRODUCT, "client", installed))


def _group(source: SourceStudy, maker: Maker, sentence: str) -> Any:
    from highdicom import sr

    study = str(source.images[0].StudyInstanceUID)
    return sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(
            uid=uid_from(study, "tracking", "refused"), identifier="ICH not judged"
        ),
        finding_type=codes.INTRACRANIAL.concept,
        finding_sites=[sr.FindingSite(codes.BRAIN.concept)],
        algorithm_id=sr.AlgorithmIdentification(
            name=maker.name, version=maker.version, parameters=[f"{sentence}\n{DISCLAIMER}"]
        ),
        qualitative_evaluations=[
            sr.QualitativeEvaluation(
                codes.SUMMARY_OF_DETECTIONS.concept, codes.NO_ALGORITHM_SUCCEEDED.concept
            )
        ],
    )
