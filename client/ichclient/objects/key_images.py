"""Judgement -> Secondary Capture: the top slices as a reader sees them, with the mask's outline.

What viewers show without knowing any template. The warning is part of the pixels; no patient's
name, number or date is.
"""

from __future__ import annotations

import numpy as np

from ichclient.geometry import canonical_orientation
from ichclient.hounsfield import hu_of_slice
from ichclient.objects.finish import MANUFACTURER, UTF8, bytes_of, copy_lossy, equipment
from ichclient.objects.judgement import Judgement
from ichclient.objects.references import reference
from ichclient.picture import outlined_from_slice

SERIES_NUMBER = 9903
SERIES_DESCRIPTION = "ICH key images - RESEARCH DEMONSTRATION"


def key_images_from_judgement(judgement: Judgement) -> list[bytes]:
    """One file for each top slice, the highest score first."""
    return [
        _key_image(judgement, number, index)
        for number, index in enumerate(judgement.result.top_slices, start=1)
    ]


def key_image_uid(judgement: Judgement, index: int) -> str:
    """The SOPInstanceUID of the key image of a slice."""
    return judgement.provenance.uid("key image", str(index))


def _key_image(judgement: Judgement, number: int, index: int) -> bytes:
    from highdicom.sc import SCImage

    result, stamp, source = judgement.result, judgement.provenance, judgement.source
    one = hu_of_slice(judgement.series, index)
    orientation = one.header.ImageOrientationPatient
    assert orientation is not None  # hu_of_slice refuses a slice without it
    mask = canonical_orientation(orientation).canonical(judgement.mask(index))
    caption = (
        f"slice {index + 1} of {len(result.slices)}, score {result.slices[index].score:.3f}, "
        f"outline at {result.mask_level:g}"
    )
    _, version = judgement.name_and_version
    captured = SCImage(
        pixel_array=outlined_from_slice(one, mask / np.float32(255), caption, result.mask_level),
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=("L", "P"),
        study_instance_uid=source.images[0].StudyInstanceUID,
        series_instance_uid=stamp.uid("key images", "series"),
        series_number=SERIES_NUMBER,
        series_description=SERIES_DESCRIPTION,
        sop_instance_uid=key_image_uid(judgement, index),
        instance_number=number,
        specific_character_set=UTF8,
        **equipment(version),
    )
    captured.Laterality = ""  # asked for wherever BodyPartExamined is not told; a head has none
    captured.SourceImageSequence = [reference(source, index)]
    captured.SecondaryCaptureDeviceManufacturer = MANUFACTURER
    # DICOM asks whether the text in the pixels tells who the patient is: it does not.
    captured.BurnedInAnnotation = "NO"
    copy_lossy(captured, source)
    return bytes_of(captured, source, stamp)
