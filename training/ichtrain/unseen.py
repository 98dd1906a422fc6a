"""Released repository + unseen phantom seeds -> sensitivity, specificity and Dice per kind.

The members run in-process with OpenVINO and are combined by the server's own formula; that the
server answers the same is proven by its own tests.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ichcore import EnsembleSpec, slices_from_combined, study_from_slices
from ichexport.configs import ONNX_FILE
from ichexport.engines import Runner, openvino_from_onnx
from ichexport.golden import combined_from_runners
from ichtrain.items import Items
from ichtrain.phantom import KINDS

UNSEEN_FIRST_SEED = 2_000_000
"""Seeds from here on are in no training and no validation split."""


@dataclass(frozen=True)
class Judged:
    """One unseen phantom: its score, what each operating point says, and its Dice."""

    kind: str
    seed: int
    score: float
    positive_at: tuple[str, ...]
    dice: float | None
    lesion_ml: float
    found_ml: float | None


@dataclass(frozen=True)
class KindFigures:
    """One row of the table: a kind, how many, the share called positive, the median Dice."""

    kind: str
    count: int
    positive_share: Mapping[str, float]
    median_dice: float | None


def runners_from_repository(repository: Path, spec: EnsembleSpec) -> dict[str, Runner]:
    """The committed graphs as in-process runners."""
    return {
        name: openvino_from_onnx(repository / name / "1" / ONNX_FILE) for name in spec.member_names
    }


def judged_from_items(
    items: Items, seed: int, runners: Mapping[str, Runner], spec: EnsembleSpec
) -> Judged:
    """Judge one series as the server would."""
    parts = [
        combined_from_runners(runners, items.hu[start : start + 8], spec)
        for start in range(0, len(items.hu), 8)
    ]
    study = study_from_slices(slices_from_combined(parts, items.position_mm, "in-process"), spec)
    mask = np.concatenate([part.mask for part in parts])
    return Judged(
        kind=items.kind,
        seed=seed,
        score=study.score,
        positive_at=tuple(name for name, decision in study.decisions if decision == "positive"),
        dice=_dice(mask, items, spec),
        lesion_ml=items.volume_ml,
        found_ml=study.lesion_volume_ml,
    )


def figures_from_judged(judged: Iterable[Judged], spec: EnsembleSpec) -> tuple[KindFigures, ...]:
    """One row per kind, in the order of `KINDS`."""
    everyone = list(judged)
    rows = []
    for kind in KINDS:
        group = [one for one in everyone if one.kind == kind]
        if not group:
            continue
        dices = [one.dice for one in group if one.dice is not None]
        shares = {
            point.name: sum(point.name in one.positive_at for one in group) / len(group)
            for point in spec.operating_points
        }
        rows.append(
            KindFigures(kind, len(group), shares, float(np.median(dices)) if dices else None)
        )
    return tuple(rows)


def table_from_figures(figures: Iterable[KindFigures], spec: EnsembleSpec) -> str:
    """The Markdown table that the README shows."""
    points = [point.name for point in spec.operating_points]
    heads = ["kind", "phantoms", *(f"positive at {p.replace('_', ' ')}" for p in points)]
    lines = [
        "| " + " | ".join([*heads, "median Dice"]) + " |",
        "|---" * (len(heads) + 1) + "|",
    ]
    for row in figures:
        shares = [f"{round(row.positive_share[p] * row.count)} of {row.count}" for p in points]
        dice = "" if row.median_dice is None else f"{row.median_dice:.2f}"
        lines.append("| " + " | ".join([row.kind, str(row.count), *shares, dice]) + " |")
    return "\n".join(lines) + "\n"


def write_unseen(
    path: Path, judged: list[Judged], spec: EnsembleSpec, conditions: Mapping[str, object]
) -> None:
    """Store every phantom's outcome with the conditions it was judged under."""
    record = {
        "spec_sha256": spec.sha256,
        "conditions": dict(conditions),
        "figures": [asdict(row) for row in figures_from_judged(judged, spec)],
        "phantoms": [asdict(one) for one in judged],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n")


def _dice(mask: NDArray[np.float16], items: Items, spec: EnsembleSpec) -> float | None:
    """Dice of the combined mask over the whole series; None without blood."""
    truth = items.lesion >= 0.5
    if not truth.any():
        return None
    found = mask >= spec.mask_threshold
    return float(2 * (found & truth).sum() / (found.sum() + truth.sum()))
