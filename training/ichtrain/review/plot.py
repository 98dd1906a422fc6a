"""The figures of a reading study -> a PNG of its readers in ROC space, with and without AI."""

from __future__ import annotations

import io

from ichtrain.review.key import WITH_AI, WITHOUT_AI
from ichtrain.review.score import Reading, Score

_STYLES = {WITHOUT_AI: ("#1f5f8b", "o", "without AI"), WITH_AI: ("#c2571a", "s", "with AI")}


def png_from_score(score: Score) -> bytes:
    """Each reader's step from without to with AI as an arrow, the pooled ones large, and the AI."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 6.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    points = {(one.who, one.round): _point(one) for one in score.readings}
    axes.plot((0, 1), (0, 1), color="#bbbbbb", linewidth=1, linestyle=":")
    for who in {who: None for who, _ in points}:
        start, end = points[who, WITHOUT_AI], points[who, WITH_AI]
        if start and end and start != end:
            axes.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": "#999999"})
    for (who, name), point in points.items():
        if point is None:
            continue
        colour, marker, label = _STYLES[name]
        pooled = who == "pooled"
        axes.scatter(
            *point,
            s=150 if pooled else 45,
            color=colour,
            marker=marker,
            label=f"pooled, {label}" if pooled else None,
            edgecolor="black" if pooled else colour,
            zorder=4 if pooled else 3,
        )
        if not pooled:
            axes.annotate(who.removeprefix("reader "), point, (5, 5), textcoords="offset points",
                          fontsize=9, color=colour)  # fmt: skip
    for model, name in zip(score.models[:1], ("AI that readers saw",), strict=False):
        if point := _point(model):
            axes.scatter(*point, s=150, color="#2a2a2a", marker="*", label=name, zorder=5)
    axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="equal")
    axes.set_xlabel("1 - specificity")
    axes.set_ylabel("sensitivity")
    axes.set_title("Readers on cases picked as difficult\nresearch demonstration, not a medical "
                   "device", fontsize=11)  # fmt: skip
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="lower right", frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    return buffer.getvalue()


def _point(reading: Reading) -> tuple[float, float] | None:
    """False and true positive share; None where nothing was answered."""
    if reading.sensitivity is None or reading.specificity is None:
        return None
    return 1 - reading.specificity.share, reading.sensitivity.share
