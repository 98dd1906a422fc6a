"""Stack -> what a reader should know beside its result: the findings behind the rules that warn.

The way the gaps are read is written here once: whole multiples of the usual distance that stand
alone are missing slices, everything else that differs is variable spacing.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from ichclient.findings import Found, paths_of, worst_orientation
from ichclient.site import Site

if TYPE_CHECKING:
    from ichclient.stacks import Stack

EXACT_ORIENTATION_ERROR = 1e-4
# Wider than rounding in ImagePositionPatient, narrower than any change of protocol.
_SPACING_TOLERANCE = 0.02
_MULTIPLE_TOLERANCE = 0.1
_MOST_SPACINGS = 6


@dataclass(frozen=True)
class Holes:
    """Where slices are missing: (number of the slice before, gap in mm), and how many are lost."""

    places: tuple[tuple[int, float], ...]
    lost: int
    lost_percent: float

    @property
    def text(self) -> str:
        """The places for people."""
        return ", ".join(f"{gap:.1f} mm after slice {number}" for number, gap in self.places)


def spacings_text(stack: Stack) -> str:
    """How often each distance of neighbouring slices occurs: `13 x 4.002, 1 x 1.081`."""
    groups: list[list[float]] = []
    for gap in stack.gaps_mm:
        near = (group for group in groups if abs(group[0] - gap) <= _SPACING_TOLERANCE * gap)
        group = next(near, None)
        if group is None:
            groups.append(group := [])
        group.append(gap)
    parts = [f"{len(group)} x {group[len(group) // 2]:.3f}" for group in groups]
    more = len(parts) - _MOST_SPACINGS
    return ", ".join(parts[:_MOST_SPACINGS]) + (f" and {more} more" if more > 0 else "")


def _odd_gaps(stack: Stack) -> list[tuple[int, float]]:
    median = stack.slice_spacing_mm
    return [
        (number, gap)
        for number, gap in enumerate(stack.gaps_mm, start=1)
        if abs(gap - median) > _SPACING_TOLERANCE * median
    ]


def _holes(stack: Stack) -> Holes | None:
    """Missing slices, if whole multiples that stand alone are all that differs.

    Two neighbouring gaps of another width are a second block with its own spacing, not two holes.
    """
    median, odd = stack.slice_spacing_mm, _odd_gaps(stack)
    multiples = all(
        gap > 1.5 * median and abs(gap / median - round(gap / median)) < _MULTIPLE_TOLERANCE
        for _, gap in odd
    )
    numbers = [number for number, _ in odd]
    alone = all(later - earlier > 1 for earlier, later in pairwise(numbers))
    if not odd or not multiples or not alone:
        return None
    lost = sum(round(gap / median) - 1 for _, gap in odd)
    return Holes(tuple(odd), lost, 100.0 * lost / (len(stack.slices) + lost))


def many_missing(stack: Stack, site: Site) -> Found | None:
    """More holes than a head may have."""
    holes = _holes(stack)
    if holes is None or holes.lost <= 1 or holes.lost_percent <= site.limits.max_missing_percent:
        return None
    return Found(
        f"{holes.lost} slices are missing ({holes.text}), {holes.lost_percent:.0f} % of the "
        "series; export the full series again.",
        {"missing": holes.lost, "missing_percent": round(holes.lost_percent, 1)},
    )


def missing_slices(stack: Stack, site: Site) -> Found | None:
    """A few holes, named."""
    holes = _holes(stack)
    if holes is None or many_missing(stack, site) is not None:
        return None
    return Found(
        f"slices are missing: {holes.text} where {stack.slice_spacing_mm:.1f} mm is usual.",
        {"missing": holes.lost, "missing_percent": round(holes.lost_percent, 1)},
    )


def variable_spacing(stack: Stack, _: Site) -> Found | None:
    """Distances that differ, as protocols with two blocks have them."""
    if not _odd_gaps(stack) or _holes(stack) is not None:
        return None
    low, high = min(stack.gaps_mm), max(stack.gaps_mm)
    return Found(
        f"slice spacing varies between {low:.3f} and {high:.3f} mm (median "
        f"{stack.slice_spacing_mm:.3f} mm).",
        {"spacings_mm": spacings_text(stack)},
    )


def duplicates_dropped(stack: Stack, _: Site) -> Found | None:
    """Copies that were left out."""
    if not stack.dropped:
        return None
    return Found(
        f"{len(stack.dropped)} file(s) repeat another slice with the same pixels; "
        "each slice is taken once.",
        {"files": paths_of(stack.dropped)},
    )


def split_series(stack: Stack, _: Site) -> Found | None:
    """A series that holds more than one stack."""
    if stack.parts == 1:
        return None
    return Found(
        f"its series holds {stack.parts} stacks that differ in grid, kernel, frame of reference or "
        "acquisition; each is judged on its own.",
        {"stacks": stack.parts},
    )


def sharp_kernel(stack: Stack, site: Site) -> Found | None:
    """A bone kernel."""
    first = stack.first
    character = site.kernel_character(
        first.Manufacturer, first.ConvolutionKernel, first.WindowCenter
    )
    if character != "sharp":
        return None
    kernel = first.ConvolutionKernel or "bone window"
    return Found(f"only a sharp reconstruction ({kernel}) is there; its noise can hide blood.")


def monoenergetic(stack: Stack, site: Site) -> Found | None:
    """Virtual images of one energy, whose contrast depends on it."""
    if not site.words.say("monoenergetic", stack.first.SeriesDescription):
        return None
    text = stack.first.SeriesDescription
    return Found(f"'{text}' is computed for one energy; blood looks other than at 120 kV.")


def derived_images(stack: Stack, _: Site) -> Found | None:
    """Axial slices that something touched on their way."""
    if stack.first.ImageType[:1] != ("DERIVED",):
        return None
    return Found(
        "the images are marked as derived, as compression or de-identification leaves them."
    )


def inferred_sop_class(stack: Stack, _: Site) -> Found | None:
    """Files without a class, taken for CT by their Modality."""
    if all(header.SOPClassUID for header in stack.slices):
        return None
    return Found("SOPClassUID is absent; the files were taken for CT images by their Modality.")


def forced_read(stack: Stack, _: Site) -> Found | None:
    """Files whose encoding had to be guessed."""
    forced = [header.relative_path for header in stack.slices if header.forced]
    if not forced:
        return None
    return Found(
        f"{len(forced)} file(s) lack the DICOM mark or a transfer syntax and were read as their "
        "first elements are written.",
        {"files": ", ".join(forced[:10])},
    )


def inferred_spacing(stack: Stack, _: Site) -> Found | None:
    """A pixel size from the reconstruction diameter."""
    if not any(header.inferred_spacing for header in stack.slices):
        return None
    return Found("PixelSpacing is absent; it was taken from ReconstructionDiameter and Rows.")


def orientation_normalised(stack: Stack, _: Site) -> Found | None:
    """Directions that are a little off, and were made exact."""
    error = worst_orientation(stack)
    if error <= EXACT_ORIENTATION_ERROR:
        return None
    return Found(
        "ImageOrientationPatient is not exactly of unit length; it was normalised.",
        {"orientation_error": round(error, 6)},
    )


def no_frame_of_reference(stack: Stack, _: Site) -> Found | None:
    """Positions that nothing else can be laid over."""
    if stack.first.FrameOfReferenceUID:
        return None
    return Found("FrameOfReferenceUID is absent; its places cannot be compared with other series.")


def small_field_of_view(stack: Stack, site: Site) -> Found | None:
    """A targeted reconstruction that may cut the head off."""
    limit = site.limits.min_field_of_view_mm
    if not 0 < stack.field_of_view_mm < limit:
        return None
    return Found(
        f"a slice is {stack.field_of_view_mm:.0f} mm wide, less than {limit:.0f} mm; part of the "
        "head may lie outside.",
        {"field_of_view_mm": round(stack.field_of_view_mm, 1)},
    )


def thick_slices(stack: Stack, site: Site) -> Found | None:
    """Slices that average a small bleed away, by their nominal thickness."""
    thickest = max((header.SliceThickness or 0.0 for header in stack.slices), default=0.0)
    if thickest <= site.limits.max_thickness_mm:
        return None
    return Found(
        f"SliceThickness is {thickest:.1f} mm; a small bleed is averaged away in so thick a slice.",
        {"SliceThickness": thickest},
    )


def outside_intended_use(stack: Stack, site: Site) -> Found | None:
    """A child, by PatientAge."""
    age, limit = stack.first.age_years, site.limits.min_age_years
    if age is None or age >= limit:
        return None
    return Found(f"PatientAge is below {limit:.0f} years, for which nothing was ever tried.")


def phantom(stack: Stack, _: Site) -> Found | None:
    """A measurement of the scanner, not of a patient."""
    first = stack.first
    if first.QualityControlImage.upper() != "YES" and not first.named_phantom:
        return None
    return Found("the header says that a phantom or a test was scanned, not a patient.")


def no_patient_id(stack: Stack, _: Site) -> Found | None:
    """Images that say of nobody whose they are."""
    if stack.first.identified:
        return None
    return Found("PatientID is empty; nothing in a result says whose images these are.")
