"""Every rule of intake in one table: what is looked at, what a finding does, and who may pass it.

A rule is an entry. Findings about stacks and studies come from the functions the entries name;
files are looked at in `dicom.py` and pixels in `hounsfield.py` and below, where a finding has an
effect only through its entry here. Refusals stand in the order in which reasons are told.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from ichclient import findings, identities, notices
from ichclient.errors import BadRules
from ichclient.findings import Found
from ichclient.intensities import PIXEL_RULES, PixelRule
from ichclient.site import DEFAULT_SITE, Site

if TYPE_CHECKING:
    from ichclient.stacks import Stack

Subject = Literal["file", "slice", "stack", "study"]
Effect = Literal["skip", "refuse", "fix", "warn"]
Passes = Literal["never", "allow", "name"]
"""Who may let a refusal through: nobody, `--allow CODE`, or that and `--series UID`."""


@dataclass(frozen=True)
class Rule:
    """One entry: its finding skips a file, refuses, fixes with a warning, or warns.

    `find` looks for it in a stack or study; without it the finding comes from where files are read
    and pixels decoded. `why` is for the documentation.
    """

    code: str
    subject: Subject
    effect: Effect
    why: str
    find: Callable[[Any, Site], Found | None] | None = None
    passes: Passes = "never"


@dataclass(frozen=True)
class Finding:
    """What one rule found, as told of one stack or study."""

    rule: Rule
    found: Found

    @property
    def code(self) -> str:
        """The rule's code."""
        return self.rule.code

    @property
    def sentence(self) -> str:
        """The finding as a sentence of its own."""
        text = self.found.sentence
        return text[0].upper() + text[1:]


RULES: tuple[Rule, ...] = (
    # Files, looked at in dicom.py.
    Rule("unreadable", "file", "skip", "No regular file, or one that cannot be opened."),
    Rule("empty_file", "file", "skip", "The file has no bytes."),
    Rule("not_dicom", "file", "skip", "No DICM mark at byte 128."),
    Rule("archive", "file", "skip", "An archive among the files; it is not opened."),
    Rule("truncated_header", "file", "skip", "The file ends before its pixels."),
    Rule("dicomdir", "file", "skip", "A directory of files, no image."),
    Rule("frames_disagree", "file", "skip", "NumberOfFrames is not the number of frames that are "
         "described."),
    Rule("too_large", "file", "skip", "More bytes or pixels than any CT slice has."),
    Rule("not_image", "file", "skip", "A report, a key object, a presentation state: no pixels."),
    # Stacks, by their headers.
    Rule("not_ct_image", "stack", "refuse", "Neither a CT storage class nor, without a class, "
         "Modality CT.", findings.not_ct_image),
    Rule("colour", "stack", "refuse", "SamplesPerPixel is not 1.", findings.colour),
    Rule("multi_frame", "stack", "refuse", "Several frames in a file that places none of them.",
         findings.multi_frame),
    Rule("functional_map", "stack", "refuse", "A perfusion or other calculated map by ImageType.",
         findings.functional_map),
    Rule("localizer", "stack", "refuse", "ImageType or SeriesDescription says so.",
         findings.localizer),
    Rule("no_position", "stack", "refuse", "ImagePositionPatient, ImageOrientationPatient or "
         "PixelSpacing is absent or malformed.", findings.no_position),
    Rule("bad_orientation", "stack", "refuse", "ImageOrientationPatient is more than 0.01 off.",
         findings.bad_orientation),
    Rule("not_axial", "stack", "refuse", "The slice normal has less than 0.8 along the body.",
         findings.not_axial),
    Rule("derived", "stack", "refuse", "SECONDARY, or DERIVED other than AXIAL.",
         findings.derived, "name"),
    Rule("material_map", "stack", "refuse", "A dual-energy map by ImageType or description.",
         findings.material_map, "name"),
    Rule("contrast", "stack", "refuse", "ContrastBolusAgent or the description says so.",
         findings.contrast, "name"),
    Rule("not_head", "stack", "refuse", "BodyPartExamined, else the descriptions, name another "
         "part of the body.", findings.not_head, "name"),
    Rule("mixed_patients", "stack", "refuse", "Several patients or studies in one series.",
         findings.mixed_patients),
    Rule("ambiguous_duplicates", "stack", "refuse", "Two files of one place or UID that differ.",
         findings.ambiguous_duplicates),
    Rule("insufficient_coverage", "stack", "refuse", "Fewer slices or less height than the limits.",
         findings.insufficient_coverage, "allow"),
    Rule("gap", "stack", "refuse", "Neighbouring slices are further apart than the limit.",
         findings.gap, "allow"),
    Rule("many_missing", "stack", "refuse", "More slices are missing than the limit.",
         notices.many_missing, "allow"),
    # What should be known beside a result.
    Rule("duplicates_dropped", "stack", "warn", "Copies of a slice, of which one is taken.",
         notices.duplicates_dropped),
    Rule("split_series", "stack", "warn", "One SeriesInstanceUID held several stacks.",
         notices.split_series),
    Rule("missing_slices", "stack", "warn", "Single gaps are whole multiples of the usual one.",
         notices.missing_slices),
    Rule("variable_spacing", "stack", "warn", "Gaps differ by more than 2 %.",
         notices.variable_spacing),
    Rule("sharp_kernel", "stack", "warn", "The kernel is a bone kernel.", notices.sharp_kernel),
    Rule("monoenergetic", "stack", "warn", "The description names one energy.",
         notices.monoenergetic),
    Rule("derived_images", "stack", "warn", "DERIVED, but axial still.", notices.derived_images),
    Rule("inferred_sop_class", "stack", "warn", "No SOPClassUID; Modality is CT.",
         notices.inferred_sop_class),
    Rule("forced_read", "stack", "warn", "No DICM mark, or no TransferSyntaxUID.",
         notices.forced_read),
    Rule("inferred_spacing", "stack", "warn", "No PixelSpacing, but a ReconstructionDiameter.",
         notices.inferred_spacing),
    Rule("orientation_normalised", "stack", "warn", "ImageOrientationPatient is more than 0.0001 "
         "off.", notices.orientation_normalised),
    Rule("no_frame_of_reference", "stack", "warn", "FrameOfReferenceUID is absent.",
         notices.no_frame_of_reference),
    Rule("small_field_of_view", "stack", "warn", "A slice is smaller than the limit.",
         notices.small_field_of_view),
    Rule("thick_slices", "stack", "warn", "SliceThickness is over the limit.",
         notices.thick_slices),
    Rule("outside_intended_use", "stack", "warn", "PatientAge is below the limit.",
         notices.outside_intended_use),
    Rule("phantom", "stack", "warn", "QualityControlImage, or PatientID or PatientName begins "
         "with a word for a phantom.", notices.phantom),
    Rule("no_patient_id", "stack", "warn", "PatientID is empty.", notices.no_patient_id),
    # Whole studies.
    Rule("mixed_studies", "study", "refuse", "Several studies in one folder; --series names one.",
         identities.mixed_studies),
    Rule("patient_mismatch", "study", "refuse", "One study under several patients.",
         identities.patient_mismatch),
    # Slices while they are read and decoded: frames.py, pixels.py, hounsfield.py.
    Rule("changed_file", "slice", "refuse", "The file is not what it was when its header was "
         "read."),
    Rule("unsupported_transfer_syntax", "slice", "refuse", "No decoder here; the extra is named."),
    Rule("truncated_pixels", "slice", "refuse", "Fewer bytes than Rows x Columns need."),
    Rule("undecodable_pixels", "slice", "refuse", "The decoder fails."),
    Rule("unexpected_shape", "slice", "refuse", "The decoded plane is not Rows x Columns."),
    Rule("implausible_hu", "slice", "refuse", "The series holds no air, bone or soft tissue."),
    Rule("excess_pixels", "slice", "warn", "Bytes after the pixels, which are not used."),
    Rule("wrong_transfer_syntax", "slice", "warn", "Compressed by its label, plain by its bytes."),
    # Slices, by their values: found and fixed in intensities.py, by the table there.
    Rule("not_monochrome", "slice", "refuse", "PhotometricInterpretation is a colour."),
    Rule("bad_rescale", "slice", "refuse", "Slope or intercept is no number, or the slope is 0."),
    Rule("modality_lut", "slice", "refuse", "A table where CT has slope and intercept."),
    Rule("no_rescale", "slice", "refuse", "Neither slope nor intercept, and unsigned pixels."),
    Rule("assumed_rescale", "slice", "warn", "Neither slope nor intercept; signed taken as HU."),
    Rule("lone_rescale", "slice", "warn", "One of slope and intercept; the other is neutral."),
    Rule("rescale_type", "slice", "warn", "RescaleType is not HU."),
    Rule("overlay_bits", "slice", "fix", "Overlay planes in the unused bits, taken off."),
    Rule("sign_not_extended", "slice", "fix", "The sign stands in HighBit alone; extended."),
    Rule("wrong_bits_stored", "slice", "warn", "Values need more bits than BitsStored."),
    Rule("unknown_bits", "slice", "refuse", "Bits above HighBit that no overlay explains."),
    Rule("unsigned_wrap_fixed", "slice", "fix", "12 bits wrapped around, surely."),
    Rule("unsigned_wrap", "slice", "refuse", "12 bits wrapped around, but not for certain."),
    Rule("padding_in_tissue", "slice", "warn", "PixelPaddingValue would erase tissue; ignored."),
    Rule("lossy_source", "slice", "warn", "Compressed with loss, with the ratio."),
    Rule("not_finite", "slice", "refuse", "Rescaled values overflow."),
    Rule("empty_slice", "slice", "warn", "The slice holds one value."),
    Rule("metal_clipped", "slice", "fix", "Values over 3071 HU are cut to it."),
)  # fmt: skip


@dataclass(frozen=True)
class RuleBook:
    """The table as it is applied: with a site's own words and limits, and what was let through."""

    rules: tuple[Rule, ...] = RULES
    site: Site = DEFAULT_SITE
    allowed: frozenset[str] = frozenset()

    def holds(self, code: str) -> bool:
        """Whether findings of this code have an effect."""
        return any(rule.code == code for rule in self.rules)

    @functools.cached_property  # asked for every slice
    def pixel_rules(self) -> tuple[PixelRule, ...]:
        """The rules about values that hold, in their own order."""
        return tuple(rule for rule in PIXEL_RULES if self.holds(rule.code))

    def found_in_stack(self, stack: Stack, effect: Effect) -> tuple[Finding, ...]:
        """Everything that the rules of one effect find in a stack, in the table's order."""
        return tuple(self._found("stack", effect, stack))

    def found_in_study(self, stacks: Sequence[Stack]) -> tuple[Finding, ...]:
        """Everything that speaks against judging these stacks as one study."""
        return tuple(self._found("study", "refuse", stacks))

    def without(self, code: str) -> RuleBook:
        """The same table with one entry less."""
        return replace(self, rules=tuple(rule for rule in self.rules if rule.code != code))

    def allowing(self, codes: Iterable[str]) -> RuleBook:
        """The same table that lets named refusals through; BadRules where one may not be."""
        wanted = frozenset(codes)
        passable = [rule.code for rule in self.rules if rule.passes != "never"]
        for code in sorted(wanted.difference(passable)):
            why = "may never be allowed" if self.holds(code) else "is no rule's code"
            raise BadRules(f"--allow {code}: it {why}. Allowable are: {', '.join(passable)}.")
        return replace(self, allowed=wanted)

    def _found(self, subject: Subject, effect: Effect, what: object) -> Iterator[Finding]:
        for rule in self.rules:
            if (rule.subject, rule.effect) == (subject, effect) and rule.find is not None:
                found = rule.find(what, self.site)
                if found is not None:
                    yield Finding(rule, found)


DEFAULT_BOOK = RuleBook()
