"""A file -> whose image it is: the one place of a station that reads an identity."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path

from ichclient.errors import RefusedInput
from ichclient.headers import CT_IMAGE_CLASSES
from ichclient.sources.address import is_uid
from ichclient.station.studies import Identity

_MAX_LETTERS = 324  # three groups of a person's name


@dataclass(frozen=True)
class Arrived:
    """What a station has to know of an image before it keeps it."""

    SOPInstanceUID: str = field(repr=False)
    SOPClassUID: str
    identity: Identity


def arrived_from_file(path: Path) -> Arrived:
    """Read a file's header; raises RefusedInput for what is no CT image with its UIDs.

    The messages name no file and quote nothing of it.
    """
    from pydicom import dcmread

    keywords = [each.name for each in fields(Identity)]
    wanted = ["SpecificCharacterSet", "SOPClassUID", "SOPInstanceUID", *keywords]
    try:
        with _quiet():
            found = dcmread(path, stop_before_pixels=True, specific_tags=list(wanted))
            texts = {keyword: str(found.get(keyword) or "").strip() for keyword in wanted}
    except OSError:
        raise
    except Exception as error:  # pydicom raises many kinds on broken bytes
        raise RefusedInput(
            f"It is no DICOM that can be read ({type(error).__name__}). [not_dicom]"
        ) from None
    if texts["SOPClassUID"] not in CT_IMAGE_CLASSES:
        raise RefusedInput("It is no CT image. [not_ct]")
    if not (is_uid(texts["SOPInstanceUID"]) and is_uid(texts["StudyInstanceUID"])):
        raise RefusedInput("It has no SOPInstanceUID or no StudyInstanceUID. [no_uid]")
    identity = Identity(**{keyword: texts[keyword][:_MAX_LETTERS] for keyword in keywords})
    return Arrived(texts["SOPInstanceUID"], texts["SOPClassUID"], identity)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep pydicom from printing values it dislikes: they may identify a patient."""
    from pydicom import config

    with warnings.catch_warnings(), config.disable_value_validation():
        warnings.simplefilter("ignore")
        yield
