"""What the chain found -> result.json: frozen values whose names are the keys of the file.

Schema: `docs/result.schema.json`. No patient name or identifier is in it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from ichclient.headers import Fact
from ichcore import Decision

if TYPE_CHECKING:
    from ichclient.validate import Validation

SCHEMA_VERSION = 1
_UNKNOWN_SPEC_LEVEL = 0.5
DISCLAIMER = "Research demonstration, not a medical device."
RESULT_FILE = "result.json"
MASKS_FILE = "masks.npz"
TABLE_FILE = "slices.csv"
PICTURE_FILE = "top_slice.png"
REPORT_FILE = "report.html"


@dataclass(frozen=True)
class StudyIdentity:
    """The study that was judged."""

    StudyInstanceUID: str


@dataclass(frozen=True)
class SeriesResult:
    """The series that was judged; spacings in mm, the measured tilt in degrees."""

    SeriesInstanceUID: str
    SeriesNumber: int | None
    SeriesDescription: str
    slices: int
    slice_spacing_mm: float
    pixel_spacing_mm: tuple[float, float]
    gantry_tilt_degrees: float


@dataclass(frozen=True)
class GeometryResult:
    """The grid of the series: lengths in mm, directions in patient axes, as stored.

    `canonical` says what turns a stored slice into the pictures' orientation; `gaps_mm` and the
    median `table_step_mm` lie between neighbouring slices, along the normal and as they were moved.
    """

    FrameOfReferenceUID: str
    rows: int
    columns: int
    pixel_area_mm2: float
    row_direction: tuple[float, float, float]
    column_direction: tuple[float, float, float]
    normal: tuple[float, float, float]
    canonical: Mapping[str, bool]
    gaps_mm: tuple[float, ...]
    table_step_mm: float
    height_mm: float


@dataclass(frozen=True)
class IntakeResult:
    """By what the study was let in: the site's rules file, what was allowed, what was named."""

    rules_sha256: str | None
    allowed: tuple[str, ...]
    series_named: bool


@dataclass(frozen=True)
class Judgement:
    """Why a series, a file or a slice was taken or not: a code, a sentence and facts."""

    code: str
    sentence: str
    facts: Mapping[str, Fact]
    path: str = ""


@dataclass(frozen=True)
class SliceResult:
    """One slice, counted from 0 at the lowest.

    `frame_number` counts the frames of a multi-frame image from 1, as DICOM does; None otherwise.
    """

    index: int
    SOPInstanceUID: str
    frame_number: int | None
    position_mm: float
    origin_mm: tuple[float, float, float]
    score: float
    member_scores: Mapping[str, float]
    lesion_mm2: float
    brain_mm2: float


@dataclass(frozen=True)
class Bundle:
    """Who judged: name and hashes of spec and engines, and the server that ran them."""

    ensemble: str
    provenance: str
    spec_sha256: str
    server_version: str
    contract_version: int


@dataclass(frozen=True)
class Combination:
    """How scores were combined: of the spec that `Bundle.spec_sha256` names, so never guessed.

    `findings` and `score_weights` by Triton model name, `thresholds` on the study score by
    operating point.
    """

    findings: Mapping[str, str]
    score_weights: Mapping[str, float]
    thresholds: Mapping[str, float]
    mask_threshold: float
    study_rule: str
    minimum_brain_share: float
    """Slices with a smaller share of the largest brain area are kept out of the study score."""

    def __post_init__(self) -> None:
        """Weights, thresholds and shares all lie between 0 and 1."""
        numbers = [*self.score_weights.values(), *self.thresholds.values()]
        if not all(0 <= n <= 1 for n in (*numbers, self.mask_threshold, self.minimum_brain_share)):
            raise ValueError("a weight, threshold or share of a combination is outside 0 to 1")


@dataclass(frozen=True)
class SiteDecision:
    """What the study is called at the site's own operating point; the client applied it.

    It stands beside the server's decisions and changes none of them.
    """

    name: str
    threshold: float
    decision: Decision
    acceptance_sha256: str


@dataclass(frozen=True)
class Notice:
    """A warning that belongs beside the result."""

    code: str
    sentence: str


@dataclass(frozen=True)
class Result:
    """Everything that is told of one study; the order is that of the file."""

    study: StudyIdentity
    series: SeriesResult
    geometry: GeometryResult
    intake: IntakeResult
    study_score: float
    member_scores: Mapping[str, float]
    decisions: Mapping[str, Decision]
    lesion_volume_ml: float | None
    coverage_mm: float
    top_slices: tuple[int, ...]
    slices: tuple[SliceResult, ...]
    considered: tuple[Judgement, ...]
    skipped_files: tuple[Judgement, ...]
    slice_verdicts: tuple[Judgement, ...]
    warnings: tuple[Notice, ...]
    bundle: Bundle
    timings: Mapping[str, float]
    combination: Combination | None = None
    """None where the client does not hold the spec by which the server judged."""
    masks_sha256: str | None = None
    """SHA-256 of masks.npz beside the file; None where no masks were kept."""
    trace_id: str | None = None
    """Of the calls to the server, drawn at random (W3C Trace Context)."""
    site: SiteDecision | None = None
    """None where the site has set no operating point of its own."""
    schema_version: int = SCHEMA_VERSION
    disclaimer: str = DISCLAIMER

    @property
    def mask_level(self) -> float:
        """Lesion probability at which masks are drawn: the spec's, where the client knows it."""
        known = self.combination
        return known.mask_threshold if known else _UNKNOWN_SPEC_LEVEL

    def __post_init__(self) -> None:
        """Refuse a result whose parts do not belong together."""
        if not self.slices or len(self.slices) != self.series.slices:
            raise ValueError("a result needs every slice of its series, and at least one")
        if not self.top_slices or not set(self.top_slices) <= set(range(len(self.slices))):
            raise ValueError("top_slices must name slices of the series")
        if not self.decisions or not math.isfinite(self.study_score):
            raise ValueError("a result needs a finite score and a decision")


def result_to_json(result: Result | Validation) -> str:
    """The text of result.json, or of a validation; a value that is not finite cannot be written."""
    fields = asdict(result)
    head = {key: fields.pop(key) for key in ("schema_version", "disclaimer")}
    return json.dumps({**head, **fields}, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
