"""The fused engine behind LitServe: bytes in, bytes out.

One worker process owns both cores. Its batching would wait for company, so it is off; the worker
is asynchronous instead, and requests share the streams.
"""

import asyncio
import sys
from typing import Annotated, Any

import fastapi
import litserve

from benchmarks.peers.engine import Engine, settings_from_json
from benchmarks.peers.wire import bytes_from_outputs, hu_from_bytes

Body = Annotated[bytes, fastapi.Body(media_type="application/octet-stream")]


class Fused(litserve.LitAPI):
    """The engine in LitServe's worker process."""

    def __init__(self, settings: str) -> None:
        super().__init__(api_path="/infer", enable_async=True)
        self._settings = settings

    def setup(self, device: str) -> None:
        """Load the engine where it will run."""
        self._engine = Engine(settings_from_json(self._settings))

    # LitServe reads the type of `request` at run time: hence no postponed annotations here.
    async def decode_request(self, request: Body) -> Any:
        """The body as HU."""
        return hu_from_bytes(request)

    async def predict(self, hu: Any) -> Any:
        """Answer without holding the loop up."""
        return await asyncio.to_thread(self._engine, hu)

    async def encode_response(self, outputs: Any) -> fastapi.Response:
        """The answer as bytes."""
        body = bytes_from_outputs(outputs)
        return fastapi.Response(body, media_type="application/octet-stream")


def main(port: str, settings: str) -> None:
    """Serve on the loopback interface until the process is ended."""
    server = litserve.LitServer(Fused(settings), accelerator="cpu", timeout=60)
    server.run(port=int(port), host="127.0.0.1", generate_client_file=False, log_level="warning")


if __name__ == "__main__":
    main(*sys.argv[1:])
