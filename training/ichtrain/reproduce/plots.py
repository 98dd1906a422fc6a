"""Record -> PNG pictures: the ROC curves, and every area beside the paper's.

The one file of this room that knows matplotlib. Colours are Okabe & Ito's; a kind of model has its
dashes and its marker too, so that nothing hangs on colour alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from typing import TYPE_CHECKING, Any

from ichtrain.reproduce.page import title_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Record = Mapping[str, Any]

_COLOURS = ("#E69F00", "#0072B2", "#009E73", "#CC79A7", "#D55E00", "#56B4E9")
_BLACK, _GREY = "#000000", "#777777"
_DPI = 110


def pictures_from_record(record: Record) -> dict[str, bytes]:
    """Both pictures, as file name -> PNG; the same record gives the same bytes."""
    return {
        "roc.png": _png(_roc(record), record),
        "forest.png": _png(_forest(record), record),
    }


def _figure(width_in: float, height_in: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width_in, height_in), dpi=_DPI, layout="constrained")


def _png(figure: Figure, record: Record) -> bytes:
    figure.supxlabel(f"Synthetic phantoms. {record['notice']}", fontsize=9, color="#444444")
    buffer = BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _roc(record: Record) -> Figure:
    figure = _figure(12, 6.4)
    comparators = [one for one in record["networks"] if not one["name"].startswith("ich_")]
    members = [one for one in record["networks"] if one["name"].startswith("ich_")]
    encoders = list(dict.fromkeys(one["encoder"] for one in comparators))
    left, right = figure.subplots(1, 2)
    left.set_title("Ensemble and architectures")
    for one in comparators:
        dashes = "-" if one["annotation"] == "strong" else "--"
        _curve(left, one["name"], one, _COLOURS[encoders.index(one["encoder"])], dashes)
    right.set_title("Ensemble and its members")
    for colour, dashes, one in zip(_COLOURS, ("-", "--", "-.", ":"), members, strict=False):
        _curve(right, one["name"], one, colour, dashes)
    for axes in (left, right):
        _curve(axes, "ensemble", record["ensemble"], _BLACK, "-", width=2.6)
        axes.plot([0, 1], [0, 1], color="#CCCCCC", linewidth=1)
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
        axes.set_xlabel("false alarms (1 - specificity)")
        axes.set_ylabel("bleeds found (sensitivity)")
        axes.grid(color="#EEEEEE")
        axes.legend(loc="lower right", fontsize=8, title="AUC")
    return figure


def _curve(
    axes: Axes, name: str, one: Record, colour: str, dashes: str, width: float = 1.5
) -> None:
    title = title_of(name).replace("`", "")
    if one["curve"] is None:
        # In the legend all the same, so that nobody looks for a curve that is not there.
        axes.plot([], [], color=_GREY, linestyle=":", label=f"{title}: not trained")
        return
    axes.plot(
        one["curve"]["false_alarms"], one["curve"]["found"], color=colour, linestyle=dashes,
        linewidth=width, label=f"{title}: {one['test']['area']:.3f}",
    )  # fmt: skip


def _forest(record: Record) -> Figure:
    """Areas with intervals: circles here, squares in the paper."""
    rows = [("ensemble", record["ensemble"]), *((one["name"], one) for one in record["networks"])]
    figure = _figure(9, 1.6 + 0.42 * len(rows))
    axes = figure.subplots()
    theirs = record["paper"]["areas"]
    for place, (name, one) in enumerate(rows):
        if one["test"] is None:
            axes.text(0.5, place, "not trained", va="center", ha="left", fontsize=9, color=_GREY)
        else:
            _bar(axes, place - 0.13, one["test"], _COLOURS[1], "o")
        paper = theirs.get("ensemble" if name == "ensemble" else one["encoder"])
        if paper is not None and not name.startswith("ich_"):
            _bar(axes, place + 0.13, paper, _COLOURS[4], "s")
    axes.plot([], [], "o", color=_COLOURS[1], label="here, on phantoms")
    axes.plot([], [], "s", color=_COLOURS[4], label="paper, on patients (one an architecture)")
    axes.axvline(0.5, color="#CCCCCC", linewidth=1)
    axes.set_yticks(range(len(rows)), [title_of(name).replace("`", "") for name, _ in rows])
    axes.invert_yaxis()
    axes.grid(axis="x", color="#EEEEEE")
    confidence = record["rule"]["confidence_percent"]
    axes.set_xlabel(f"area under the ROC curve over studies, {confidence:g} % interval")
    figure.legend(loc="outside upper center", ncols=2, fontsize=9)
    return figure


def _bar(axes: Axes, place: float, area: Record, colour: str, marker: str) -> None:
    axes.errorbar(
        area["area"], place, fmt=marker, color=colour, markersize=6, capsize=3,
        xerr=[[area["area"] - area["low"]], [area["high"] - area["area"]]],
    )  # fmt: skip
