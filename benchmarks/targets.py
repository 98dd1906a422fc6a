"""Result files -> what the bundle wants to reach, and what was measured of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.data import CHECKOUT
from benchmarks.errors import BenchmarkError

RESULTS = CHECKOUT / "benchmarks" / "results"
NAMES = ("limits", "throughput", "peers", "latency", "startup", "scale")
"""The set, in the order that it is run in."""

Documents = Mapping[str, Mapping[str, Any]]
_MB_PER_MIB = 1.048576
_TWO = "8 slices, 2 in flight"


def documents_from_folder(folder: Path = RESULTS) -> dict[str, dict[str, Any]]:
    """The results of the set that are there; raises BenchmarkError where one cannot be read."""
    found = {}
    for name in NAMES:
        path = folder / f"{name}.json"
        if path.is_file():
            try:
                found[name] = dict(json.loads(path.read_text(encoding="utf-8")))
            except (OSError, ValueError) as error:
                raise BenchmarkError(f"{path} is no result: {error}") from error
    return found


@dataclass(frozen=True)
class Target:
    """One row: `measured` is empty and `reached` None where there is no result."""

    what: str
    goal: str
    measured: str
    reached: bool | None
    source: str
    """Name of the result."""


def targets_from_documents(documents: Documents) -> list[Target]:
    """Every target in order."""
    rows: list[tuple[str, str, str, Callable[[Mapping[str, Any]], tuple[str, bool]]]] = [
        ("`ich_fused` over gRPC, 2 in flight, share of the raw engine", "0.97 within the interval",
         "throughput", _fused),
        ("peers that are ahead of `ich_fused` anywhere", "none", "peers", _ahead),
        ("`ich_ensemble` over gRPC, 2 in flight, share of the raw engine", "0.85", "throughput",
         _ensemble),
        ("`ichclient infer` on a warm server, engine's time over its own", "0.90", "throughput",
         lambda one: _study(one, "uncompressed", "infer of the engine's time", 0.90)),
        ("the same of JPEG 2000, decode and engine seconds / cores over its time", "0.85",
         "throughput",
         lambda one: _study(one, "jpeg_2000", "infer of decode and engine seconds / cores", 0.85)),
        ("p99 over p50 of `ich_fused`, 2 in flight", "at most 1.3", "latency", _spread),
        ("cold `ichclient infer` over Python's start, imports and engine load", "at most 1.2",
         "startup", _cold),
        ("memory of client and embedded server together (PSS)", "at most 700 MB", "scale",
         _memory),
    ]  # fmt: skip
    found = []
    for what, goal, source, told in rows:
        measured, reached = told(documents[source]) if source in documents else ("", None)
        found.append(Target(what, goal, measured, reached, source))
    return found


def with_interval(ratio: Mapping[str, Any]) -> str:
    """A ratio as text, its 95 % interval behind it."""
    return f"{ratio['median']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f})"


def _fused(document: Mapping[str, Any]) -> tuple[str, bool]:
    share = document["ways"]["ich_fused, gRPC"][_TWO]["share"]
    return with_interval(share), share["high"] >= 0.97


def _ensemble(document: Mapping[str, Any]) -> tuple[str, bool]:
    share = document["ways"]["ich_ensemble, gRPC"][_TWO]["share"]
    return with_interval(share), share["median"] >= 0.85


def _ahead(document: Mapping[str, Any]) -> tuple[str, bool]:
    ahead = [
        peer
        for peer, cells in document["our_time_over_peers"].items()
        if any(ratio["low"] > 1 for ratio in cells.values())
    ]
    compared = len(document["our_time_over_peers"])
    return f"{', '.join(ahead) or 'none'} (of {compared})", not ahead and compared > 0


def _study(document: Mapping[str, Any], syntax: str, which: str, goal: float) -> tuple[str, bool]:
    share = document["studies"][syntax]["shares"][which]
    return with_interval(share), share["median"] >= goal


def _spread(document: Mapping[str, Any]) -> tuple[str, bool]:
    (row,) = (
        row for row in document["rows"] if row["way"] == "ich_fused" and row.get("in_flight") == 2
    )
    spread = row["percentiles_ms"]["p99"] / row["percentiles_ms"]["p50"]
    unstable = "" if row["stable"] else ", not stable"
    return f"{spread:.2f}{unstable}", spread <= 1.3 and row["stable"]


def _cold(document: Mapping[str, Any]) -> tuple[str, bool]:
    ratio = document["over_parts"]
    return with_interval(ratio), ratio["median"] <= 1.2


def _memory(document: Mapping[str, Any]) -> tuple[str, bool]:
    together_mb = document["infer_memory"]["together_mib"] * _MB_PER_MIB
    return f"{together_mb:.0f} MB", together_mb <= 700
