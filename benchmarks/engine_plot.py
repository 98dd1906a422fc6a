"""Measured engines -> a PNG: how fast each way is, and how far its scores are from torch."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

_SPEED, _SCORE = "#0072B2", "#D55E00"


def png_from_document(document: Mapping[str, Any]) -> bytes:
    """Bars of the speed as a multiple of the base with intervals, and of score differences."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = list(document["speeds"])
    ratios = [document["speeds"][name]["times_base"] for name in names]
    differences = [document["differences"][name]["largest_score_difference"] for name in names]
    medians = [ratio["median"] for ratio in ratios]
    spread = [
        [median - ratio["low"] for median, ratio in zip(medians, ratios, strict=True)],
        [ratio["high"] - median for median, ratio in zip(medians, ratios, strict=True)],
    ]
    figure = Figure(figsize=(9.5, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    speed, score = figure.subplots(1, 2, sharey=True)
    speed.barh(names, medians, xerr=spread, color=_SPEED, ecolor="black", capsize=3)
    speed.axvline(1, color="black", linewidth=1, linestyle=":")
    speed.set_xlabel(f"speed, times {document['base']} (95 %)")
    speed.invert_yaxis()
    score.barh(names, [max(value, 1e-7) for value in differences], color=_SCORE)
    score.set_xscale("log")
    score.set_xlabel("largest difference of a score from torch f32")
    machine = document["conditions"]["machine"]
    figure.suptitle(
        f"{machine['cpu_model']}, {machine['cores']} cores, batches of "
        f"{document['conditions']['slices_a_batch']}: research demonstration, not a medical device",
        fontsize=10,
    )
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    return buffer.getvalue()
