"""The fused engine behind FastAPI and uvicorn: bytes in, bytes out.

One process, since two would share the cores worse; the engine works in a thread beside the event
loop, which reads the next request meanwhile.
"""

from __future__ import annotations

import asyncio
import sys

import fastapi
import uvicorn

from benchmarks.peers.engine import Engine, settings_from_json
from benchmarks.peers.wire import bytes_from_outputs, hu_from_bytes


def main(port: str, settings: str) -> None:
    """Serve on the loopback interface until the process is ended."""
    engine = Engine(settings_from_json(settings))
    app = fastapi.FastAPI()

    @app.post("/infer")
    async def infer(request: fastapi.Request) -> fastapi.Response:
        hu = hu_from_bytes(await request.body())
        outputs = await asyncio.to_thread(engine, hu)
        return fastapi.Response(bytes_from_outputs(outputs), media_type="application/octet-stream")

    uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="warning", access_log=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
