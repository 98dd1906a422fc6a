"""Scan -> Candidates -> Series: judge every series of a study, choose one, and say why.

A candidate is never dropped in silence: it leaves with a verdict (`accepted`, `chosen`,
`outranked`, or the code of the rule it breaks), and the chosen series carries all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from ichclient.errors import NothingFound, RefusedInput
from ichclient.headers import Fact, Scan, SliceHeader, Verdict, Warning_
from ichclient.notices import spacings_text
from ichclient.places import SeriesGeometry, geometry_from_stack
from ichclient.ranking import character, outranked_by, ranked_stacks
from ichclient.rules import DEFAULT_BOOK, Finding, RuleBook
from ichclient.stacks import Stack, stacks_from_headers

ACCEPTED = "accepted"
CHOSEN = "chosen"
OUTRANKED = "outranked"


@dataclass(frozen=True)
class Candidate:
    """One stack that might be judged, with its verdict.

    `reasons` holds everything that speaks against it, `passed` what was let through by name.
    """

    stack: Stack
    verdict: Verdict
    reasons: tuple[Finding, ...] = ()
    passed: tuple[Finding, ...] = ()

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
    """The chosen series: headers of its slices from inferior to superior, and where they lie.

    `slice_verdicts` tell of every slice that was left out or is in doubt. Where `slabs` are
    given, each slice is the average of the planes there, and its own header the middle one.
    """

    slices: tuple[SliceHeader, ...]
    geometry: SeriesGeometry
    identity: SeriesIdentity
    considered: tuple[Candidate, ...] = ()
    warnings: tuple[Warning_, ...] = ()
    slice_verdicts: tuple[Verdict, ...] = field(default=())
    slabs: tuple[tuple[SliceHeader, ...], ...] = ()

    def __post_init__(self) -> None:
        """Headers and places belong together."""
        if len(self.slices) != len(self.geometry.slices):
            raise ValueError("a series needs as many places as slices")
        if self.slabs and len(self.slabs) != len(self.slices):
            raise ValueError("a series in slabs needs one for each slice")

    @property
    def positions_mm(self) -> tuple[float, ...]:
        """The place of each slice along the normal, ascending."""
        return self.geometry.positions_mm

    @property
    def slice_spacing_mm(self) -> float:
        """The median distance of neighbouring slices."""
        return self.geometry.slice_spacing_mm

    @property
    def gantry_tilt_degrees(self) -> float:
        """The measured tilt, positive where the front edge of a slice lies higher."""
        return self.geometry.gantry_tilt_degrees

    @property
    def pixel_spacing_mm(self) -> tuple[float, float]:
        """The distance between rows, then between columns."""
        return self.geometry.pixel_spacing_mm


def series_from_scan(scan: Scan, book: RuleBook = DEFAULT_BOOK) -> tuple[Candidate, ...]:
    """Judge every stack of a study by the rules; ordered by SeriesNumber, then UID."""
    stacks = sorted(stacks_from_headers(scan.headers), key=_report_order)
    return tuple(_judged(stack, book) for stack in stacks)


def chosen_series(
    candidates: Sequence[Candidate], series_uid: str | None = None, book: RuleBook = DEFAULT_BOOK
) -> Series:
    """Choose the best accepted candidate, or the one that `series_uid` names.

    A named series may overrule the rules that rest on typed text (contrast, body part, derived),
    with a warning. Raises NothingFound where no file is CT, and RefusedInput where none of the CT
    may be judged, the study mixes patients or studies, or the UID is unknown.
    """
    if not any(item.stack.first.Modality in ("CT", "") for item in candidates):
        found = ", ".join(sorted({item.stack.first.Modality for item in candidates})) or "nothing"
        raise NothingFound(f"There is no CT here, only {found}. Give the folder of a CT study.")
    pool = tuple(candidates) if series_uid is None else _named(candidates, series_uid)
    for finding in book.found_in_study([item.stack for item in pool]):
        raise RefusedInput(f"{finding.sentence} [{finding.code}]")
    rivals = _best_class(pool, series_uid)
    if not rivals:
        raise RefusedInput(_refusal_sentence(pool))
    ranked = ranked_stacks([item.stack for item in rivals], book.site)
    chosen = next(item for item in rivals if item.stack is ranked[0])
    considered = _told(candidates, chosen, ranked, series_uid, book)
    return _series_from_candidate(chosen, considered, book)


def _best_class(pool: Sequence[Candidate], series_uid: str | None) -> list[Candidate]:
    """Those without any reason against them, else those allowed, else those overruled by name."""
    accepted = [item for item in pool if item.accepted]
    clean = [item for item in accepted if not item.passed]
    if clean or accepted or series_uid is None:
        return clean or accepted
    return [item for item in pool if all(finding.rule.passes == "name" for finding in item.reasons)]


def candidate_facts(stack: Stack, book: RuleBook = DEFAULT_BOOK) -> dict[str, Fact]:
    """What a report shows of a candidate beside its verdict."""
    first = stack.first
    return {
        "SeriesInstanceUID": first.SeriesInstanceUID,
        "SeriesNumber": first.SeriesNumber,
        "SeriesDescription": first.SeriesDescription,
        "Modality": first.Modality,
        "ImageType": "\\".join(first.ImageType),
        "ConvolutionKernel": first.ConvolutionKernel,
        "kernel_character": character(stack, book.site),
        "folder": first.relative_path.rpartition("/")[0],
        "slices": len(stack.slices),
        "coverage_mm": round(stack.coverage_mm, 3),
        "slice_spacing_mm": round(stack.slice_spacing_mm, 3),
        "spacings_mm": spacings_text(stack),
        "gantry_tilt_degrees": round(stack.gantry_tilt_degrees, 3),
    }


def _judged(stack: Stack, book: RuleBook) -> Candidate:
    """A stack with the first rule that it breaks, and the codes of all of them."""
    found = book.found_in_stack(stack, "refuse")
    passed = tuple(finding for finding in found if finding.code in book.allowed)
    reasons = tuple(finding for finding in found if finding.code not in book.allowed)
    facts = candidate_facts(stack, book)
    if passed:
        facts["allowed"] = _codes(passed)
    if not reasons:
        sentence = "Axial non-contrast CT that covers enough of the head."
        if passed:
            sentence = f"Let through by --allow: {' '.join(item.sentence for item in passed)}"
        return Candidate(stack, Verdict(ACCEPTED, sentence, facts=facts), passed=passed)
    first = reasons[0]
    facts |= {"reasons": _codes(reasons), **first.found.facts}
    return Candidate(stack, Verdict(first.code, first.sentence, facts=facts), reasons, passed)


def _codes(found: Sequence[Finding]) -> str:
    return ", ".join(finding.code for finding in found)


def _told(
    candidates: Sequence[Candidate],
    chosen: Candidate,
    ranked: Sequence[Stack],
    series_uid: str | None,
    book: RuleBook,
) -> tuple[Candidate, ...]:
    """All candidates by rank, with the verdicts of the winner and of those it outranked."""

    def verdict(item: Candidate) -> Verdict:
        if item is chosen:
            how = "named with --series" if series_uid else "the best of those accepted"
            facts = {**item.verdict.facts, "rank": 1}
            careful = book.found_in_stack(item.stack, "warn")
            told = [f"Chosen: {how}.", *(each.sentence for each in careful)]
            if item.passed:
                told.insert(1, item.verdict.sentence)
            return replace(item.verdict, code=CHOSEN, sentence=" ".join(told), facts=facts)
        if not item.accepted:
            return item.verdict
        if item.stack not in ranked:
            why = "named with --series" if series_uid else "taken that needs no --allow"
            sentence = f"Usable, but another series was {why}."
            return replace(item.verdict, code=OUTRANKED, sentence=sentence)
        lost = outranked_by(item.stack, chosen.stack, ranked, book.site)
        name = chosen.stack.first.SeriesDescription or chosen.SeriesInstanceUID
        sentence = (
            f"Outranked by '{name}' on {lost.name.replace('_', ' ')}: "
            f"{lost.told(item.stack, book.site)} against {lost.told(chosen.stack, book.site)}."
        )
        rank = ranked.index(item.stack) + 1
        facts = {**item.verdict.facts, "preference": lost.name, "rank": rank}
        return replace(item.verdict, code=OUTRANKED, sentence=sentence, facts=facts)

    def order(item: Candidate) -> tuple[bool, int]:
        place = ranked.index(item.stack) if item.stack in ranked else len(ranked)
        return not (item is chosen or item.accepted), place

    told = (replace(item, verdict=verdict(item)) for item in candidates)
    return tuple(sorted(told, key=order))


def _series_from_candidate(
    chosen: Candidate, considered: tuple[Candidate, ...], book: RuleBook
) -> Series:
    stack, first = chosen.stack, chosen.stack.first
    overruled = [
        Warning_(item.code, f"Overruled by --series: {item.found.sentence}")
        for item in chosen.reasons
    ]
    allowed = [
        Warning_(item.code, f"Let through by --allow: {item.found.sentence}")
        for item in chosen.passed
    ]
    notices = [Warning_(item.code, item.sentence) for item in book.found_in_stack(stack, "warn")]
    return Series(
        slices=stack.slices,
        geometry=geometry_from_stack(stack),
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
        warnings=(*overruled, *allowed, *notices),
        slice_verdicts=stack.dropped,
    )


def _named(candidates: Sequence[Candidate], series_uid: str) -> tuple[Candidate, ...]:
    pool = tuple(item for item in candidates if series_uid == item.SeriesInstanceUID)
    if not pool:
        known = dict.fromkeys(item.SeriesInstanceUID for item in candidates)
        raise RefusedInput(
            f"There is no series {series_uid} here. Choose with --series from: {', '.join(known)}. "
            "[unknown_series]"
        )
    return pool


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
