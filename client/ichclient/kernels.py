"""ConvolutionKernel -> soft, sharp or unknown: the reconstruction's character, by vendor.

Blood is judged on soft-tissue kernels; sharp (bone) kernels drown it in noise. The names seen in
data at hand are UB, YA (Philips), STD+, STANDARD, SOFT (GE); the others come from the vendors'
usual naming and only decide an order, never a refusal.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Character = Literal["soft", "unknown", "sharp"]


@dataclass(frozen=True)
class KernelFamily:
    """One vendor's kernel names of one character; `pattern` must match the whole name."""

    vendor: str
    character: Character
    pattern: str

    def holds(self, manufacturer: str, kernel: str) -> bool:
        """Whether this family names the kernel of that manufacturer."""
        ours = self.vendor in manufacturer.upper()
        return ours and re.fullmatch(self.pattern, kernel, re.IGNORECASE) is not None


KERNEL_FAMILIES = (
    KernelFamily("GE", "sharp", r"(BONE|EDGE|LUNG|DETAIL|ULTRA|HD ?BONE|I-BONE).*"),
    KernelFamily("GE", "soft", r"(STD|STANDARD|SOFT|BRAIN|STND|SMOOTH).*"),
    KernelFamily("PHILIPS", "sharp", r"(Y[A-E]|D|E|L|HRES|EB)"),
    KernelFamily("PHILIPS", "soft", r"(U[A-C]|A|B|C|BRAIN.*|SMOOTH|STANDARD)"),
    KernelFamily("SIEMENS", "sharp", r"[BHJ](R|C|F)?(5[5-9]|[6-9]\d).*"),
    KernelFamily("SIEMENS", "soft", r"[BHJQ](R|C|F|V)?([1-4]\d|5[0-4]).*"),
    KernelFamily("TOSHIBA", "sharp", r"FC([3-4]\d|5[0-9]|8\d).*"),
    KernelFamily("TOSHIBA", "soft", r"FC(0?\d|1\d|2\d|6\d)(?!\d).*"),
    KernelFamily("CANON", "sharp", r"FC([3-4]\d|5[0-9]|8\d).*"),
    KernelFamily("CANON", "soft", r"FC(0?\d|1\d|2\d|6\d)(?!\d).*"),
    # Whoever made the scanner, these words say what they mean.
    KernelFamily("", "sharp", r".*(BONE|SHARP|EDGE|LUNG).*"),
    KernelFamily("", "soft", r".*(BRAIN|SOFT|SMOOTH|STANDARD).*"),
)

_BONE_WINDOW_CENTER = 250.0


def kernel_character(
    manufacturer: str,
    kernel: str,
    window_center: float | None = None,
    families: tuple[KernelFamily, ...] = KERNEL_FAMILIES,
) -> Character:
    """Soft, sharp or unknown; without a known kernel a bone window weakly hints at a sharp one."""
    if kernel:
        for family in families:
            if family.holds(manufacturer, kernel):
                return family.character
    if window_center is not None and window_center >= _BONE_WINDOW_CENTER:
        return "sharp"
    return "unknown"
