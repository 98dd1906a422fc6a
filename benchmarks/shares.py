"""The ways to our own server, by the name that results give them, and their table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.bench import lines_from_rows
from benchmarks.clients import Client
from benchmarks.errors import BenchmarkError
from benchmarks.served import Served
from ichcore.wire import ENSEMBLE_MODEL, FUSED_MODEL

OURS = {
    "ich_fused, gRPC": (FUSED_MODEL, "grpc"),
    "ich_fused, HTTP": (FUSED_MODEL, "http"),
    "ich_fused, shared memory": (FUSED_MODEL, "shared memory"),
    "ich_ensemble, gRPC": (ENSEMBLE_MODEL, "grpc"),
}
"""Model and protocol by name; the first is the one that peers are held against."""


def our_clients(server: Served, skipped: dict[str, str]) -> dict[str, Client]:
    """A client for each way that the server is open to; `skipped` is told of the others."""
    clients = {}
    for name, (model, way) in OURS.items():
        try:
            clients[name] = server.client(model, way)
        except BenchmarkError as error:
            if way == "grpc":
                raise
            skipped[name] = str(error)
    return clients


def table_of_shares(ways: Mapping[str, Any]) -> str:
    """One line a way, its share of the raw engine in each cell with the interval."""
    cells = list(next(iter(ways.values())))
    rows = []
    for name, found in ways.items():
        shares = (found[cell]["share"] for cell in cells)
        texts = (f"{s['median']:.2f} ({s['low']:.2f} to {s['high']:.2f})" for s in shares)
        rows.append((name, *texts))
    return lines_from_rows(("share of the raw engine", *cells), rows)
