"""A fitted ensemble -> a PNG of its weights and of its scores at the thresholds."""

from __future__ import annotations

import io

import numpy as np

from ichtrain.ensemble.spec import FittedEnsemble

_BLOOD, _NONE, _SCORE, _MASK = "#b23a2e", "#3b6ea5", "#c2571a", "#1f5f8b"


def png_from_fitted(fitted: FittedEnsemble) -> bytes:
    """Score and mask weights of the members, and study scores of the split with the thresholds."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    spec = fitted.spec
    figure = Figure(figsize=(10.5, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    bars, scores = figure.subplots(1, 2)
    place = np.arange(len(spec.members))
    bars.bar(place - 0.2, [m.score_weight for m in spec.members], 0.4, color=_SCORE, label="score")
    bars.bar(place + 0.2, [m.mask_weight for m in spec.members], 0.4, color=_MASK, label="mask")
    bars.set_xticks(place, spec.member_names)
    bars.set_ylabel("weight")
    bars.set_title(f"Weights (scores: {fitted.record['score_weights']['chosen']})", fontsize=11)
    bars.legend(frameon=False)
    edges = np.linspace(0, 1, 26)
    for label, colour, name in ((False, _NONE, "without blood"), (True, _BLOOD, "with blood")):
        values = fitted.score[fitted.label == label]
        scores.hist(values, edges, color=colour, alpha=0.6, label=f"{name} ({len(values)})")
    for point, style in zip(spec.operating_points, (":", "-", "--"), strict=True):
        scores.axvline(point.threshold, color="black", linewidth=1, linestyle=style,
                       label=f"{point.name} {point.threshold:g}")  # fmt: skip
    scores.set(xlim=(0, 1), xlabel=f"study score ({spec.study_rule.name})", ylabel="studies")
    scores.set_title("Scores of the split it was fitted on", fontsize=11)
    scores.legend(frameon=False, fontsize=8)
    figure.suptitle(f"{spec.name} {spec.version}: research demonstration, not a medical device",
                    fontsize=11)  # fmt: skip
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    return buffer.getvalue()
