"""Stack -> what speaks against judging it: the findings behind the rules that refuse.

Each function looks for one thing and tells it in a sentence with its facts, or finds nothing.
What a finding does and who may let it through is said in `rules.py` alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ichclient.geometry import orientation_error
from ichclient.headers import Fact, SliceHeader, Verdict
from ichclient.site import Site

if TYPE_CHECKING:
    from ichclient.stacks import Stack

MIN_NORMAL_Z = 0.8
MAX_ORIENTATION_ERROR = 1e-2

_NO_AGENT = {"", "NONE", "NO", "NON", "N", "WITHOUT", "NO CONTRAST", "NONE GIVEN"}
_MAP_TYPES = {
    "PERFUSION", "RCBF", "RCBV", "MTT", "TTP", "TMAX", "PERMEABILITY", "PERM", "DIFFUSION",
    "MATERIAL_DENSITY", "EFF_ATOMIC_NUM",
}  # fmt: skip
_DERIVED_MAPS = {"VNC", "IODINE", "MATERIAL", "EFF_Z", "ELECTRON_DENSITY", "MAT_FRACTIONAL"}


@dataclass(frozen=True)
class Found:
    """A finding: a sentence (its first letter small) and the values that it rests on."""

    sentence: str
    facts: Mapping[str, Fact] = field(default_factory=dict)


def _any(stack: Stack, test: Callable[[SliceHeader], bool]) -> SliceHeader | None:
    return next((header for header in stack.slices if test(header)), None)


def not_ct_image(stack: Stack, _: Site) -> Found | None:
    """A capture, a document or another modality."""
    first = stack.first
    if first.is_ct_image:
        return None
    return Found(
        f"its files are not CT images (Modality {first.Modality or 'absent'}, "
        f"class {first.SOPClassUID or 'absent'}): a capture, document or other modality.",
        {"SOPClassUID": first.SOPClassUID},
    )


def colour(stack: Stack, _: Site) -> Found | None:
    """Several samples a pixel."""
    header = _any(stack, lambda header: header.SamplesPerPixel != 1)
    if header is None:
        return None
    facts = {"SamplesPerPixel": header.SamplesPerPixel}
    return Found("its pixels are colours, not Hounsfield units.", facts)


def multi_frame(stack: Stack, _: Site) -> Found | None:
    """Files of several frames."""
    header = _any(stack, lambda header: header.NumberOfFrames > 1 and header.frame_index is None)
    if header is None:
        return None
    return Found(
        f"it holds {header.NumberOfFrames} frames in a file that does not say where "
        "each lies; export it as single-frame or Enhanced CT.",
        {"NumberOfFrames": header.NumberOfFrames},
    )


def functional_map(stack: Stack, _: Site) -> Found | None:
    """Perfusion and other calculated values (PS3.3 C.8.15.3.1.1), by their frame type."""
    header = _any(stack, lambda header: bool(_MAP_TYPES & set(header.ImageType[2:])))
    if header is None:
        return None
    kind = "/".join(header.ImageType)
    return Found(f"its pixels are calculated maps ({kind}), not Hounsfield units.")


def localizer(stack: Stack, site: Site) -> Found | None:
    """A scout view, by its ImageType or its description."""
    typed = _any(stack, lambda header: "LOCALIZER" in header.ImageType)
    if typed is None and not site.words.say("localizer", stack.first.SeriesDescription):
        return None
    return Found("it is a localizer, not axial slices.")


def no_position(stack: Stack, _: Site) -> Found | None:
    """Slices that do not say where they lie."""
    if stack.positioned:
        return None
    return Found(
        f"{stack.first.relative_path} lacks ImagePositionPatient, "
        "ImageOrientationPatient or PixelSpacing, so its slices cannot be ordered.",
        {"malformed": ", ".join(stack.first.malformed)},
    )


def worst_orientation(stack: Stack) -> float:
    """The largest error of its directions (0 is perfect)."""
    orientations = (header.ImageOrientationPatient for header in stack.slices)
    return max((orientation_error(item) for item in orientations if item is not None), default=0.0)


def bad_orientation(stack: Stack, _: Site) -> Found | None:
    """Directions that are too far from unit length and a right angle."""
    error = worst_orientation(stack)
    if error <= MAX_ORIENTATION_ERROR:
        return None
    return Found(
        f"its ImageOrientationPatient is no pair of perpendicular unit directions (off by "
        f"{error:.3f}).",
        {"orientation_error": round(error, 6)},
    )


def not_axial(stack: Stack, _: Site) -> Found | None:
    """Sagittal, coronal and very oblique slices."""
    if stack.normal is None or abs(float(stack.normal[2])) >= MIN_NORMAL_Z:
        return None
    return Found(
        "its slices are not axial (sagittal, coronal or oblique).",
        {"normal_z": round(float(stack.normal[2]), 3)},
    )


def _is_derived(header: SliceHeader) -> bool:
    """Secondary images, and derived ones that no longer are the scanner's axial slices.

    DERIVED/PRIMARY/AXIAL is what compression or de-identification leave of an original.
    """
    if "SECONDARY" in header.ImageType[:2]:
        return True
    return header.ImageType[:1] == ("DERIVED",) and header.ImageType[2:3] != ("AXIAL",)


def derived(stack: Stack, _: Site) -> Found | None:
    """Reformats, projections, perfusion maps, captures."""
    header = _any(stack, _is_derived)
    if header is None:
        return None
    return Found(f"its images are derived or secondary ({'/'.join(header.ImageType)}).")


def material_map(stack: Stack, site: Site) -> Found | None:
    """Dual-energy maps, whose numbers are no Hounsfield units of what was scanned."""
    typed = _any(stack, lambda header: bool(_DERIVED_MAPS & set(header.ImageType[2:])))
    described = site.words.say("material_map", stack.first.SeriesDescription)
    if typed is None and not described:
        return None
    where = "/".join(typed.ImageType) if typed else f"description '{stack.first.SeriesDescription}'"
    return Found(f"it is a map computed from two energies ({where}); choose the mixed images.")


def _agent(stack: Stack) -> str:
    agents = (header.ContrastBolusAgent.strip() for header in stack.slices)
    return next((agent for agent in agents if agent.upper() not in _NO_AGENT), "")


def contrast(stack: Stack, site: Site) -> Found | None:
    """A contrast agent, stated or described."""
    agent, text = _agent(stack), stack.first.SeriesDescription
    said = site.words.say("contrast", text) and not site.words.say("no_contrast", text)
    if not agent and not said:
        return None
    source = f"ContrastBolusAgent '{agent}'" if agent else f"the description '{text}'"
    return Found(
        f"{source} speaks of contrast, which looks like blood; choose the non-contrast series.",
        {"ContrastBolusAgent": agent},
    )


def not_head(stack: Stack, site: Site) -> Found | None:
    """Another part of the body, by BodyPartExamined or, where that is empty, by descriptions."""
    first = stack.first
    for name in ("BodyPartExamined", "SeriesDescription", "StudyDescription"):
        text = getattr(first, name)
        if not text:
            continue
        if site.words.say("other_body", text) and not site.words.say("head", text):
            return Found(f"{name} says {text}, not the head.", {name: text})
        if name == "BodyPartExamined" or site.words.say("head", text):
            return None
    return None


def mixed_patients(stack: Stack, _: Site) -> Found | None:
    """One series under several identities."""
    identities = {(header.StudyInstanceUID, header.patient_key) for header in stack.slices}
    if len(identities) == 1:
        return None
    return Found(
        "its files carry the identity of more than one patient or study.",
        {"identities": len(identities)},
    )


def ambiguous_duplicates(stack: Stack, _: Site) -> Found | None:
    """Two files that claim to be one slice."""
    if not stack.conflicts:
        return None
    return Found(
        f"{len(stack.conflicts)} file(s) claim the place or UID of another slice with "
        "other content, so which one is right is unknown; export the series again.",
        {"files": paths_of(stack.conflicts)},
    )


def paths_of(verdicts: Sequence[Verdict]) -> str:
    """The files that verdicts are about, the first ten of them."""
    return ", ".join(verdict.path for verdict in verdicts[:10])


def insufficient_coverage(stack: Stack, site: Site) -> Found | None:
    """Too few slices, or too little of a head."""
    limits = site.limits
    enough = len(stack.slices) >= limits.min_slices and stack.coverage_mm >= limits.min_coverage_mm
    if enough or not stack.positioned:
        return None
    return Found(
        f"{len(stack.slices)} slice(s) cover {stack.coverage_mm:.0f} mm; judging a "
        f"head needs at least {limits.min_slices} slices and {limits.min_coverage_mm:.0f} mm.",
        {"min_slices": limits.min_slices, "min_coverage_mm": limits.min_coverage_mm},
    )


def gap(stack: Stack, site: Site) -> Found | None:
    """A hole wide enough to hide a lesion."""
    widest = max(stack.gaps_mm, default=0.0)
    if widest <= site.limits.max_gap_mm:
        return None
    where = stack.gaps_mm.index(widest) + 1
    return Found(
        f"there is a {widest:.1f} mm gap after slice {where} of {len(stack.slices)} (spacing "
        f"{stack.slice_spacing_mm:.1f} mm), in which a lesion could hide; export the full series "
        "again.",
        {"gap_mm": round(widest, 3), "after_slice": where, "max_gap_mm": site.limits.max_gap_mm},
    )
