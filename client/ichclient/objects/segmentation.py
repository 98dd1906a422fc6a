"""Judgement -> DICOM SEG: the lesion on the source images' own pixels, as probability and as mask.

The probability is what the ensemble says, 255 for 1; the mask is where it reaches a level, since
common viewers draw no probabilities. No pixel is resampled for the objects, so gantry tilt and
uneven spacing stay as they were scanned.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ichclient.objects import codes
from ichclient.objects.finish import UTF8, bytes_of, copy_lossy, equipment
from ichclient.objects.judgement import PRODUCT, Judgement, device_uid
from ichclient.objects.references import name_frames, single_images

if TYPE_CHECKING:
    from pydicom import Dataset

SERIES_NUMBER = 9902
SERIES_DESCRIPTION = "ICH segmentation - RESEARCH DEMONSTRATION"
MOST = 255

Planes = Mapping[int, NDArray[np.uint8]]
"""Slices by their index, each [Rows, Columns]; only those that show something."""


def probability_from_judgement(judgement: Judgement) -> bytes | None:
    """The fractional segmentation as a file; None where every pixel of every mask is 0."""
    planes = _planes(judgement)
    if not planes:
        return None
    # highdicom takes probabilities as floats alone, of which a thin series would need more than a
    # gigabyte: it is given frames that are there, and they get their pixels afterwards.
    segmentation = _segmentation(
        judgement,
        "probability",
        {index: np.ones_like(plane) for index, plane in planes.items()},
        segmentation_type="FRACTIONAL",
        fractional_type="PROBABILITY",
        max_fractional_value=MOST,
        instance_number=1,
    )
    source = judgement.source
    by_name = {
        (source.images[index].SOPInstanceUID, source.frame_numbers[index]): index
        for index in planes
    }
    segmentation.PixelData = b"".join(
        planes[by_name[_source_of(frame)]].tobytes()
        for frame in segmentation.PerFrameFunctionalGroupsSequence
    )
    return bytes_of(segmentation, judgement.source, judgement.provenance)


def mask_from_judgement(judgement: Judgement, level: float) -> bytes | None:
    """The binary segmentation as a file; None where no pixel reaches the probability `level`."""
    inside = {
        index: (plane >= level * MOST).astype(np.uint8)
        for index, plane in _planes(judgement).items()
    }
    planes = {index: plane for index, plane in inside.items() if plane.any()}
    if not planes:
        return None
    segmentation = _segmentation(
        judgement,
        f"probability {level:g} and above",
        planes,
        segmentation_type="BINARY",
        instance_number=2,
    )
    return bytes_of(segmentation, judgement.source, judgement.provenance)


def _planes(judgement: Judgement) -> dict[int, NDArray[np.uint8]]:
    shown = (index for index, mask in enumerate(judgement.judged.mask) if mask.any())
    planes = ((index, judgement.mask(index)) for index in shown)
    return {index: plane for index, plane in planes if plane.any()}


def _segmentation(judgement: Judgement, what: str, planes: Planes, **facts: Any) -> Dataset:
    """The object around planes of one segment; `what` tells it from its sibling."""
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.seg import Segmentation, SegmentDescription

    stamp, source = judgement.provenance, judgement.source
    name, version = judgement.name_and_version
    algorithm = AlgorithmIdentificationSequence(
        name=name, version=version, family=codes.ARTIFICIAL_INTELLIGENCE.concept
    )
    segment = SegmentDescription(
        segment_number=1,
        segment_label=f"ICH, {what}",
        segmented_property_category=codes.ABNORMAL_STRUCTURE.concept,
        segmented_property_type=codes.INTRACRANIAL.concept,
        algorithm_type="AUTOMATIC",
        algorithm_identification=algorithm,
        tracking_uid=judgement.tracking_uid("segment", what),
        tracking_id=f"ICH, {what}",
        anatomic_regions=[codes.BRAIN.concept],
    )
    segmentation: Dataset = Segmentation(
        source_images=single_images(source, planes),
        pixel_array=np.stack(list(planes.values())),
        segment_descriptions=[segment],
        series_instance_uid=stamp.uid("segmentation", "series"),
        series_number=SERIES_NUMBER,
        series_description=SERIES_DESCRIPTION,
        sop_instance_uid=stamp.uid("segmentation", what),
        content_label="ICH",
        content_description="Research demonstration, not a medical device",
        content_creator_name=f"{PRODUCT}^",
        specific_character_set=UTF8,
        **equipment(version, device_serial_number=device_uid(judgement.result)),
        **facts,
    )
    name_frames(segmentation, source)
    copy_lossy(segmentation, source)
    return segmentation


def _source_of(frame: Dataset) -> tuple[str, int | None]:
    """The image that a frame was made of, and which frame of that."""
    named = frame.DerivationImageSequence[0].SourceImageSequence[0]
    return str(named.ReferencedSOPInstanceUID), named.get("ReferencedFrameNumber")
