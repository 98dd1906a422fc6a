"""A repository -> the embedded Triton with the ways to speak to it, each proven.

with served(repository) as server:
    server.client("ich_fused", "grpc")
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.clients import Client, V2Grpc, V2Http, V2SharedMemory
from benchmarks.errors import BenchmarkError
from ichclient.answers import ServerFacts
from ichclient.process import RunningServer, running_server
from ichclient.repository import verified_by_manifest
from ichclient.transport import TritonTransport
from ichcore.wire import ENSEMBLE_MODEL, FUSED_MODEL, STUDY_MODEL

MODELS = (ENSEMBLE_MODEL, FUSED_MODEL, STUDY_MODEL)
_WAYS = ("grpc", "http", "shared memory")


@dataclass
class Served:
    """A running server; its clients are closed with it."""

    server: RunningServer
    facts: ServerFacts
    _closing: ExitStack
    _clients: dict[tuple[str, str], Client] = field(default_factory=dict)

    def client(self, model: str, way: str = "grpc") -> Client:
        """A client of a model over `grpc`, `http` or `shared memory`, made once.

        Raises BenchmarkError where the server is closed to it.
        """
        if (model, way) not in self._clients:
            made = self._made(model, way)
            self._closing.callback(made.close)
            self._clients[model, way] = made
        return self._clients[model, way]

    def statistics(self, model: str) -> dict[str, dict[str, int]]:
        """Nanoseconds and counts of every model that a request to `model` passes, so far.

        Empty where the server does not tell.
        """
        from tritonclient.grpc import InferenceServerClient
        from tritonclient.utils import InferenceServerException

        with InferenceServerClient(self.server.url) as client:
            try:
                told = client.get_inference_statistics(as_json=True)
            except InferenceServerException:
                return {}
        return {one["name"]: _counted(one) for one in told.get("model_stats", [])}

    def _made(self, model: str, way: str) -> Client:
        if way not in _WAYS:
            raise ValueError(f"{way} is none of {_WAYS}")
        if way == "http":
            if self.server.http_url is None:
                raise BenchmarkError("the server has no HTTP")
            return V2Http(self.server.http_url, model)
        kind: Callable[[str, str], Client] = V2Grpc if way == "grpc" else V2SharedMemory
        return kind(self.server.url, model)


@contextmanager
def served(repository: Path, models: tuple[str, ...] = MODELS) -> Iterator[Served]:
    """Start the embedded Triton on a verified repository, and end it with all clients."""
    verified_by_manifest(repository)
    with tempfile.TemporaryDirectory(prefix="ich-benchmark-") as folder:
        log = Path(folder) / "triton.log"
        with (
            running_server(
                repository, log_path=log, http=True, models=models, stop_deadline_s=0
            ) as server,
            ExitStack() as closing,
        ):
            with TritonTransport(server.url) as transport:
                facts = transport.metadata()
            yield Served(server, facts, closing)


def _counted(one: dict[str, Any]) -> dict[str, int]:
    """Counts and nanoseconds of one model; JSON has them as text, and leaves zeros out."""
    stats = one.get("inference_stats", {})
    success = stats.get("success", {})
    found = {"requests": int(success.get("count", 0)), "request": int(success.get("ns", 0))}
    for stage in ("queue", "compute_input", "compute_infer", "compute_output"):
        found[stage] = int(stats.get(stage, {}).get("ns", 0))
    return found
