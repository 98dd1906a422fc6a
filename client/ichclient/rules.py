"""Stack -> the rules it breaks: what makes a series unfit for judging haemorrhage, as a table.

Each rule is a name, a predicate and a sentence; the order is the order in which reasons are told.
`overridable` rules rest on text that people type: whoever names a series with `--series` may
overrule them, and the reason becomes a warning. The others rest on what the pixels are.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from ichclient.geometry import orientation_error
from ichclient.headers import SliceHeader, Verdict
from ichclient.stacks import Stack

MIN_SLICES = 10
MIN_COVERAGE_MM = 80.0
MIN_NORMAL_Z = 0.8
MAX_ORIENTATION_ERROR = 1e-2
# A 10 mm protocol is legitimate; a hole wider than that can hide a lesion.
MAX_GAP_MM = 10.5

_CONTRAST_WORDS = re.compile(
    r"\bCTA\b|\bCTV\b|ANGIO|PERF(USION)?\b|\+ ?C\b|VENOUS|ARTERIAL|IODINE|\bC\+|CONTRAST|"
    r"\bPOST\b(?![ _-]*(OP|FOSSA|SURG|TRAUMA|CLIP|COIL|EVD))"
)
_NO_CONTRAST_WORDS = re.compile(
    r"W/O|WITHOUT|\bNON?\b|\bNCCT\b|\bPRE\b|UNENHANCED|NATIVE|(?<!/)\bWO\b"
)
_NO_AGENT = {"", "NONE", "NO", "NON", "N", "WITHOUT", "NO CONTRAST", "NONE GIVEN"}
_LOCALIZER_WORDS = re.compile(r"LOCALI[SZ]ER|SCOUT|TOPOGRAM|SURVIEW|SCANOGRAM")
_MAP_TYPES = {
    "PERFUSION", "RCBF", "RCBV", "MTT", "TTP", "TMAX", "PERMEABILITY", "PERM", "DIFFUSION",
    "MATERIAL_DENSITY", "EFF_ATOMIC_NUM",
}  # fmt: skip
_OTHER_BODY_PARTS = {
    "ABDOMEN", "ABDOMENPELVIS", "ANKLE", "CHEST", "CHESTABDOMEN", "CSPINE", "ELBOW", "FOOT",
    "HAND", "HEART", "HIP", "KNEE", "LEG", "LSPINE", "LUNG", "NECK", "PELVIS", "SHOULDER",
    "SPINE", "THORAX", "TSPINE", "WRIST",
}  # fmt: skip


@dataclass(frozen=True)
class Rule:
    """One reason to refuse a stack: `broken` decides, `sentence` explains with its facts."""

    code: str
    broken: Callable[[Stack], bool]
    sentence: Callable[[Stack], str]
    overridable: bool = False


def _any(stack: Stack, test: Callable[[SliceHeader], bool]) -> bool:
    return any(test(header) for header in stack.slices)


def _is_localizer(stack: Stack) -> bool:
    words = _LOCALIZER_WORDS.search(stack.first.SeriesDescription.upper())
    return words is not None or _any(stack, lambda header: "LOCALIZER" in header.ImageType)


def _is_derived(header: SliceHeader) -> bool:
    """Secondary images, and derived ones that no longer are the scanner's axial slices.

    DERIVED/PRIMARY/AXIAL is what compression or de-identification leave of an original.
    """
    if "SECONDARY" in header.ImageType[:2]:
        return True
    return header.ImageType[:1] == ("DERIVED",) and header.ImageType[2:3] != ("AXIAL",)


def _is_functional_map(header: SliceHeader) -> bool:
    """Perfusion and other calculated values (PS3.3 C.8.15.3.1.1), by their frame type."""
    return bool(_MAP_TYPES & set(header.ImageType[2:]))


def _agent(stack: Stack) -> str:
    agents = (header.ContrastBolusAgent.strip() for header in stack.slices)
    return next((agent for agent in agents if agent.upper() not in _NO_AGENT), "")


def _has_contrast(stack: Stack) -> bool:
    text = stack.first.SeriesDescription.upper()
    said = _CONTRAST_WORDS.search(text) and not _NO_CONTRAST_WORDS.search(text)
    return bool(_agent(stack) or said)


def _contrast_sentence(stack: Stack) -> str:
    agent = _agent(stack)
    described = f"the description '{stack.first.SeriesDescription}'"
    source = f"ContrastBolusAgent '{agent}'" if agent else described
    return f"{source} speaks of contrast, which looks like blood; choose the non-contrast series."


def _orientation_error(stack: Stack) -> float:
    orientations = (header.ImageOrientationPatient for header in stack.slices)
    return max((orientation_error(item) for item in orientations if item is not None), default=0.0)


def _widest_gap(stack: Stack) -> int:
    return max(range(len(stack.gaps_mm)), key=stack.gaps_mm.__getitem__, default=0)


def _gap_sentence(stack: Stack) -> str:
    where = _widest_gap(stack)
    return (
        f"there is a {stack.gaps_mm[where]:.1f} mm gap after slice {where + 1} of "
        f"{len(stack.slices)} (spacing {stack.slice_spacing_mm:.1f} mm), in which a lesion could "
        "hide; export the full series again."
    )


RULES: tuple[Rule, ...] = (
    Rule(
        "not_ct_image",
        lambda stack: not stack.first.is_ct_image,
        lambda stack: (
            f"its files are not CT images (Modality {stack.first.Modality or 'absent'}, "
            f"class {stack.first.SOPClassUID or 'absent'}): a capture, document or other modality."
        ),
    ),
    Rule(
        "colour",
        lambda stack: _any(stack, lambda header: header.SamplesPerPixel != 1),
        lambda stack: "its pixels are colours, not Hounsfield units.",
    ),
    Rule(
        "multi_frame",
        lambda stack: _any(
            stack, lambda header: header.NumberOfFrames > 1 and header.frame_index is None
        ),
        lambda stack: (
            f"it holds {stack.first.NumberOfFrames} frames in a file that does not say where "
            "each lies; export it as single-frame or Enhanced CT."
        ),
    ),
    Rule(
        "functional_map",
        lambda stack: _any(stack, _is_functional_map),
        lambda stack: (
            f"its pixels are calculated maps ({'/'.join(stack.first.ImageType)}), "
            "not Hounsfield units."
        ),
    ),
    Rule("localizer", _is_localizer, lambda stack: "it is a localizer, not axial slices."),
    Rule(
        "no_position",
        lambda stack: not stack.positioned,
        lambda stack: (
            f"{stack.first.relative_path} lacks ImagePositionPatient, "
            "ImageOrientationPatient or PixelSpacing, so its slices cannot be ordered."
        ),
    ),
    Rule(
        "bad_orientation",
        lambda stack: _orientation_error(stack) > MAX_ORIENTATION_ERROR,
        lambda stack: (
            "its ImageOrientationPatient is no pair of perpendicular unit directions "
            f"(off by {_orientation_error(stack):.3f})."
        ),
    ),
    Rule(
        "not_axial",
        lambda stack: stack.normal is not None and abs(float(stack.normal[2])) < MIN_NORMAL_Z,
        lambda stack: "its slices are not axial (sagittal, coronal or oblique).",
    ),
    Rule(
        "derived",
        lambda stack: _any(stack, _is_derived),
        lambda stack: (
            f"its images are derived or secondary "
            f"({'/'.join(next(h for h in stack.slices if _is_derived(h)).ImageType)})."
        ),
        overridable=True,
    ),
    Rule("contrast", _has_contrast, _contrast_sentence, overridable=True),
    Rule(
        "not_head",
        lambda stack: stack.first.BodyPartExamined.upper().replace(" ", "") in _OTHER_BODY_PARTS,
        lambda stack: f"BodyPartExamined says {stack.first.BodyPartExamined}, not the head.",
        overridable=True,
    ),
    Rule(
        "mixed_patients",
        lambda stack: len({(h.StudyInstanceUID, h.patient_key) for h in stack.slices}) > 1,
        lambda stack: "its files carry the identity of more than one patient or study.",
    ),
    Rule(
        "ambiguous_duplicates",
        lambda stack: stack.conflicts > 0,
        lambda stack: (
            f"{stack.conflicts} file(s) claim the place or UID of another slice with "
            "other content, so which one is right is unknown; export the series again."
        ),
    ),
    Rule(
        "insufficient_coverage",
        lambda stack: (
            stack.positioned
            and (len(stack.slices) < MIN_SLICES or stack.coverage_mm < MIN_COVERAGE_MM)
        ),
        lambda stack: (
            f"{len(stack.slices)} slice(s) cover {stack.coverage_mm:.0f} mm; judging a "
            f"head needs at least {MIN_SLICES} slices and {MIN_COVERAGE_MM:.0f} mm."
        ),
    ),
    Rule(
        "gap",
        lambda stack: max(stack.gaps_mm, default=0.0) > MAX_GAP_MM,
        _gap_sentence,
    ),
)


def broken_rules(stack: Stack) -> tuple[Rule, ...]:
    """Every rule that a stack breaks, in the table's order."""
    return tuple(rule for rule in RULES if rule.broken(stack))


def verdict_from_rule(rule: Rule, stack: Stack) -> Verdict:
    """A broken rule, told about one stack."""
    sentence = rule.sentence(stack)
    return Verdict(rule.code, sentence[0].upper() + sentence[1:])
