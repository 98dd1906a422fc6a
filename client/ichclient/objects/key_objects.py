"""Judgement -> Key Object Selection: the top slices and their key images, to be opened first."""

from __future__ import annotations

from typing import Any

from ichclient.objects import codes
from ichclient.objects.finish import UTF8, bytes_of, equipment
from ichclient.objects.judgement import PRODUCT, Judgement, device_uid
from ichclient.objects.references import frames_of, instances
from ichclient.result import DISCLAIMER

SERIES_NUMBER = 9904
SERIES_DESCRIPTION = "ICH key objects - RESEARCH DEMONSTRATION"


def key_objects_from_judgement(judgement: Judgement, key_images: list[Any]) -> bytes:
    """The selection as a file; `key_images` are the datasets of this result's own."""
    from highdicom import ko, sr

    stamp, source = judgement.provenance, judgement.source
    indices = judgement.result.top_slices
    top = instances(source, indices)
    device = sr.DeviceObserverIdentifyingAttributes(
        uid=device_uid(judgement.result),
        name=PRODUCT,
        manufacturer_name=PRODUCT,
        model_name=PRODUCT,
    )
    selection = ko.KeyObjectSelection(
        document_title=codes.OF_INTEREST.concept,
        referenced_objects=[*key_images, *top],
        observer_device_context=sr.ObserverContext(codes.DEVICE.concept, device),
        description=f"The slices with the highest scores. {DISCLAIMER}",
    )
    for image in top:
        if (frames := frames_of(source, image, indices)) is not None:
            _named(selection, image).ReferencedFrameNumber = frames
    _, version = judgement.name_and_version
    document = ko.KeyObjectSelectionDocument(
        evidence=[*top, *key_images],
        content=selection,
        series_instance_uid=stamp.uid("key objects", "series"),
        series_number=SERIES_NUMBER,
        series_description=SERIES_DESCRIPTION,
        sop_instance_uid=stamp.uid("key objects"),
        instance_number=1,
        specific_character_set=UTF8,
        **equipment(version),
    )
    return bytes_of(document, source, stamp)


def _named(selection: Any, image: Any) -> Any:
    """The reference to an image in a selection; highdicom names whole images alone."""
    references = (item.get("ReferencedSOPSequence") for item in selection[0].ContentSequence)
    return next(
        found[0]
        for found in references
        if found and found[0].ReferencedSOPInstanceUID == image.SOPInstanceUID
    )
