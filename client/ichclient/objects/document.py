"""Measurement groups -> a TID 1500 document: who observed, in which images, as a file.

What every report has in common, whether a study was judged or refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ichclient.objects import codes
from ichclient.objects.finish import UTF8, bytes_of, equipment
from ichclient.objects.judgement import PRODUCT, Predecessor, Provenance
from ichclient.objects.references import frames_of, instances
from ichclient.objects.sources import SourceStudy
from ichclient.result import DISCLAIMER

if TYPE_CHECKING:
    import highdicom
    from pydicom import Dataset

SERIES_NUMBER = 9901
SERIES_DESCRIPTION = "ICH report - RESEARCH DEMONSTRATION"


@dataclass(frozen=True)
class Maker:
    """The algorithm that speaks: its name, its version, and the UID of this version of it."""

    name: str
    version: str
    device_uid: str


def document_of_groups(
    source: SourceStudy,
    stamp: Provenance,
    maker: Maker,
    groups: Sequence[Any],
    *,
    incomplete: str = "",
) -> bytes:
    """A document around measurement groups, with every source image as its evidence.

    `incomplete` says in at most 64 letters why the analysis did not come to its end.
    """
    from highdicom.sr import Comprehensive3DSR

    document = Comprehensive3DSR(
        evidence=instances(source),
        content=_content(source, maker.device_uid, groups),
        series_instance_uid=stamp.uid("report", "series"),
        series_number=SERIES_NUMBER,
        series_description=SERIES_DESCRIPTION,
        sop_instance_uid=stamp.uid("report"),
        instance_number=1,
        is_complete=not incomplete,
        is_final=False,
        is_verified=False,
        specific_character_set=UTF8,
        contributing_equipment=[_contribution(maker)],
        previous_versions=_previous(stamp.predecessor),
        **equipment(maker.version),
    )
    if incomplete:
        document.CompletionFlagDescription = incomplete
    return bytes_of(document, source, stamp)


def _content(source: SourceStudy, uid: str, groups: Sequence[Any]) -> Any:
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
    items.insert(len(items) - 1, _library(source))
    return content[0]


def _library(source: SourceStudy) -> Any:
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
                referenced_frame_numbers=frames_of(source, image, range(len(source.images))),
                relationship_type="CONTAINS",
            )
            for image in instances(source)
        ]
    )
    library = sr.ContainerContentItem(
        name=codes.IMAGE_LIBRARY.concept, relationship_type="CONTAINS"
    )
    library.ContentSequence = sr.ContentSequence([group])
    return library


def _contribution(maker: Maker) -> highdicom.ContributingEquipment:
    """IHE AIR: the algorithm as equipment, with a Device UID of its own."""
    from highdicom import ContributingEquipment

    item = ContributingEquipment(
        manufacturer=PRODUCT,
        purpose_of_reference=codes.PROCESSING_EQUIPMENT.concept,
        manufacturer_model_name=maker.name,
        software_versions=maker.version,
        contribution_description=DISCLAIMER,
    )
    item.DeviceUID = maker.device_uid
    return item


def _previous(earlier: Predecessor | None) -> list[Dataset] | None:
    from pydicom import Dataset

    if earlier is None:
        return None
    named = Dataset()
    for name, value in vars(earlier).items():
        setattr(named, name, value)
    return [named]
