"""The fused engine behind Ray Serve: bytes in, bytes out.

One replica owns both cores; the engine works in threads of it, so that two requests are under way.
"""

import asyncio
import os
import sys
import time

import ray
import starlette.requests
import starlette.responses
from ray import serve

from benchmarks.peers.engine import Engine, settings_from_json
from benchmarks.peers.wire import bytes_from_outputs, hu_from_bytes


@serve.deployment(num_replicas=1, max_ongoing_requests=64, ray_actor_options={"num_cpus": 0})
class Fused:
    """The engine in a replica's process."""

    def __init__(self, settings: str) -> None:
        self._engine = Engine(settings_from_json(settings))

    async def __call__(self, request: starlette.requests.Request) -> starlette.responses.Response:
        """Answer without holding the loop up."""
        hu = hu_from_bytes(await request.body())
        outputs = await asyncio.to_thread(self._engine, hu)
        return starlette.responses.Response(bytes_from_outputs(outputs))


def main(port: str, settings: str) -> None:
    """Serve on the loopback interface until the process is ended."""
    # Ray starts its workers at niceness 15, which costs it half where others work too.
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 (its own spelling)
    ray.init(include_dashboard=False, configure_logging=False, _system_config=None)
    serve.start(http_options={"host": "127.0.0.1", "port": int(port)})
    serve.run(Fused.bind(settings), route_prefix="/infer")  # type: ignore[attr-defined]
    while True:
        time.sleep(60)


if __name__ == "__main__":
    main(*sys.argv[1:])
