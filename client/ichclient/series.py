"""Scan -> Candidates -> Series: judge every series of a study, choose one, and say why.

A candidate is never dropped in silence: it leaves with a verdict (`accepted`, `chosen`,
`outranked`, or the code of the rule it breaks), and the chosen series carries all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ichclient.errors import NothingFound, RefusedInput
from ichclient.geometry import orientation_error
from ichclient.headers import Fact, Scan, SliceHeader, Verdict, Warning_
from ichclient.ranking import best_stack, character, outranked_by
from ichclient.rules import Rule, broken_rules, verdict_from_rule
from ichclient.stacks import Stack, stacks_from_headers

ACCEPTED = "accepted"
CHOSEN = "chosen"
OUTRANKED = "outranked"

# Wider than rounding in ImagePositionPatient, narrower than any change of protocol.
_SPACING_TOLERANCE = 0.02
_MULTIPLE_TOLERANCE = 0.1
_FEW_GAPS = 0.1


@dataclass(frozen=True)
class Candidate:
    """One stack that might be judged, with its verdict; `reasons` holds every rule it breaks."""

    stack: Stack
    verdict: Verdict
    reasons: tuple[Rule, ...] = ()

    @property
    def SeriesInstanceUID(self) -> str:
        """The UID by which `--series` names this candidate."""
        return self.stack.first.SeriesInstanceUID

    @property
    def accepted(self) -> bool:
        """Whether no rule speaks against it."""
        return not self.reasons


@dataclass(frozen=True)
class SeriesIdentity:
    """What names a series to people and systems; nothing in it names the patient."""

    StudyInstanceUID: str
    SeriesInstanceUID: str
    FrameOfReferenceUID: str
    SeriesNumber: int | None
    SeriesDescription: str
    Manufacturer: str
    ConvolutionKernel: str
    BodyPartExamined: str


@dataclass(frozen=True)
class Series:
    """The chosen series: slices from inferior to superior with their geometry.

    `positions_mm` lie along the slice normal, which points to the head; `gantry_tilt_degrees` is
    measured, and positive where the front edge of a slice lies higher.
    """

    slices: tuple[SliceHeader, ...]
    positions_mm: tuple[float, ...]
    slice_spacing_mm: float
    gantry_tilt_degrees: float
    pixel_spacing_mm: tuple[float, float]
    identity: SeriesIdentity
    considered: tuple[Candidate, ...] = ()
    warnings: tuple[Warning_, ...] = field(default=())

    def __post_init__(self) -> None:
        """Slices and positions belong together and ascend."""
        if not self.slices or len(self.slices) != len(self.positions_mm):
            raise ValueError("a series needs as many positions as slices, and at least one")
        if any(np.diff(self.positions_mm) <= 0):
            raise ValueError("the positions of a series must ascend")


def series_from_scan(scan: Scan) -> tuple[Candidate, ...]:
    """Judge every stack of a study by the rules; ordered by SeriesNumber, then UID."""
    stacks = sorted(stacks_from_headers(scan.headers), key=_report_order)
    return tuple(_judged(stack) for stack in stacks)


def chosen_series(candidates: Sequence[Candidate], series_uid: str | None = None) -> Series:
    """Choose the best accepted candidate, or the one that `series_uid` names.

    A named series may overrule the rules that rest on typed text (contrast, body part, derived),
    with a warning. Raises NothingFound where no file is CT, and RefusedInput where none of the CT
    may be judged, the study mixes patients or studies, or the UID is unknown.
    """
    if not any(item.stack.first.Modality in ("CT", "") for item in candidates):
        found = ", ".join(sorted({item.stack.first.Modality for item in candidates})) or "nothing"
        raise NothingFound(f"There is no CT here, only {found}. Give the folder of a CT study.")
    pool = tuple(candidates) if series_uid is None else _named(candidates, series_uid)
    _refuse_mixed(candidates if series_uid is None else pool)
    allowed = [item for item in pool if item.accepted] or [
        item for item in pool if series_uid and all(rule.overridable for rule in item.reasons)
    ]
    if not allowed:
        raise RefusedInput(_refusal_sentence(pool))
    winner = best_stack([item.stack for item in allowed])
    chosen = next(item for item in allowed if item.stack is winner)
    considered = _told(candidates, chosen, [item.stack for item in allowed], series_uid)
    return _series_from_candidate(chosen, considered)


def candidate_facts(stack: Stack) -> dict[str, Fact]:
    """What a report shows of a candidate beside its verdict."""
    first = stack.first
    return {
        "SeriesInstanceUID": first.SeriesInstanceUID,
        "SeriesNumber": first.SeriesNumber,
        "SeriesDescription": first.SeriesDescription,
        "Modality": first.Modality,
        "ImageType": "\\".join(first.ImageType),
        "ConvolutionKernel": first.ConvolutionKernel,
        "kernel_character": character(stack),
        "folder": first.relative_path.rpartition("/")[0],
        "slices": len(stack.slices),
        "coverage_mm": round(stack.coverage_mm, 3),
        "slice_spacing_mm": round(stack.slice_spacing_mm, 3),
        "gantry_tilt_degrees": round(stack.gantry_tilt_degrees, 3),
    }


def _judged(stack: Stack) -> Candidate:
    """A stack with the first rule that it breaks, and the codes of all of them."""
    reasons = broken_rules(stack)
    facts = candidate_facts(stack)
    if not reasons:
        sentence = "Axial non-contrast CT that covers enough of the head."
        return Candidate(stack, Verdict(ACCEPTED, sentence, facts=facts))
    facts["reasons"] = ", ".join(rule.code for rule in reasons)
    verdict = replace(verdict_from_rule(reasons[0], stack), facts=facts)
    return Candidate(stack, verdict, reasons)


def _told(
    candidates: Sequence[Candidate],
    chosen: Candidate,
    rivals: Sequence[Stack],
    series_uid: str | None,
) -> tuple[Candidate, ...]:
    """All candidates, with the verdicts of the winner and of those it outranked."""

    def verdict(item: Candidate) -> Verdict:
        if item is chosen:
            how = "named with --series" if series_uid else "the best of those accepted"
            return replace(item.verdict, code=CHOSEN, sentence=f"Chosen: {how}.")
        if not item.accepted:
            return item.verdict
        if item.stack not in rivals:
            sentence = "Usable, but another series was named with --series."
            return replace(item.verdict, code=OUTRANKED, sentence=sentence)
        lost = outranked_by(item.stack, chosen.stack, rivals)
        name = chosen.stack.first.SeriesDescription or chosen.SeriesInstanceUID
        sentence = (
            f"Outranked by '{name}' on {lost.name.replace('_', ' ')}: "
            f"{lost.told(item.stack)} against {lost.told(chosen.stack)}."
        )
        facts = {**item.verdict.facts, "preference": lost.name}
        return replace(item.verdict, code=OUTRANKED, sentence=sentence, facts=facts)

    return tuple(replace(item, verdict=verdict(item)) for item in candidates)


def _series_from_candidate(chosen: Candidate, considered: tuple[Candidate, ...]) -> Series:
    stack, first = chosen.stack, chosen.stack.first
    assert first.PixelSpacing is not None  # a rule refuses stacks without it
    overruled = tuple(
        Warning_(rule.code, f"Overruled by --series: {rule.sentence(stack)}")
        for rule in chosen.reasons
    )
    return Series(
        slices=stack.slices,
        positions_mm=stack.positions_mm,
        slice_spacing_mm=stack.slice_spacing_mm,
        gantry_tilt_degrees=stack.gantry_tilt_degrees,
        pixel_spacing_mm=first.PixelSpacing,
        identity=SeriesIdentity(
            StudyInstanceUID=first.StudyInstanceUID,
            SeriesInstanceUID=first.SeriesInstanceUID,
            FrameOfReferenceUID=first.FrameOfReferenceUID,
            SeriesNumber=first.SeriesNumber,
            SeriesDescription=first.SeriesDescription,
            Manufacturer=first.Manufacturer,
            ConvolutionKernel=first.ConvolutionKernel,
            BodyPartExamined=first.BodyPartExamined,
        ),
        considered=considered,
        warnings=stack.warnings + overruled + _warnings_from_stack(stack),
    )


def _warnings_from_stack(stack: Stack) -> tuple[Warning_, ...]:
    """What the geometry and the headers of a usable stack should make a reader careful about."""
    warnings = list(_spacing_warnings(stack))
    if character(stack) == "sharp":
        kernel = stack.first.ConvolutionKernel or "bone window"
        text = f"Only a sharp reconstruction ({kernel}) is there; its noise can hide blood."
        warnings.append(Warning_("sharp_kernel", text))
    if stack.first.ImageType[:1] == ("DERIVED",):
        text = "The images are marked as derived, as compression or de-identification leaves them."
        warnings.append(Warning_("derived_images", text))
    if any(not header.SOPClassUID for header in stack.slices):
        text = "SOPClassUID is absent; the files were taken for CT images by their Modality."
        warnings.append(Warning_("inferred_sop_class", text))
    orientations = [header.ImageOrientationPatient for header in stack.slices]
    if any(item is not None and orientation_error(item) > 1e-4 for item in orientations):
        text = "ImageOrientationPatient is not exactly of unit length; it was normalised."
        warnings.append(Warning_("orientation_normalised", text))
    return tuple(warnings)


def _spacing_warnings(stack: Stack) -> list[Warning_]:
    """Few gaps of a whole multiple are missing slices; other differences are variable spacing."""
    median = stack.slice_spacing_mm
    odd = [
        (number, gap)
        for number, gap in enumerate(stack.gaps_mm, start=1)
        if abs(gap - median) > _SPACING_TOLERANCE * median
    ]
    missing = [
        (number, gap)
        for number, gap in odd
        if gap > 1.5 * median and abs(gap / median - round(gap / median)) < _MULTIPLE_TOLERANCE
    ]
    if odd and missing == odd and len(missing) <= max(1, _FEW_GAPS * len(stack.gaps_mm)):
        places = ", ".join(f"{gap:.1f} mm after slice {number}" for number, gap in missing)
        text = f"Slices are missing: {places} where {median:.1f} mm is usual."
        return [Warning_("missing_slices", text)]
    if not odd:
        return []
    low, high = min(stack.gaps_mm), max(stack.gaps_mm)
    text = f"Slice spacing varies between {low:.3f} and {high:.3f} mm (median {median:.3f} mm)."
    return [Warning_("variable_spacing", text)]


def _named(candidates: Sequence[Candidate], series_uid: str) -> tuple[Candidate, ...]:
    pool = tuple(item for item in candidates if series_uid == item.SeriesInstanceUID)
    if not pool:
        known = dict.fromkeys(item.SeriesInstanceUID for item in candidates)
        raise RefusedInput(
            f"There is no series {series_uid} here. Choose with --series from: {', '.join(known)}."
        )
    return pool


def _refuse_mixed(candidates: Sequence[Candidate]) -> None:
    """Never judge a folder that holds several studies, or one study under several patients."""
    headers = [header for item in candidates for header in item.stack.slices]
    studies = {header.StudyInstanceUID for header in headers}
    patients = {header.patient_key for header in headers}
    if len(studies) > 1:
        raise RefusedInput(
            f"There are {len(studies)} studies of {len(patients)} patient(s) here. "
            "Give the folder of one study, or name one series with --series. [mixed_studies]"
        )
    if len(patients) > 1:
        raise RefusedInput(
            f"The files of this one study carry {len(patients)} patient identities, so whose "
            "images these are is unknown. Export the study again. [patient_mismatch]"
        )


def _refusal_sentence(pool: Sequence[Candidate]) -> str:
    """Every candidate's reason, one line each."""
    lines = [
        f"  {item.verdict.facts['SeriesDescription'] or item.SeriesInstanceUID or 'series'}: "
        f"{item.verdict.sentence} [{item.verdict.code}]"
        for item in pool
    ]
    return "No series here can be judged:\n" + "\n".join(lines)


def _report_order(stack: Stack) -> tuple[float, str, str]:
    number = stack.first.SeriesNumber
    key = float("inf") if number is None else float(number)
    return key, stack.first.SeriesInstanceUID, stack.first.relative_path
