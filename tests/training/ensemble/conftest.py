"""Synthetic members: what four networks of known skill would say of synthetic series."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from ichcore import Grid, MemberOutputs
from ichtrain.data import LABELS, LabelledSeries
from ichtrain.ensemble import MemberFacts, Validation, validated_from_outputs

GRID = Grid(rows=64, columns=64, pixel_spacing_mm=3.0)
SLICES = 12
NAMES = ("ich_any", "ich_sdh", "ich_sah", "ich_small")
KINDS = ("normal", "sdh", "normal", "sah", "iph")

SKILL = {
    # member: the logit that a bleed of each kind adds
    "ich_any": {"sdh": 2.5, "sah": 2.5, "iph": 3.5},
    "ich_sdh": {"sdh": 4.0, "sah": 0.5, "iph": 1.5},
    "ich_sah": {"sdh": 0.5, "sah": 4.0, "iph": 1.5},
    "ich_small": {"sdh": 1.5, "sah": 2.0, "iph": 2.0},
}

Outputs = dict[str, MemberOutputs]


def series_of(kind: str, number: int, annotation: str = "mask") -> LabelledSeries:
    """A head of twelve slices, with a disc of blood on some in a bleed."""
    rng = np.random.default_rng([number, 7])
    lesion = np.zeros((SLICES, *GRID.mask_shape), dtype=np.uint8)
    labels = np.zeros((SLICES, len(LABELS)), dtype=np.int8)
    if kind != "normal":
        first, radius = int(rng.integers(2, 6)), float(rng.uniform(2, 5))
        rows, columns = np.ogrid[: GRID.mask_shape[0], : GRID.mask_shape[1]]
        row, column = rng.integers(10, 22, 2)
        disc = (rows - row) ** 2 + (columns - column) ** 2 <= radius**2
        lesion[first : first + 4, disc] = 255
        labels[first : first + 4, [0, LABELS.index(kind)]] = 1
    blood = lesion.repeat(2, axis=1).repeat(2, axis=2) > 0
    hu = 30 + 40 * blood + rng.normal(0, 4, blood.shape)
    if annotation == "study":
        labels[:] = labels.max(axis=0)
    return LabelledSeries(
        SeriesInstanceUID=f"1.2.{number}",
        SOPInstanceUID=tuple(f"1.2.{number}.{index}" for index in range(SLICES)),
        patient=f"P{number}",
        site="made up",
        split="validation",
        annotation=annotation,
        labels=labels,
        lesion_ml=float(lesion.sum() / 255 * GRID.mask_pixel_mm2 * 12 / 1000),
        hu=hu.astype(np.float16),
        position_mm=np.arange(SLICES, dtype=np.float32) * 12,
        lesion=lesion if annotation == "mask" else None,
    )


def outputs_of(kind: str, number: int, skill: float = 1.0) -> Outputs:
    """What the members say of `series_of(kind, number)`; the vertex alarms everybody."""
    series = series_of(kind, number)
    rng = np.random.default_rng([number, 11])
    shown = series.labels[:, 0] == 1
    assert series.lesion is not None
    brain = np.zeros((SLICES, *GRID.mask_shape), dtype=np.float16)
    brain[:-2, 4:28, 4:28] = 1
    brain[-2:, 12:18, 12:18] = 1  # the vertex
    outputs = {}
    for name in NAMES:
        gain = skill * SKILL[name].get(kind, 0.0)
        logit = rng.normal(-2.0, 1.0, SLICES) + rng.normal(0, 0.5) + gain * shown
        logit[-1] += rng.uniform(0, 4)
        noise = rng.random((SLICES, *GRID.mask_shape))
        inside = 0.2 + 0.15 * gain + 0.2 * noise
        mask = np.where(series.lesion > 0, np.minimum(inside, 0.99), 0.3 * noise**4)
        outputs[name] = MemberOutputs(
            logit[:, None].astype(np.float32),
            mask.astype(np.float16),
            brain if name == "ich_any" else None,
        )
    return outputs


@pytest.fixture(scope="session")
def make_validation() -> Callable[..., Validation]:
    """A validation split of `count` synthetic series, each of its own patient."""

    def validation(
        count: int = 30,
        *,
        first: int = 0,
        kinds: tuple[str, ...] = KINDS,
        skill: float = 1.0,
        annotation: str = "mask",
        weak: tuple[str, ...] = (),
    ) -> Validation:
        judged = []
        for number in range(first, first + count):
            kind = kinds[number % len(kinds)]
            outputs = {
                name: replace(one, mask=None) if name in weak else one
                for name, one in outputs_of(kind, number, skill).items()
            }
            judged.append(
                validated_from_outputs(
                    series_of(kind, number, annotation), outputs, NAMES, "ich_any"
                )
            )
        facts = tuple(MemberFacts(name, name, "a" * 64) for name in NAMES)
        has_mask = tuple(name not in weak for name in NAMES)
        return Validation(GRID, facts, has_mask, "ich_any", tuple(judged))

    return validation
