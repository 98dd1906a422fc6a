"""The released weights on a real head: nothing found in it as it is, and each bleed painted in it.

The head was never trained on. Bleeds of 10 mL lie where their subtype lies and have the density of
fresh blood; they show what a missed subtype would look like, and are no measure of accuracy.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ichclient.dicom import headers_from_path
from ichclient.hounsfield import hu_slices_from_series
from ichclient.series import chosen_series, series_from_scan
from ichcore import hu_on_grid, placement_from_hu
from ichcore.study import slice_extent_mm
from ichtrain.data import LABELS, SUBTYPES, LabelledSeries
from ichtrain.evaluate import Bundle, bundle_from_repository, outcome_from_series
from ichtrain.evaluate.outcome import Outcome
from ichtrain.paint import Head, head_from_hu, painted

BLOOD_HU = 65.0
VOLUME_ML = 10.0
SEEDS = (1, 2)


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return bundle_from_repository(Path(__file__).parents[2] / "model_repository")


@pytest.fixture(scope="module")
def real_head(head_ct_ge: Path) -> tuple[Head, np.ndarray]:
    """The head in its own pixels with the positions of its slices in mm."""
    series = chosen_series(series_from_scan(headers_from_path(head_ct_ge)))
    hu = np.stack([one.hu for one in hu_slices_from_series(series)]).astype(np.float32)
    positions_mm = np.asarray(series.positions_mm, dtype=np.float32)
    extent_mm = slice_extent_mm(positions_mm)
    assert extent_mm is not None
    return head_from_hu(hu, float(series.pixel_spacing_mm[0]), extent_mm), positions_mm


def judged(bundle: Bundle, hu: np.ndarray, head: Head, positions_mm: np.ndarray) -> Outcome:
    """The outcome of HU [n, R, C] in the head's pixels, as the server would come to it."""
    spacing_mm, grid = head.pixel_spacing_mm, bundle.spec.grid
    count = len(hu)
    series = LabelledSeries(
        SeriesInstanceUID="1.2.3",
        SOPInstanceUID=tuple(f"1.2.3.{index}" for index in range(count)),
        patient="painted",
        site="real",
        split="test",
        annotation="study",
        labels=np.full((count, len(LABELS)), -1, dtype=np.int8),
        lesion_ml=None,
        hu=np.stack(
            [hu_on_grid(one, placement_from_hu(one, spacing_mm, spacing_mm), grid) for one in hu]
        ),
        position_mm=positions_mm,
    )
    return outcome_from_series(series, bundle)


def test_the_head_as_it_is_is_negative(bundle: Bundle, real_head: tuple[Head, np.ndarray]) -> None:
    head, positions_mm = real_head
    outcome = judged(bundle, head.hu, head, positions_mm)
    assert outcome.refusal is None
    assert outcome.decisions["balanced"] == "negative"


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("subtype", SUBTYPES)
def test_a_painted_bleed_is_positive_on_its_blood(
    bundle: Bundle, real_head: tuple[Head, np.ndarray], subtype: str, seed: int
) -> None:
    head, positions_mm = real_head
    rng = np.random.default_rng(seed)
    hu, share = painted(head, subtype, VOLUME_ML, BLOOD_HU, rng)
    outcome = judged(bundle, hu, head, positions_mm)
    assert outcome.decisions["balanced"] == "positive"
    bleeding = (share > 0.5).sum(axis=(1, 2)) * head.pixel_spacing_mm**2 > 20.0
    assert bleeding[outcome.top_slices[0]], "scored for something else"
