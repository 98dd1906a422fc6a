"""Result files -> figures as SVG, each of one question."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

Document = Mapping[str, Any]
OURS, ENSEMBLE, PEER, RAW = "#0072B2", "#D55E00", "#7A7A7A", "#222222"
_GRID = "#DDDDDD"
_CLIENT, _ENGINE, _GOLDEN, _SLICES, _STUDY = "#56B4E9", "#0072B2", "#009E73", "#C77F00", "#CC79A7"
_PART_COLOURS = {
    "client's start and end": _CLIENT, "python_start_s": _CLIENT, "client_import_s": _CLIENT,
    "server_ready_s": _ENGINE, "openvino_import_s": _ENGINE, "engine_load_s": _ENGINE,
    "golden_proof_s": _GOLDEN, "slices_s": _SLICES, "engine_study_s": _SLICES, "study_s": _STUDY,
}  # fmt: skip
"""In the order in which they follow on each other."""


def svg_of_shares(document: Document) -> str:
    """Each server's share of the raw engine with its interval, one panel a cell."""
    ways = {name: one for name, one in document["ways"].items() if name != "raw engine"}
    cells = list(next(iter(ways.values())))
    by = cells[min(1, len(cells) - 1)]
    names = sorted(ways, key=lambda name: ways[name][by]["share"]["median"])
    highest = max(ways[name][cell]["share"]["high"] for name in names for cell in cells)
    farthest = max(1.1, 1.05 * highest)
    figure, panels = _figure(10.5, 1.3 + 0.33 * len(names), 1, len(cells), sharey=True)
    for panel, cell in zip(panels, cells, strict=True):
        panel.axvline(1, color=RAW, linewidth=1)
        for place, name in enumerate(names):
            share = ways[name][cell]["share"]
            panel.plot([share["low"], share["high"]], [place, place], color=_colour(name), lw=2)
            panel.plot(share["median"], place, "o", color=_colour(name), markersize=6)
            panel.annotate(
                f"{share['median']:.2f}", (share["median"], place), xytext=(0, 6),
                textcoords="offset points", ha="center", fontsize=7.5, color=_colour(name),
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6},
            )  # fmt: skip
        _title(panel, cell)
        panel.set_xlim(0, farthest)
        panel.set_ylim(-0.6, len(names) - 0.2)
        panel.grid(axis="x", color=_GRID)
    panels[0].set_yticks(range(len(names)), names)
    panels[0].set_xlabel("share of the raw engine (1 is all of it), 95 % interval", loc="left")
    for label, name in zip(panels[0].get_yticklabels(), names, strict=True):
        label.set_color(_colour(name))
        label.set_fontweight("bold" if _colour(name) != PEER else "normal")
    return _svg(figure)


def svg_of_latency(document: Document) -> str:
    """p50 to p99 by requests in flight, and by request rate."""
    figure, (closed, opened) = _figure(10.5, 3.4, 1, 2)
    rows = document["rows"]
    flights = sorted({row["in_flight"] for row in rows if "in_flight" in row})
    ways = list(dict.fromkeys(row["way"] for row in rows))
    for number, way in enumerate(ways):
        for row in (row for row in rows if row["way"] == way and "in_flight" in row):
            place = flights.index(row["in_flight"]) + 0.22 * (number - 1)
            _percentiles(closed, row, place, _colour(way), way)
    closed.set_xticks(range(len(flights)), [str(flight) for flight in flights])
    closed.set_xlabel("requests in flight")
    closed.set_ylabel("milliseconds for 8 slices")
    _title(closed, "closed loop: p50, p90, p95, p99")
    _legend(closed)
    rates = [row for row in rows if "request_rate" in row]
    for place, row in enumerate(rates):
        _percentiles(opened, row, place, _colour(row["way"]), row["way"])
    labels = [f"{row['request_rate']:.1f}/s\n{row['share_of_fastest']:.0%}" for row in rates]
    opened.set_xticks(range(len(rates)), labels)
    opened.set_xlim(-0.7, max(1, len(rates)) - 0.3)
    opened.set_xlabel("request rate, and its share of the fastest")
    _title(opened, "open loop, Poisson arrivals")
    for panel in (closed, opened):
        panel.set_ylim(bottom=0)
        panel.grid(axis="y", color=_GRID)
    return _svg(figure)


def svg_of_limits(document: Document) -> str:
    """The raw engine by its settings."""
    cells = list(next(iter(document["engines"].values()))["cells"])
    names = list(document["engines"])[::-1]
    figure, panels = _figure(10.5, 1.3 + 0.32 * len(names), 1, len(cells), sharey=True)
    most = max(
        one["cells"][cell]["slices_per_second"]
        for one in document["engines"].values()
        for cell in cells
    )
    for panel, cell in zip(panels, cells, strict=True):
        rates = [document["engines"][n]["cells"][cell]["slices_per_second"] for n in names]
        colours = [OURS if name == next(iter(document["engines"])) else PEER for name in names]
        panel.barh(names, rates, color=colours, height=0.6)
        for place, rate in enumerate(rates):
            panel.annotate(f" {rate:.0f}", (rate, place), va="center", fontsize=8)
        panel.set_xlim(0, 1.18 * most)
        _title(panel, cell)
        panel.grid(axis="x", color=_GRID)
    panels[0].set_xlabel("slices a second", loc="left")
    return _svg(figure)


def svg_of_startup(document: Document) -> str:
    """The stages of a cold run, with and without a kept engine, above the unavoidable parts."""
    parts = {name: one["median_s"] for name, one in document["parts"].items()}
    lines = {
        "cold ichclient infer": _stages(document["cold_infer"]),
        "the same, engine kept": _stages(document["kept_engine_infer"]),
        "parts": {name: parts[name] for name in _PART_COLOURS if name in parts},
    }
    figure, (panel,) = _figure(10.5, 3.0, 1, 1)
    ends = [sum(pieces.values()) for pieces in lines.values()]
    for place, (pieces, end) in enumerate(zip(lines.values(), ends, strict=True)):
        left = 0.0
        for piece, seconds in pieces.items():
            colour = _PART_COLOURS[piece]
            panel.barh(place, seconds, left=left, color=colour, edgecolor="white", height=0.5)
            words = piece.removesuffix("_s").replace("_", " ")
            if seconds < 0.1 * max(ends):
                words = words.replace(" ", "\n")
            text = f"{words}\n{seconds:.2f} s"
            if seconds > 0.05 * max(ends):
                panel.annotate(
                    text, (left + seconds / 2, place), ha="center", va="center", fontsize=7.5,
                    color="white",
                )  # fmt: skip
            left += seconds
        panel.annotate(f"  {end:.2f} s", (end, place), va="center", fontsize=9)
    panel.set_yticks(range(len(lines)), list(lines))
    panel.invert_yaxis()
    panel.set_xlim(0, 1.12 * max(ends))
    panel.set_xlabel("seconds")
    return _svg(figure)


def _stages(infer: Document) -> dict[str, float]:
    """What follows on each other until the first result."""
    # Headers are read while the server starts; what no stage names is Python, imports, output.
    alone = ("server_ready_s", "golden_proof_s", "slices_s", "study_s")
    shown = {name: infer["stages_s"][name] for name in alone}
    rest = infer["first_result_s"]["median_s"] - sum(shown.values())
    return {"client's start and end": max(0.0, rest), **shown}


def svg_of_scale(document: Document) -> str:
    """Cost by length, throughput by studies at once, memory by length and over studies."""
    figure, panels = _figure(10.5, 6.6, 2, 2)
    figure.get_layout_engine().set(hspace=0.06)
    cost, at_once, memory, after = panels
    lengths = document["lengths"]
    slices = [row["slices"] for row in lengths]
    _line(cost, slices, [row["ms_per_slice"] for row in lengths], OURS)
    cost.set(xscale="log", xlabel="slices of a study")
    _title(cost, "milliseconds a slice")
    many = document["at_once"]
    studies = [row["studies"] for row in many]
    _line(at_once, studies, [row["studies_per_hour"] for row in many], OURS)
    limit = document["engine_slices_per_second"]
    cost.axhline(1e3 / limit, color=RAW, lw=1, ls=":", label="raw engine alone")
    most = 3600 * limit / many[0]["slices"]
    at_once.axhline(most, color=RAW, lw=1, ls=":", label="raw engine alone")
    at_once.set(xscale="log", xlabel="studies at once")
    _title(at_once, "studies of 32 slices an hour")
    for key, colour, name in (
        ("server_mib", OURS, "server"), ("benchmark_mib", ENSEMBLE, "client")
    ):  # fmt: skip
        _line(memory, slices, [row[key] for row in lengths], colour, name)
        samples = document["one_after_the_other"]["samples"]
        numbers = [row["study"] for row in samples]
        _line(after, numbers, [row[key] for row in samples], colour, name, marker=".")
    memory.set(xscale="log", xlabel="slices of a study")
    _title(memory, "highest memory of one study, MiB (PSS)")
    after.set(xlabel="short studies judged so far")
    _title(after, "memory, MiB (PSS)")
    for panel, ticks in ((cost, slices), (at_once, studies), (memory, slices)):
        panel.set_xticks(ticks, [str(tick) for tick in ticks])
        panel.minorticks_off()
    for panel in panels:
        panel.set_ylim(0, 1.2 * panel.get_ylim()[1])  # room for the legend above the lines
        panel.grid(color=_GRID)
        _legend(panel)
    return _svg(figure)


def _colour(way: str) -> str:
    if way.startswith("raw"):
        return RAW
    return OURS if way.startswith("ich_fused") else ENSEMBLE if way.startswith("ich") else PEER


def _line(
    panel: Any, x: Sequence[float], y: Sequence[float], colour: str, name: str = "",
    marker: str = "o",
) -> None:  # fmt: skip
    panel.plot(x, y, marker=marker, color=colour, label=name or None, lw=1.6, markersize=5)


def _percentiles(panel: Any, row: Document, place: float, colour: str, name: str) -> None:
    values = list(row["percentiles_ms"].values())
    panel.plot([place, place], [values[0], values[-1]], color=colour, lw=1.5)
    panel.plot([place] * len(values), values, "_", color=colour, markersize=9)
    face = colour if row["stable"] else "white"
    panel.plot(place, values[0], "o", color=colour, markerfacecolor=face, label=name)


def _title(panel: Any, text: str) -> None:
    panel.set_title(text, fontsize=9.5, loc="left")


def _legend(panel: Any) -> None:
    handles, names = panel.get_legend_handles_labels()
    unique = dict(zip(names, handles, strict=True))
    panel.legend(unique.values(), unique.keys(), frameon=False, fontsize=8.5)


def _figure(width: float, height: float, rows: int, columns: int, **options: Any) -> Any:
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    style: dict[Any, Any] = {"svg.fonttype": "none", "font.size": 9, "font.family": "sans-serif",
             "svg.hashsalt": "ich"}  # fmt: skip
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(figure)
        panels = figure.subplots(rows, columns, squeeze=False, **options).ravel()
    for panel in panels:
        panel.spines[["top", "right"]].set_visible(False)
        panel.tick_params(length=0)
        panel.set_axisbelow(True)
    return figure, panels


def _svg(figure: Any) -> str:
    import matplotlib

    text = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "ich"}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    body = text.getvalue()
    body = body[body.index("<svg") :]
    return re.sub(r' width="[\d.]+pt" height="[\d.]+pt"| height="[\d.]+pt"', "", body, count=1)
