"""What a site may say about its own CT: words, kernels and limits, each with its default.

The defaults stand here and nowhere else; `docs/intake.md` publishes them. A rules file
(`rules_file.py`) makes another `Site` of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields

from ichclient.kernels import KERNEL_FAMILIES, Character, KernelFamily, kernel_character

_CONTRAST = (
    r"\bCTA\b", r"\bCTV\b", r"ANGIO", r"PERF(USION)?\b", r"\+ ?C\b", r"VENOUS", r"ARTERIAL",
    r"IODINE", r"\bC\+", r"CONTRAST",
    r"\bPOST\b(?![ _-]*(OP|FOSSA|SURG|TRAUMA|CLIP|COIL|EVD))",
)  # fmt: skip
_NO_CONTRAST = (
    r"W/O", r"WITHOUT", r"\bNON?\b", r"\bNCCT\b", r"\bPRE\b", r"UNENHANCED", r"NATIVE",
    r"(?<!/)\bWO\b",
)  # fmt: skip
_LOCALIZER = (r"LOCALI[SZ]ER", r"SCOUT", r"TOPOGRAM", r"SURVIEW", r"SCANOGRAM")
_MATERIAL_MAP = (
    r"\bVNC\b", r"VIRTUAL[ _-]*(NON|UNENH)", r"IODINE[ _-]*(MAP|OVERLAY|NO|DENSITY)",
    r"Z[ _-]*EFF", r"EFFECTIVE[ _-]*Z", r"CALCIUM[ _-]*SUPP", r"ELECTRON[ _-]*DENS",
)  # fmt: skip
_MONOENERGETIC = (r"\bMONO(?!CHROME)", r"\b\d{2,3} ?KEV\b", r"\bVMI\b")
_HEAD = (r"HEAD", r"BRAIN", r"SKULL", r"CRAN", r"CEREB", r"STROKE", r"NEURO")
_OTHER_BODY = (
    r"ABDOMEN", r"\bABD\b", r"ANKLE", r"CHEST", r"C-?SPINE", r"ELBOW", r"\bFOOT\b", r"\bHAND\b",
    r"\bHEART\b", r"\bHIP\b", r"\bKNEE\b", r"L-?SPINE", r"\bLUNGS?\b", r"\bNECK\b", r"PELVIS",
    r"SHOULDER", r"\bSPINE\b", r"THORAX", r"T-?SPINE", r"WRIST",
)  # fmt: skip


@dataclass(frozen=True)
class Words:
    """Patterns (regular expressions, case ignored) that are searched in descriptions."""

    contrast: tuple[str, ...] = _CONTRAST
    no_contrast: tuple[str, ...] = _NO_CONTRAST
    localizer: tuple[str, ...] = _LOCALIZER
    material_map: tuple[str, ...] = _MATERIAL_MAP
    monoenergetic: tuple[str, ...] = _MONOENERGETIC
    head: tuple[str, ...] = _HEAD
    other_body: tuple[str, ...] = _OTHER_BODY

    def __post_init__(self) -> None:
        """Refuse a pattern that is none, naming the list it stands in."""
        for field in fields(self):
            for pattern in getattr(self, field.name):
                try:
                    re.compile(pattern)
                except re.error as error:
                    text = f"{field.name}: '{pattern}' is no regular expression ({error})"
                    raise ValueError(text) from error

    def say(self, kind: str, text: str) -> bool:
        """Whether one of the patterns of a kind (a field's name) is in the text."""
        patterns: tuple[str, ...] = getattr(self, kind)
        return any(re.search(pattern, text, re.IGNORECASE) for pattern in patterns)


@dataclass(frozen=True)
class Limits:
    """Numbers that rules compare with; lengths in mm, ages in years."""

    min_slices: int = 10
    min_coverage_mm: float = 80.0
    # A 10 mm protocol is legitimate; a hole wider than that can hide a lesion.
    max_gap_mm: float = 10.5
    max_missing_percent: float = 10.0
    max_thickness_mm: float = 10.0
    min_field_of_view_mm: float = 180.0
    min_age_years: float = 18.0
    # What the ranking prefers: near the spacing of the training data, and a head's height.
    preferred_spacing_mm: float = 5.0
    full_coverage_mm: float = 160.0

    def __post_init__(self) -> None:
        """A limit is a number that is not negative; a percentage ends at 100."""
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0 <= value < float("inf"):
                raise ValueError(f"{field.name} must be a number from 0 on, got {value}")
        if self.max_missing_percent > 100:
            raise ValueError(f"max_missing_percent ends at 100, got {self.max_missing_percent}")


@dataclass(frozen=True)
class SitePoint:
    """A site's own operating point: a threshold on the study score of one spec, and of no other.

    `acceptance_sha256` is of the acceptance.json that it was set by; empty where there is none.
    """

    name: str
    threshold: float
    spec_sha256: str
    acceptance_sha256: str = ""

    def __post_init__(self) -> None:
        """Refuse a name that a page could not carry, no probability, and no hash."""
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", self.name):
            raise ValueError(f"name must be small letters, digits and _, got {self.name!r}")
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"threshold must lie between 0 and 1, got {self.threshold}")
        for what, value in (("spec", self.spec_sha256), ("acceptance", self.acceptance_sha256)):
            if not re.fullmatch("[0-9a-f]{64}", value) and (value or what == "spec"):
                raise ValueError(f"{what}_sha256 is no SHA-256 in hexadecimal")


@dataclass(frozen=True)
class Site:
    """Everything that rules and ranking ask a site for; `sha256` is that of its rules file.

    `point` is the site's own operating point, which is told beside the server's decisions.
    """

    words: Words = Words()
    limits: Limits = Limits()
    kernels: tuple[KernelFamily, ...] = KERNEL_FAMILIES
    sha256: str | None = None
    point: SitePoint | None = None

    def kernel_character(
        self, manufacturer: str, kernel: str, window_center: float | None
    ) -> Character:
        """Soft, sharp or unknown, by the site's kernels first."""
        return kernel_character(manufacturer, kernel, window_center, self.kernels)


DEFAULT_SITE = Site()
