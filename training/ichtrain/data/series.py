"""The vocabulary of labelled data: labels, splits, subsets, and one series on the grid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ichcore import Grid
from ichtrain.errors import DataError

SUBTYPES = ("sdh", "sah", "edh", "iph", "ivh")
"""Subdural, subarachnoid, epidural, intraparenchymal, intraventricular."""

LABELS = ("any", *SUBTYPES)
"""Columns of `LabelledSeries.labels`."""

SPLITS = ("train", "validation", "test")

ANNOTATIONS = ("mask", "slice", "study")
"""What was drawn or ticked: every pixel, every slice, or the study as a whole."""

SMALL_VOLUME_ML = 5.0
"""Bleeds of up to this volume are small; source: Kang et al. 2023 and its follow-up."""

VISIBLE_LESION_MM2 = 12.0
"""Lesion area from which a slice of a masked series counts as positive."""

UNKNOWN = -1
"""Label of which nothing is known."""


@dataclass(frozen=True)
class LabelledSeries:
    """One series on the grid with its truth; n slices from inferior to superior.

    `labels` int8 [n, 6] in the order of `LABELS`, 1, 0 or -1 for unknown (with `study`
    annotation every slice carries the study's label); `lesion_ml` all blood, None where unknown;
    `hu` float16 [n, R, C]; `position_mm` float32 [n] along the slice normal; `lesion` and `brain`
    uint8 [n, r, c], the share of a mask pixel times 255, None where nobody drew them.
    Raises `DataError` where the parts do not fit together.
    """

    SeriesInstanceUID: str
    SOPInstanceUID: tuple[str, ...]
    patient: str
    site: str
    split: str
    annotation: str
    labels: NDArray[np.int8]
    lesion_ml: float | None
    hu: NDArray[np.float16]
    position_mm: NDArray[np.float32]
    lesion: NDArray[np.uint8] | None = None
    brain: NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        """Refuse shapes that differ and words that are not in the vocabulary."""
        count = len(self.hu)
        shapes = (len(self.SOPInstanceUID), len(self.labels), len(self.position_mm))
        if count == 0 or self.hu.ndim != 3 or set(shapes) != {count}:
            raise self._error(f"{count} slices, but {shapes} instances, labels and positions")
        if self.labels.shape != (count, len(LABELS)) or not np.isin(self.labels, (-1, 0, 1)).all():
            raise self._error(f"labels {self.labels.shape} must be 0, 1 or -1, [n, {len(LABELS)}]")
        for name in ("lesion", "brain"):
            mask = getattr(self, name)
            if mask is not None and (mask.ndim != 3 or len(mask) != count):
                raise self._error(f"{name} has shape {mask.shape} for {count} slices")
        if self.split not in SPLITS or self.annotation not in ANNOTATIONS:
            raise self._error(f"split '{self.split}', annotation '{self.annotation}'")
        if self.annotation == "mask" and self.lesion is None:
            raise self._error("annotation 'mask' without a lesion mask")

    def _error(self, what: str) -> DataError:
        return DataError(f"Series {self.SeriesInstanceUID} cannot be used: {what}.")

    def has(self, label: str) -> bool:
        """Whether any slice carries a label of `LABELS`."""
        return bool((self.labels[:, LABELS.index(label)] == 1).any())

    @property
    def subtypes(self) -> frozenset[str]:
        """The subtypes that are known to be there."""
        return frozenset(name for name in SUBTYPES if self.has(name))

    @property
    def is_normal(self) -> bool:
        """Whether no slice shows or may show blood."""
        return bool((self.labels[:, 0] == 0).all())


def lesion_labels(lesion: NDArray[np.uint8], grid: Grid) -> NDArray[np.int8]:
    """Which slices of a mask [n, r, c] (share times 255) show blood; int8 [n]."""
    area_mm2 = lesion.sum(axis=(1, 2), dtype=np.int64) * (grid.mask_pixel_mm2 / 255.0)
    return np.asarray(area_mm2 >= VISIBLE_LESION_MM2, dtype=np.int8)


def _small(series: LabelledSeries) -> bool:
    return series.lesion_ml is not None and series.lesion_ml <= SMALL_VOLUME_ML


SUBSETS: dict[str, Callable[[LabelledSeries], bool]] = {
    "all": lambda series: True,
    "sdh": lambda series: series.is_normal or series.subtypes == {"sdh"},
    "sah": lambda series: series.is_normal or series.subtypes == {"sah"},
    "small": lambda series: series.is_normal or _small(series),
}
"""Which series a member sees: its own subtype and normals (Kang et al. 2023, follow-up)."""
