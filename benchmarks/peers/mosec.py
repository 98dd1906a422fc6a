"""The fused engine behind mosec: its Rust front hands bytes to one worker process.

One worker owns both cores. Up to four requests reach it together where they wait anyway, and no
time is spent on waiting for more.
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor

import mosec

from benchmarks.peers.engine import Engine, settings_from_json
from benchmarks.peers.wire import bytes_from_outputs, hu_from_bytes

_TOGETHER = 4


class Fused(mosec.Worker):
    """The engine in mosec's worker process."""

    def __init__(self) -> None:
        self._engine = Engine(settings_from_json(os.environ["ICH_PEER_ENGINE"]))
        self._threads = ThreadPoolExecutor(_TOGETHER)

    def deserialize(self, data: bytes) -> bytes:
        """Leave the body as it is."""
        return data

    def serialize(self, data: bytes) -> bytes:
        """Leave the answer as it is."""
        return data

    def forward(self, data: list[bytes]) -> list[bytes]:
        """Answer the requests that came together, side by side on the streams."""
        return list(self._threads.map(self._answer, data))

    def _answer(self, body: bytes) -> bytes:
        return bytes_from_outputs(self._engine(hu_from_bytes(body)))


def main(port: str, settings: str) -> None:
    """Serve on the loopback interface until the process is ended."""
    os.environ["ICH_PEER_ENGINE"] = settings
    # mosec reads its own options from the command line.
    sys.argv = [sys.argv[0], "--address", "127.0.0.1", "--port", port, "--timeout", "60000"]
    sys.argv += ["--max-request-size", str(64 * 2**20), "--log-level", "warning"]
    server = mosec.Server()
    server.append_worker(Fused, num=1, max_batch_size=_TOGETHER, max_wait_time=1)
    server.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
