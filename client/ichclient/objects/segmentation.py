"""Judgement -> DICOM SEG: the lesion probability on the source images' own pixels.

Fractional, 255 for a probability of 1: the threshold belongs to the ensemble spec, and a reader of
the object is given what a threshold is put to instead. No pixel is resampled for the object, so
gantry tilt and uneven spacing stay as they were scanned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ichclient.objects import codes
from ichclient.objects.finish import UTF8, bytes_of, copy_lossy, equipment
from ichclient.objects.judgement import PRODUCT, Judgement, device_uid

if TYPE_CHECKING:
    from pydicom import Dataset

SERIES_NUMBER = 9902
SERIES_DESCRIPTION = "ICH probability - RESEARCH DEMONSTRATION"
MOST = 255


def segmentation_from_judgement(judgement: Judgement) -> bytes | None:
    """The segmentation as a file; None where every pixel of every mask is 0.

    Slices without a mask have no frame in it.
    """
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.seg import Segmentation, SegmentDescription

    used = [index for index, mask in enumerate(judgement.judged.mask) if mask.any()]
    masks = {index: judgement.mask(index) for index in used}
    used = [index for index in used if masks[index].any()]
    if not used:
        return None
    stamp = judgement.provenance
    name, version = judgement.name_and_version
    algorithm = AlgorithmIdentificationSequence(
        name=name, version=version, family=codes.ARTIFICIAL_INTELLIGENCE.concept
    )
    segment = SegmentDescription(
        segment_number=1,
        segment_label="Intracranial hemorrhage",
        segmented_property_category=codes.ABNORMAL_STRUCTURE.concept,
        segmented_property_type=codes.INTRACRANIAL.concept,
        algorithm_type="AUTOMATIC",
        algorithm_identification=algorithm,
        tracking_uid=judgement.tracking_uid("mask"),
        tracking_id="ICH mask",
        anatomic_regions=[codes.BRAIN.concept],
    )
    images = [judgement.source.images[index] for index in used]
    segmentation = Segmentation(
        source_images=images,
        # Every frame is there, and gets its pixels below: highdicom takes probabilities as floats
        # alone, of which a thin series would need more than a gigabyte.
        pixel_array=np.ones((len(used), *masks[used[0]].shape), dtype=np.uint8),
        segmentation_type="FRACTIONAL",
        fractional_type="PROBABILITY",
        max_fractional_value=MOST,
        segment_descriptions=[segment],
        series_instance_uid=stamp.uid("segmentation", "series"),
        series_number=SERIES_NUMBER,
        series_description=SERIES_DESCRIPTION,
        sop_instance_uid=stamp.uid("segmentation"),
        instance_number=1,
        content_label="ICH",
        content_description="Research demonstration, not a medical device",
        content_creator_name=f"{PRODUCT}^",
        specific_character_set=UTF8,
        **equipment(version, device_serial_number=device_uid(judgement.result)),
    )
    by_uid = dict(zip((image.SOPInstanceUID for image in images), used, strict=True))
    frames = segmentation.PerFrameFunctionalGroupsSequence
    segmentation.PixelData = b"".join(
        masks[by_uid[_source_uid(frame)]].tobytes() for frame in frames
    )
    copy_lossy(segmentation, judgement.source)
    return bytes_of(segmentation, judgement.source, stamp)


def _source_uid(frame: Dataset) -> str:
    """The image that a frame was made of."""
    derivation = frame.DerivationImageSequence[0]
    return str(derivation.SourceImageSequence[0].ReferencedSOPInstanceUID)
