"""Record -> PNG pictures: ROC, reliability, weights, volume and groups.

The one file of this room that knows matplotlib. Colours are Okabe & Ito's, which colour-blind
readers can tell apart (M. Okabe, K. Ito, Color Universal Design, 2008); no meaning hangs on colour
alone.
"""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import TYPE_CHECKING, Any

from ichtrain.evaluate.record import BASELINE, ENSEMBLE, NOTICE, Record
from ichtrain.evaluate.tables import group_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLACK, GREY, ORANGE, BLUE, GREEN = "#000000", "#999999", "#E69F00", "#0072B2", "#009E73"
VERMILION, PURPLE, SKY = "#D55E00", "#CC79A7", "#56B4E9"
_MEMBERS = (ORANGE, BLUE, GREEN, PURPLE, VERMILION, SKY)
_DASHES = ("-", "--", "-.", ":")

_DPI = 110
_LEAST_ML = 0.1
"""Volumes below this are drawn here; a logarithmic axis has no zero."""


def pictures_from_record(record: Record) -> dict[str, bytes]:
    """Every picture of an evaluation, as file name -> PNG."""
    makers: dict[str, Callable[[Record], Figure]] = {
        "roc.png": _roc,
        "reliability.png": _reliability,
        "weights.png": _weights,
        "volume.png": _volume,
    }
    return {name: _png(make(record), record) for name, make in makers.items()}


def _figure(width_in: float, height_in: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width_in, height_in), dpi=_DPI, layout="constrained")


def _png(figure: Figure, record: Record) -> bytes:
    figure.supxlabel(f"{record['name']}. {NOTICE}", fontsize=9, color="#444444")
    buffer = BytesIO()
    # No creation time and no version in the file: the same record gives the same bytes.
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _roc(record: Record) -> Figure:
    figure = _figure(12, 6.4)
    for axes, level in zip(figure.subplots(1, 2), ("study", "slice"), strict=True):
        _roc_panel(axes, record, level)
    return figure


def _roc_panel(axes: Axes, record: Record, level: str) -> None:
    one = record[level]
    axes.set_title(f"{level.title()} level: {one['cases']} cases, {one['positives']} with blood")
    axes.set_xlabel("false alarms (1 - specificity)")
    axes.set_ylabel("bleeds found (sensitivity)")
    axes.plot([0, 1], [0, 1], color="#CCCCCC", linewidth=1)
    _share_axes(axes)
    if one["areas"] is None or one["areas"]["ensemble"] is None:
        return _say(axes, "not defined: bleeds and clean heads are both needed")
    areas = {ENSEMBLE: one["areas"]["ensemble"], **one["areas"]["others"]}
    names = [*(name for name in areas if name not in (ENSEMBLE, BASELINE)), BASELINE, ENSEMBLE]
    for index, name in enumerate(names):
        curve, area = one["curves"][name], areas[name]
        label = f"{name}: {area['area']:.3f} ({area['low']:.3f} to {area['high']:.3f})"
        axes.plot(curve["false_alarms"], curve["found"], label=label, **_line(name, index))
    if level == "study":
        _mark_points(axes, record)
    handles, labels = axes.get_legend_handles_labels()
    order = [len(names) - 1, *range(len(names) - 1), *range(len(names), len(handles))]
    axes.legend(
        [handles[each] for each in order],
        [labels[each] for each in order],
        loc="lower right",
        fontsize=8,
        title="AUC (95 % interval)",
    )
    return None


def _line(name: str, index: int) -> dict[str, Any]:
    if name == ENSEMBLE:
        return {"color": BLACK, "linewidth": 2.6}
    if name == BASELINE:
        return {"color": GREY, "linewidth": 1.6, "linestyle": (0, (1, 1))}
    return {
        "color": _MEMBERS[index % len(_MEMBERS)],
        "linewidth": 1.4,
        "linestyle": _DASHES[index % len(_DASHES)],
    }


def _mark_points(axes: Axes, record: Record) -> None:
    """Each operating point with its exact intervals; what was neither counts against both."""
    for marker, point in zip("ovs^D", record["whole"]["points"], strict=False):
        found, cleared = point["sensitivity"], point["specificity"]
        axes.errorbar(
            1 - cleared["share"],
            found["share"],
            xerr=[[cleared["high"] - cleared["share"]], [cleared["share"] - cleared["low"]]],
            yerr=[[found["share"] - found["low"]], [found["high"] - found["share"]]],
            fmt=marker,
            color=VERMILION,
            markeredgecolor=BLACK,
            markersize=7,
            linewidth=0.8,
            capsize=2,
            zorder=5,
            label=f"{point['name'].replace('_', ' ')}, 95 % exact",
        )


def _reliability(record: Record) -> Figure:
    figure = _figure(12, 6.8)
    panels = figure.subplots(2, 2, height_ratios=(4, 1), sharex=True)
    for column, level in enumerate(("study", "slice")):
        _reliability_panel(panels[0][column], panels[1][column], record[level], level)
    return figure


def _reliability_panel(axes: Axes, below: Axes, one: Record, level: str) -> None:
    axes.set_ylabel("share with blood (95 % exact)")
    below.set_xlabel(f"{level} score, in bins of 0.1")
    below.set_ylabel("cases")
    _share_axes(axes)
    axes.plot([0, 1], [0, 1], color="#BBBBBB", linewidth=1.2)
    axes.text(0.55, 0.6, "perfectly calibrated", ha="right", fontsize=8, color="#777777")
    calibration = one["calibration"]
    if calibration is None:
        axes.set_title(f"{level.title()} score")
        return _say(axes, "no case of which the truth is known")
    title = f"{level.title()} score: Brier {calibration['brier']:.3f}, "
    title += f"expected calibration error {calibration['expected_calibration_error']:.3f}"
    if calibration["slope"] is not None:
        title += f"\nintercept {calibration['intercept']:.2f}, slope {calibration['slope']:.2f}"
    axes.set_title(title, fontsize=10)
    bins = calibration["bins"]
    axes.errorbar(
        [each["mean_probability"] for each in bins],
        [each["observed_share"] for each in bins],
        yerr=_exact_reach(bins),
        fmt="o",
        color=BLUE,
        capsize=3,
        linewidth=1.2,
        clip_on=False,
    )
    bars = below.bar(
        [(each["low"] + each["high"]) / 2 for each in bins],
        [each["count"] for each in bins],
        width=0.09,
        color=SKY,
        edgecolor=BLACK,
        linewidth=0.5,
    )
    below.bar_label(bars, fontsize=8)
    # Counts span decades, and the bars carry their numbers: ticks would only repeat them.
    below.set(yscale="log", ylim=(0.7, 6 * max(each["count"] for each in bins)))
    below.tick_params(axis="y", which="both", left=False, labelleft=False)
    return None


def _exact_reach(bins: list[Record]) -> list[list[float]]:
    from ichtrain.statistics import proportion_from_counts

    below, above = [], []
    for one in bins:
        found = proportion_from_counts(round(one["observed_share"] * one["count"]), one["count"])
        assert found is not None  # empty bins are left out of the record
        below.append(found.share - found.low)
        above.append(found.high - found.share)
    return [below, above]


def _weights(record: Record) -> Figure:
    figure = _figure(9, 0.8 + 0.75 * len(record["spec"]["members"]) + 0.8)
    axes = figure.subplots()
    names = [one["name"] for one in record["spec"]["members"]][::-1]
    places = list(range(len(names)))
    for offset, (what, colour, hatch) in zip(
        (0.2, -0.2),
        (("score_weight", BLUE, ""), ("mask_weight", ORANGE, "//")),
        strict=True,
    ):
        values = [one[what] for one in record["spec"]["members"]][::-1]
        bars = axes.barh(
            [place + offset for place in places],
            values,
            height=0.36,
            color=colour,
            edgecolor=BLACK,
            linewidth=0.6,
            hatch=hatch,
            label=what.replace("_", " "),
        )
        axes.bar_label(bars, [f"{value:.3f}" for value in values], padding=3, fontsize=9)
    axes.set_yticks(places, names)
    axes.set_xlim(0, 1.08)
    axes.set_xlabel("weight (each kind sums to 1)")
    axes.set_title("What each member adds to the ensemble", loc="left")
    figure.legend(loc="outside upper right", ncols=2, fontsize=9)
    return figure


def _volume(record: Record) -> Figure:
    figure = _figure(12, 6.4)
    left, right = figure.subplots(1, 2)
    _volume_panel(left, record)
    _groups_panel(right, record)
    return figure


def _volume_panel(axes: Axes, record: Record) -> None:
    axes.set_title("Volume of blood, each bleed a dot")
    axes.set_xlabel("true volume, mL (logarithmic)")
    axes.set_ylabel(f"found volume, mL (logarithmic; {_LEAST_ML:g} and less at the edge)")
    pairs = [
        (one["lesion_ml"], one["found_ml"], one["decisions"].get(_balanced(record)))
        for one in record["series"]
        if one["truth"] and one["lesion_ml"] is not None and one["found_ml"] is not None
    ]
    if not pairs:
        return _say(axes, "no bleed with both volumes")
    most = 1.3 * max(max(true, found) for true, found, _ in pairs)
    axes.plot([_LEAST_ML, most], [_LEAST_ML, most], color="#CCCCCC", linewidth=1)
    for decision, colour, marker in (
        ("positive", BLUE, "o"),
        ("negative", VERMILION, "X"),
        ("indeterminate", BLACK, "s"),
    ):
        chosen = [(true, found) for true, found, said in pairs if said == decision]
        if chosen:
            axes.scatter(
                [max(true, _LEAST_ML) for true, _ in chosen],
                [max(found, _LEAST_ML) for _, found in chosen],
                color=colour,
                marker=marker,
                s=34,
                alpha=0.75,
                edgecolor="white",
                linewidth=0.5,
                label=f"{decision} ({len(chosen)})",
            )
    axes.axvline(5, color=GREY, linewidth=1, linestyle=":")
    axes.text(5, most, " 5 mL", fontsize=8, va="top", color="#444444")
    axes.set(xscale="log", yscale="log", xlim=(_LEAST_ML * 0.8, most), ylim=(_LEAST_ML * 0.8, most))
    axes.set_aspect("equal")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:g}")
    axes.legend(
        loc="upper left", fontsize=8, framealpha=0.6, title=f"called at {_words(_balanced(record))}"
    )
    return None


def _groups_panel(axes: Axes, record: Record) -> None:
    balanced = _balanced(record)
    axes.set_title(f"Found at {_words(balanced)} (95 % exact)")
    axes.set_xlabel("sensitivity")
    whole = {**record["whole"], "name": "any bleed"}
    groups = [one for one in (*record["subtypes"], *record["bands"]) if one["bleeds"]]
    groups = [one for one in (whole, *groups) if one["bleeds"]][::-1]
    for place, one in enumerate(groups):
        found = next(p["sensitivity"] for p in one["points"] if p["name"] == balanced)
        axes.errorbar(
            found["share"],
            place,
            xerr=[[found["share"] - found["low"]], [found["high"] - found["share"]]],
            fmt="o",
            color=BLUE,
            capsize=3,
            clip_on=False,
        )
    axes.set_yticks(
        range(len(groups)), [f"{group_words(one['name'])} (n = {one['bleeds']})" for one in groups]
    )
    axes.set_xlim(0, 1)
    axes.grid(axis="x", color="#DDDDDD")
    if not groups:
        _say(axes, "no bleed")


def _balanced(record: Record) -> str:
    """The operating point that pictures show: `balanced`, or the middle one."""
    names = [str(point["name"]) for point in record["whole"]["points"]]
    return "balanced" if "balanced" in names else names[len(names) // 2]


def _share_axes(axes: Axes) -> None:
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    axes.grid(color="#EEEEEE")


def _say(axes: Axes, sentence: str) -> None:
    axes.text(0.5, 0.5, sentence, transform=axes.transAxes, ha="center", va="center")


def _words(name: str) -> str:
    return name.replace("_", " ")
