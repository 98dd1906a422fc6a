"""Traces of a real server: of requests that carry a W3C context, and of no others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient, InferInput

from ichclient.flags import ServerSettings

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
