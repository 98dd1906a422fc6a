"""Traces of a real server: of requests that carry a W3C context, and of no others."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient, InferInput

from ichclient.connect import ServerOptions
from ichclient.flags import ServerSettings
from ichclient.infer import result_from_path
from ichclient.tracing import trace_headers, traced_study
from ichcore.flight import answers_in_order

pytestmark = pytest.mark.triton

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture
def collector() -> Iterator[tuple[str, list[bytes], threading.Event]]:
    """Address for OTLP over HTTP, the bodies that came, and a flag that is set when one did."""
    bodies: list[bytes] = []
    came = threading.Event()

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()
            came.set()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1/traces", bodies, came
    server.shutdown()
    server.server_close()


def test_a_request_with_a_context_is_traced_and_one_without_is_not(
    collector: tuple[str, list[bytes], threading.Event],
    tiny_repository: Path,
    tmp_path: Path,
    start_server: Callable[..., Any],
    client_of: Callable[..., InferenceServerClient],
) -> None:
    otlp_url, bodies, came = collector
    settings = ServerSettings(str(tiny_repository), otlp_url=otlp_url)
    with (
        start_server(settings, tmp_path) as server,
        client_of(server.url, None) as client,
    ):
        tensor = InferInput("X", [1], "FP32")
        tensor.set_data_from_numpy(np.ones(1, np.float32))
        client.infer("same", [tensor], request_id="without-a-context")
        context = f"00-{TRACE_ID}-00f067aa0ba902b7-01"
        client.infer("same", [tensor], headers={"traceparent": context}, request_id="with-one")
        assert came.wait(timeout=30)
    told = b"".join(bodies)
    assert TRACE_ID.encode() in told or bytes.fromhex(TRACE_ID) in told
    assert b"ich-triton" in told
    assert b"with-one" in told
    assert b"without-a-context" not in told


def test_the_calls_of_a_study_are_one_trace_on_the_server(
    collector: tuple[str, list[bytes], threading.Event],
    bundle: Path,
    checkout: Path,
    tmp_path: Path,
    start_server: Callable[..., Any],
) -> None:
    otlp_url, bodies, _ = collector
    models = ("ich_ensemble", "ich_study")
    settings = ServerSettings(str(bundle), "cpu", models=models, otlp_url=otlp_url)
    wanted = (b"ich_ensemble", b"ich_combine", b"ich_study")
    judged: list[str | None] = []
    with start_server(settings, tmp_path) as server:
        # Triton exports each span once, and one that is lost on its way never comes.
        while not all(name in b"".join(bodies) for name in wanted):
            assert len(judged) < 4, "the spans of no study came"
            study = checkout / "examples" / "phantom-sdh"
            result = result_from_path(study, ServerOptions(url=server.url))
            judged.append(result.trace_id)
            deadline = time.monotonic() + 15
            while time.monotonic() < deadline:
                if all(name in b"".join(bodies) for name in wanted):
                    break
                time.sleep(0.1)
    told = b"".join(bodies)
    # Golden slices prove the server before a study, and belong to no trace.
    assert traces_in(told) <= set(judged)
    assert traces_in(told)
    assert result.study.StudyInstanceUID.encode() not in told
    assert b"PHANTOM" not in told


def traces_in(told: bytes) -> set[str]:
    """Every trace number in spans of OTLP, which the server sends as JSON."""
    return set(re.findall(r'"traceId":\s*"([0-9a-f]{32})"', told.decode()))


def test_each_call_is_a_span_of_its_own_and_each_study_a_trace() -> None:
    assert trace_headers() == {}
    with traced_study() as first:
        one, two = (trace_headers()["traceparent"] for _ in range(2))
        assert one != two
        assert all(re.fullmatch(rf"00-{first}-[0-9a-f]{{16}}-01", text) for text in (one, two))
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(trace_headers).result() == {}
        asked = answers_in_order([1, 2, 3], lambda _: trace_headers()["traceparent"], wait=True)
        assert all(first in header for _, header in asked)
    with traced_study() as second:
        assert second != first
    assert trace_headers() == {}
