"""Judgement -> TID 1500 Comprehensive 3D SR: what was looked for, how sure, at which thresholds.

One measurement group for intracranial haemorrhage at each operating point, since they may differ,
and one for each member, which has a certainty but no threshold, and so no word on presence. A
group that says `Present` marks the place where the mask is highest: viewers show nothing of a
report without coordinates. A negative marks no place, since there is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ichclient.objects import codes
from ichclient.objects.finish import UTF8, bytes_of, equipment
from ichclient.objects.judgement import PRODUCT, Judgement, device_uid
from ichclient.objects.place import Place, highest_place
from ichclient.result import DISCLAIMER
from ichcore import Decision

if TYPE_CHECKING:
    import highdicom
    from pydicom import Dataset

SERIES_NUMBER = 9901
SERIES_DESCRIPTION = "ICH report - RESEARCH DEMONSTRATION"


def report_from_judgement(judgement: Judgement) -> bytes:
    """The report of a judged series as a file."""
    place = highest_place(judgement)
    groups = [
        *(
            _point_group(judgement, point, decision, place)
            for point, decision in judgement.result.decisions.items()
        ),
        *(_member_group(judgement, *member) for member in judgement.result.member_scores.items()),
    ]
    return report_of_groups(judgement, groups)


def report_of_groups(judgement: Judgement, groups: Sequence[Any]) -> bytes:
    """A document around measurement groups, with every source image as its evidence."""
    from highdicom.sr import Comprehensive3DSR

    result, source, stamp = judgement.result, judgement.source, judgement.provenance
    name, version = judgement.name_and_version
    uid = device_uid(result)
    document = Comprehensive3DSR(
        evidence=list(source.images),
        content=_content(source.images, uid, groups),
        series_instance_uid=stamp.uid("report", "series"),
        series_number=SERIES_NUMBER,
        series_description=SERIES_DESCRIPTION,
        sop_instance_uid=stamp.uid("report"),
        instance_number=1,
        is_complete=True,
        is_final=False,
        is_verified=False,
        specific_character_set=UTF8,
        contributing_equipment=[_contribution(name, version, uid)],
        previous_versions=_previous(judgement),
        **equipment(version),
    )
    return bytes_of(document, source, stamp)


def _content(images: Sequence[Dataset], uid: str, groups: Sequence[Any]) -> Any:
    from highdicom import sr

    device = sr.DeviceObserverIdentifyingAttributes(
        uid=uid, name=PRODUCT, manufacturer_name=PRODUCT, model_name=PRODUCT
    )
    observer = sr.ObserverContext(codes.DEVICE.concept, device)
    content = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=observer),
        procedure_reported=codes.CT_OF_HEAD.concept,
        imaging_measurements=groups,
    )
    # Before the measurements, as TID 1500 orders them. highdicom's own library copies some
    # fifteen attributes of each image and needs SliceThickness, which a file may lack.
    items = content[0].ContentSequence
    items.insert(len(items) - 1, _library(images))
    return content[0]


def _library(images: Sequence[Dataset]) -> Any:
    """TID 1600: the images that were analysed, so that every one of them is evidence."""
    from highdicom import sr

    group = sr.ContainerContentItem(
        name=codes.IMAGE_LIBRARY_GROUP.concept, relationship_type="CONTAINS"
    )
    group.ContentSequence = sr.ContentSequence(
        [
            sr.ImageContentItem(
                name=codes.SOURCE.concept,
                referenced_sop_class_uid=image.SOPClassUID,
                referenced_sop_instance_uid=image.SOPInstanceUID,
                relationship_type="CONTAINS",
            )
            for image in images
        ]
    )
    library = sr.ContainerContentItem(
        name=codes.IMAGE_LIBRARY.concept, relationship_type="CONTAINS"
    )
    library.ContentSequence = sr.ContentSequence([group])
    return library


def _point_group(judgement: Judgement, point: str, decision: Decision, place: Place | None) -> Any:
    """Whether there is a haemorrhage at one operating point."""
    from highdicom import sr

    facts = _facts(judgement, codes.INTRACRANIAL, "ICH", point, judgement.result.study_score)
    facts["qualitative_evaluations"] = [
        sr.QualitativeEvaluation(
            codes.PRESENCE.concept, codes.PRESENCE_OF_DECISION[decision].concept
        )
    ]
    if place is None or decision is not Decision.POSITIVE:
        return sr.MeasurementsAndQualitativeEvaluations(**facts)
    return sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        referenced_region=_region(judgement, place), **facts
    )


def _member_group(judgement: Judgement, member: str, score: float) -> Any:
    """How sure one member is of what it looks for."""
    from highdicom import sr

    finding = codes.finding_of_member(member)
    return sr.MeasurementsAndQualitativeEvaluations(
        **_facts(judgement, finding, member, None, score)
    )


def _facts(
    judgement: Judgement, finding: codes.CodeRow, what: str, point: str | None, score: float
) -> dict[str, Any]:
    """What the groups of a finding have in common; `score` of 0 to 1 becomes per cent."""
    from highdicom import sr

    label = what if point is None else f"{what} at {point}"
    return {
        "tracking_identifier": sr.TrackingIdentifier(
            uid=judgement.tracking_uid(what, point or ""), identifier=label
        ),
        "finding_type": finding.concept,
        "finding_sites": [sr.FindingSite(codes.BRAIN.concept)],
        "algorithm_id": _algorithm(judgement, point),
        "measurements": [
            sr.Measurement(codes.CERTAINTY.concept, round(100 * score, 3), codes.PERCENT.concept)
        ],
    }


def _algorithm(judgement: Judgement, point: str | None) -> Any:
    """TID 4019: name and version, and in words what else decides the numbers."""
    from highdicom import sr

    result = judgement.result
    name, version = judgement.name_and_version
    said = (
        *(() if point is None else (f"operating point: {point}",)),
        f"members: {', '.join(result.member_scores)}",
        f"provenance: {result.bundle.provenance}",
        f"spec SHA-256: {result.bundle.spec_sha256}",
    )
    return sr.AlgorithmIdentification(
        name=name,
        version=version,
        family=codes.ARTIFICIAL_INTELLIGENCE.concept,
        # One text, since readers are known that keep the first parameter only.
        parameters=["; ".join((*said, DISCLAIMER))],
    )


def _region(judgement: Judgement, place: Place) -> Any:
    """A point in the middle of a pixel, in image coordinates (column, row)."""
    from highdicom import sr

    image = judgement.source.images[place.index]
    return sr.ImageRegion(
        graphic_type="POINT",
        graphic_data=np.array([[place.column + 0.5, place.row + 0.5]]),
        source_image=sr.SourceImageForRegion(image.SOPClassUID, image.SOPInstanceUID),
    )


def _contribution(name: str, version: str, uid: str) -> highdicom.ContributingEquipment:
    """IHE AIR: the algorithm as equipment, with a Device UID of its own."""
    from highdicom import ContributingEquipment

    item = ContributingEquipment(
        manufacturer=PRODUCT,
        purpose_of_reference=codes.PROCESSING_EQUIPMENT.concept,
        manufacturer_model_name=name,
        software_versions=version,
        contribution_description=DISCLAIMER,
    )
    item.DeviceUID = uid
    return item


def _previous(judgement: Judgement) -> list[Dataset] | None:
    from pydicom import Dataset

    earlier = judgement.provenance.predecessor
    if earlier is None:
        return None
    named = Dataset()
    for name, value in vars(earlier).items():
        setattr(named, name, value)
    return [named]
