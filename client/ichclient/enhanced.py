"""Enhanced CT -> one header a frame, from its functional groups.

Enhanced and Legacy Converted Enhanced CT keep a whole stack in one file. What a frame says of
itself (position, slope, intercept) stands in the per-frame groups, what all frames share in the
shared ones, the rest at the top level (PS3.3 C.7.6.16); they are asked in that order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ichclient.attributes import Attributes, Source, header_fields, text
from ichclient.headers import SliceHeader, Verdict

_SHARED = "SharedFunctionalGroupsSequence"
_PER_FRAME = "PerFrameFunctionalGroupsSequence"
FUNCTIONAL_GROUPS = (_SHARED, _PER_FRAME, "ContrastBolusAgentSequence")

# The groups that say something a header holds; each has one item.
_GROUPS = (
    "PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence",
    "PixelValueTransformationSequence", "FrameContentSequence", "CTImageFrameTypeSequence",
    "CTReconstructionSequence", "FrameVOILUTSequence", "ContrastBolusUsageSequence",
    "UnassignedPerFrameConvertedAttributesSequence",
    "UnassignedSharedConvertedAttributesSequence",
)  # fmt: skip
# Header field -> what an enhanced image calls it.
_OTHER_NAMES = {
    "AcquisitionNumber": ("FrameAcquisitionNumber",),
    "ImageType": ("FrameType",),
}


def frames_from_dataset(header: SliceHeader, dataset: Any) -> tuple[SliceHeader, ...] | Verdict:
    """One header a frame; a verdict where the groups do not describe as many frames as there are.

    `header` is that of the file as a whole, `dataset` its pydicom dataset without pixels.
    """
    per_frame = list(dataset.get(_PER_FRAME) or ())
    shared = list(dataset.get(_SHARED) or ())
    if len(per_frame) != header.NumberOfFrames or len(shared) > 1:
        sentence = (
            f"NumberOfFrames is {header.NumberOfFrames}, but {len(per_frame)} frames are "
            "described, so which pixels lie where is unknown. Export it again."
        )
        facts = {"NumberOfFrames": header.NumberOfFrames, "described": len(per_frame)}
        return Verdict("frames_disagree", sentence, header.relative_path, facts)
    common = [_Renamed(group) for item in shared for group in _groups(item)]
    agents = list(dataset.get("ContrastBolusAgentSequence") or ())
    return tuple(
        _frame(header, index, [*map(_Renamed, _groups(item)), *common, dataset], agents)
        for index, item in enumerate(per_frame)
    )


class _Renamed:
    """A functional group that answers to a header's own keywords."""

    def __init__(self, group: Source) -> None:
        self._group = group

    def get(self, key: str, /) -> Any:
        for name in (*_OTHER_NAMES.get(key, ()), key):
            value = self._group.get(name)
            if value is not None and value != "":
                return value
        return None


def _groups(item: Any) -> list[Any]:
    """The single items of the known groups of one functional group item."""
    found = (item.get(name) for name in _GROUPS)
    return [group[0] for group in found if group]


def _frame(
    header: SliceHeader, index: int, sources: Sequence[Source], agents: Sequence[Any]
) -> SliceHeader:
    attributes = Attributes(sources)
    fields = header_fields(attributes)
    fields["SOPClassUID"] = header.SOPClassUID
    fields["ContrastBolusAgent"] = fields["ContrastBolusAgent"] or _agent(attributes, agents)
    return replace(
        header,
        frame_index=index,
        StackID=attributes.value("StackID", text) or "",
        TemporalPositionIndex=attributes.value("TemporalPositionIndex", _number),
        **fields,
    )


def _agent(attributes: Attributes, agents: Sequence[Any]) -> str:
    """What was injected, unless the frame says that it was made before that."""
    given = attributes.value("ContrastBolusAgentAdministered", text)
    if not agents or (given or "").upper() == "NO":
        return ""
    return str(agents[0].get("CodeMeaning") or "not named")


def _number(raw: object) -> int:
    return int(str(raw))
