"""Drawn heads, and a bundle of two members that go by brightness alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ichcore import Calibration, EnsembleSpec, Grid, MemberSpec, OperatingPoint, StudyRule
from ichtrain.data import LABELS, LabelledSeries, PreparedWriter
from ichtrain.evaluate import Bundle

GRID = Grid(rows=64, columns=64, pixel_spacing_mm=3.0)
SLICES = 12
SPACING_MM = 10.0

Draw = Callable[..., LabelledSeries]


def spec_of_two(grid: Grid = GRID) -> EnsembleSpec:
    members = tuple(
        MemberSpec(name, name, weight, 1.0 - weight, Calibration(), "0" * 64)
        for name, weight in (("sharp", 0.75), ("dull", 0.25))
    )
    return EnsembleSpec(
        name="brightness",
        version="1",
        grid=grid,
        members=members,
        brain_member="sharp",
        mask_threshold=0.5,
        brain_threshold=0.5,
        study_rule=StudyRule(),
        operating_points=(
            OperatingPoint("high_sensitivity", 0.3, 0.9, 0.5),
            OperatingPoint("balanced", 0.5, 0.8, 0.8),
        ),
    )


def bright_runner(level_hu: float) -> Callable[[NDArray[np.float16]], dict[str, NDArray]]:
    """A member whose mask is what is brighter than a level, and whose logit counts its pixels."""

    def run(hu: NDArray[np.float16]) -> dict[str, NDArray]:
        middle = hu[:, hu.shape[1] // 2].astype(np.float32)[:, ::2, ::2]
        soft = (middle > 0) & (middle < 100)
        bright = soft & (middle > level_hu)
        count = bright.sum(axis=(1, 2), dtype=np.float32)[:, None]
        return {
            "LOGIT": (count - 6.0) / 2.0,
            "MASK": bright.astype(np.float16),
            "BRAIN": soft.astype(np.float16),
        }

    return run


@pytest.fixture(scope="session")
def bundle() -> Bundle:
    runners = {"sharp": bright_runner(55.0), "dull": bright_runner(45.0)}
    return Bundle(spec_of_two(), runners, "brightness", {"sharp": "0" * 64})


def drawn(
    number: int,
    kinds: tuple[str, ...] = (),
    *,
    side_pixels: int = 10,
    site: str = "A",
    annotation: str = "mask",
    split: str = "test",
    slices: int = SLICES,
) -> LabelledSeries:
    """A ring of bone around brain; a bleed is a square of blood on slices 4 to 6."""
    rng = np.random.default_rng(number)
    rows, columns = np.mgrid[-1 : 1 : GRID.rows * 1j, -1 : 1 : GRID.columns * 1j]
    radius = np.hypot(rows, columns)
    head = np.where(radius < 0.75, 33.0, np.where(radius < 0.85, 900.0, -1000.0))
    hu = np.rint(head + rng.normal(0, 2, (slices, *head.shape)))
    lesion = np.zeros((slices, *GRID.mask_shape), dtype=np.uint8)
    labels = np.zeros((slices, len(LABELS)), dtype=np.int8)
    if kinds:
        half = side_pixels // 2
        hu[4:7, 32 : 32 + side_pixels, 26 : 26 + side_pixels] = 68
        lesion[4:7, 16 : 16 + half, 13 : 13 + half] = 255
        labels[4:7, [0, *(LABELS.index(kind) for kind in kinds)]] = 1
    lesion_ml = float(lesion.sum() / 255 * GRID.mask_pixel_mm2 * SPACING_MM / 1000)
    if annotation == "study":
        labels[:] = labels.max(axis=0)
    return LabelledSeries(
        SeriesInstanceUID=f"1.2.826.0.1.{number}",
        SOPInstanceUID=tuple(f"1.2.826.0.1.{number}.{index}" for index in range(slices)),
        patient=f"P{number}",
        site=site,
        split=split,
        annotation=annotation,
        labels=labels,
        lesion_ml=lesion_ml if annotation == "mask" else None,
        hu=hu.astype(np.float16),
        position_mm=np.arange(slices, dtype=np.float32) * SPACING_MM,
        lesion=lesion if annotation == "mask" else None,
    )


@pytest.fixture(scope="session")
def cohort() -> tuple[LabelledSeries, ...]:
    """Six clean heads and six bleeds of two sites; two bleeds are too small to find."""
    clean = [drawn(number, site="AB"[number % 2]) for number in range(6)]
    bleeds = [
        drawn(10, ("sdh",)),
        drawn(11, ("sdh", "sah"), side_pixels=16),
        drawn(12, ("sah",), side_pixels=2),
        drawn(13, ("iph",), side_pixels=12, site="B"),
        drawn(14, ("ivh",), side_pixels=2, site="B"),
        drawn(15, ("iph",), annotation="slice"),
    ]
    return (*clean, *bleeds)


@pytest.fixture
def prepared(tmp_path: Path) -> Callable[..., Path]:
    """Write series into a prepared folder of a name."""

    def write(name: str, *series: LabelledSeries, grid: Grid = GRID) -> Path:
        writer = PreparedWriter(tmp_path / name, grid)
        for one in series:
            writer.add(one)
        return tmp_path / name

    return write


def with_hu(series: LabelledSeries, hu: NDArray[np.float16]) -> LabelledSeries:
    return replace(series, hu=hu)
