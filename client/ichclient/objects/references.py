"""Slices of a series -> references to their images: whole files, or frames of enhanced ones.

highdicom makes segmentations of one multi-frame image or of many single ones, while a series may
lie in several enhanced files. So it is given a stand-in for each frame, under a UID of its own,
and the finished object names the frame itself instead.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ichclient.objects.judgement import uid_from
from ichclient.objects.sources import CT_IMAGE_STORAGE, SourceStudy

if TYPE_CHECKING:
    from pydicom import Dataset


def instances(source: SourceStudy, indices: Iterable[int] | None = None) -> list[Dataset]:
    """The images of these slices, or of all: each file once, in the order of its first slice."""
    chosen = range(len(source.images)) if indices is None else indices
    images = [source.images[index] for index in chosen]
    return list({image.SOPInstanceUID: image for image in images}.values())


def frames_of(source: SourceStudy, image: Dataset, indices: Iterable[int]) -> list[int] | None:
    """Which frames of an image these slices are; None where a reference means all of it."""
    numbers = [
        number
        for index in indices
        if source.images[index].SOPInstanceUID == image.SOPInstanceUID
        and (number := source.frame_numbers[index]) is not None
    ]
    whole = len(set(numbers)) in (0, image.get("NumberOfFrames"))
    return None if whole else numbers


def reference(source: SourceStudy, index: int) -> Dataset:
    """The item that names the image of one slice, and its frame."""
    from pydicom import Dataset

    image, item = source.images[index], Dataset()
    item.ReferencedSOPClassUID = image.SOPClassUID
    item.ReferencedSOPInstanceUID = image.SOPInstanceUID
    if (frames := frames_of(source, image, [index])) is not None:
        item.ReferencedFrameNumber = frames
    return item


def single_images(source: SourceStudy, indices: Iterable[int]) -> list[Dataset]:
    """One single-frame image a slice; that of a frame is a stand-in for `name_frames`."""
    return [_single(source, index) for index in indices]


def name_frames(segmentation: Dataset, source: SourceStudy) -> None:
    """Put the frames of enhanced images into a segmentation of their stand-ins."""
    index_of = {
        _stand_in_uid(source, index): index
        for index, number in enumerate(source.frame_numbers)
        if number is not None
    }
    if not index_of:
        return
    for frame in segmentation.PerFrameFunctionalGroupsSequence:
        for derivation in frame.DerivationImageSequence:
            for item in derivation.SourceImageSequence:
                index = index_of[item.ReferencedSOPInstanceUID]
                _name(item, source.images[index])
                item.ReferencedFrameNumber = source.frame_numbers[index]
    for series in segmentation.ReferencedSeriesSequence:
        named = {}
        for item in series.ReferencedInstanceSequence:
            image = source.images[index_of[item.ReferencedSOPInstanceUID]]
            _name(item, image)
            named[image.SOPInstanceUID] = item
        series.ReferencedInstanceSequence = list(named.values())


def _name(item: Dataset, image: Dataset) -> None:
    item.ReferencedSOPClassUID = image.SOPClassUID
    item.ReferencedSOPInstanceUID = image.SOPInstanceUID


def _single(source: SourceStudy, index: int) -> Dataset:
    image = source.images[index]
    if source.frame_numbers[index] is None:
        return image
    single = copy.deepcopy(image)
    del single.NumberOfFrames
    single.SOPClassUID = CT_IMAGE_STORAGE
    single.SOPInstanceUID = _stand_in_uid(source, index)
    return single


def _stand_in_uid(source: SourceStudy, index: int) -> str:
    return uid_from(source.images[index].SOPInstanceUID, str(source.frame_numbers[index]))
