"""The coded vocabulary of the objects: every code with its scheme, meaning and where it was read.

A wrong code says a wrong thing to every system that trusts it, so no code is written anywhere
else in this room, and a test holds the table: check digits of SNOMED CT, meanings of DICOM's own
codes, and a list of wrong codes that others have used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ichcore import Decision

if TYPE_CHECKING:
    from highdicom.sr import CodedConcept

_PS316 = "DICOM PS3.16 (concept dictionary of pydicom)"


@dataclass(frozen=True)
class CodeRow:
    """One code: value, scheme and meaning as they are written, and where the three were read."""

    value: str
    scheme: str
    meaning: str
    source: str

    @property
    def concept(self) -> CodedConcept:
        """The code as highdicom takes it."""
        from highdicom.sr import CodedConcept

        return CodedConcept(self.value, self.scheme, self.meaning)


# Findings. An epidural code has one source only, so an epidural finding is coded as the
# intracranial haemorrhage that it is, and its member is told by the tracking identifier.
INTRACRANIAL = CodeRow("1386000", "SCT", "Intracranial hemorrhage", _PS316)
INTRACEREBRAL = CodeRow(
    "274100004",
    "SCT",
    "Cerebral hemorrhage",
    "eCQM value set 'Hemorrhagic Stroke'; SNOMED CT International 2025-02 expansion",
)
SUBARACHNOID = CodeRow(
    "21454007",
    "SCT",
    "Subarachnoid intracranial hemorrhage",
    "SNOMED CT International 2025-02 expansion",
)
INTRAVENTRICULAR = CodeRow("23276006", "SCT", "Ventricular hemorrhage", "eCQM display")
SUBDURAL = CodeRow(
    "35486000",
    "SCT",
    "Subdural intracranial hemorrhage",
    "list of OMOP/Athena; a second repository that names it so",
)
FINDING_OF_MEMBER = {
    "ich_any": INTRACRANIAL,
    "ich_small": INTRACRANIAL,
    "ich_iph": INTRACEREBRAL,
    "ich_ivh": INTRAVENTRICULAR,
    "ich_sah": SUBARACHNOID,
    "ich_sdh": SUBDURAL,
}

# Whether it is there.
PRESENCE = CodeRow("705057003", "SCT", "Presence", "openimagingdata/findingmodels")
PRESENT = CodeRow("52101004", "SCT", "Present", f"{_PS316}, CID 240")
ABSENT = CodeRow("272519000", "SCT", "Absent", f"{_PS316}, CID 240")
INDETERMINATE = CodeRow("82334004", "SCT", "Indeterminate", f"{_PS316}, CID 4220")
PRESENCE_OF_DECISION = {
    Decision.POSITIVE: PRESENT,
    Decision.NEGATIVE: ABSENT,
    Decision.INDETERMINATE: INDETERMINATE,
}

# Where it was looked for, and in what.
BRAIN = CodeRow("12738006", "SCT", "Brain structure", _PS316)
CT_OF_HEAD = CodeRow("303653007", "SCT", "Computed tomography of head", _PS316)
ABNORMAL_STRUCTURE = CodeRow(
    "49755003", "SCT", "Morphologically Abnormal Structure", f"{_PS316}, CID 7150"
)

# How sure, by what, and how it went. The code next to it, a probability, is that of cancer.
CERTAINTY = CodeRow("111012", "DCM", "Certainty of Finding", f"{_PS316}, CID 6048")
PERCENT = CodeRow("%", "UCUM", "Percent", "UCUM")
ARTIFICIAL_INTELLIGENCE = CodeRow("123110", "DCM", "Artificial Intelligence", f"{_PS316}, CID 7162")
SUMMARY_OF_DETECTIONS = CodeRow("111064", "DCM", "Summary of Detections", _PS316)
NO_ALGORITHM_SUCCEEDED = CodeRow(
    "111245", "DCM", "No algorithms succeeded; without findings", f"{_PS316}, CID 6047"
)

# Parts of documents.
DEVICE = CodeRow("121007", "DCM", "Device", _PS316)
PROCESSING_EQUIPMENT = CodeRow("109102", "DCM", "Processing Equipment", f"{_PS316}, CID 7005")
IMAGE_LIBRARY = CodeRow("111028", "DCM", "Image Library", _PS316)
IMAGE_LIBRARY_GROUP = CodeRow("126200", "DCM", "Image Library Group", _PS316)
SOURCE = CodeRow("260753009", "SCT", "Source", "highdicom, purpose of images in an image library")
OF_INTEREST = CodeRow("113000", "DCM", "Of Interest", f"{_PS316}, CID 7010")

ALL_ROWS = tuple(value for value in list(globals().values()) if isinstance(value, CodeRow))


def finding_of_member(member: str) -> CodeRow:
    """What a member looks for; a member without a verified code looks for a haemorrhage."""
    return FINDING_OF_MEMBER.get(member, INTRACRANIAL)
