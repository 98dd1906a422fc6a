"""Rows of the latency benchmark -> the columns of perf_analyzer's CSV, one table for each load.

Client Send and Client Recv are empty: gRPC's Python client does not tell when the last byte left
and the first came. Latencies are microseconds, as there.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

_COLUMNS = (
    "Inferences/Second", "Client Send", "Network+Server Send/Recv", "Server Queue",
    "Server Compute Input", "Server Compute Infer", "Server Compute Output", "Client Recv",
    "p50 latency", "p90 latency", "p95 latency", "p99 latency",
)  # fmt: skip
_LOADS = {"in_flight": "Concurrency", "request_rate": "Request Rate"}


def csv_from_rows(rows: Sequence[Mapping[str, Any]]) -> str:
    """A table for every way and load; inferences are slices, as a batch counts there."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for way in dict.fromkeys(row["way"] for row in rows):
        for load, title in _LOADS.items():
            chosen = [row for row in rows if row["way"] == way and load in row]
            if not chosen:
                continue
            writer.writerow(["Model", way])
            writer.writerow([title, *_COLUMNS])
            for row in chosen:
                writer.writerow([row[load], *_cells(row)])
            text.write("\n")
    return text.getvalue()


def _cells(row: Mapping[str, Any]) -> list[Any]:
    server = row.get("server_us") or {}
    stages = [server.get(name, "") for name in
              ("queue", "compute_input", "compute_infer", "compute_output")]  # fmt: skip
    around = max(0.0, round(1e3 * row["mean_ms"] - server["request"], 1)) if server else ""
    percentiles = [round(1e3 * value) for value in row["percentiles_ms"].values()]
    slices = round(row["per_second"] * row.get("slices", 8), 3)
    return [slices, "", around, *stages, "", *percentiles]
