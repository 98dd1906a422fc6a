"""The fused engine behind BentoML: bytes in, bytes out.

One worker process owns both cores; a synchronous method runs on threads of it.
"""

import ctypes
import os
import signal
import subprocess
import sys

import bentoml
import starlette.requests
import starlette.responses
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.routing import Route

from benchmarks.peers.engine import Engine, settings_from_json
from benchmarks.peers.wire import bytes_from_outputs, hu_from_bytes

_SETTINGS = "ICH_PEER_ENGINE"
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


async def _infer(request: starlette.requests.Request) -> starlette.responses.Response:
    hu = hu_from_bytes(await request.body())
    outputs = await run_in_threadpool(request.app.state.engine, hu)
    return starlette.responses.Response(bytes_from_outputs(outputs))


# Its own methods take bodies as files on disk or as JSON; an application of bytes is its way
# around both.
_bytes = Starlette(routes=[Route("/infer", _infer, methods=["POST"])])


@bentoml.asgi_app(_bytes, path="/raw")
@bentoml.service(workers=1, traffic={"timeout": 60}, metrics={"enabled": False})
class Fused:
    """The engine in BentoML's worker process."""

    def __init__(self) -> None:
        # BentoML gives its workers sessions of their own, and one that was orphaned goes on.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        _bytes.state.engine = Engine(settings_from_json(os.environ[_SETTINGS]))


def main(port: str, settings: str) -> None:
    """Serve on the loopback interface until the process is ended."""
    command = [sys.executable, "-m", "bentoml", "serve", "benchmarks.peers.bentoml:Fused"]
    environment = {**os.environ, _SETTINGS: settings, "BENTOML_DO_NOT_TRACK": "True"}
    subprocess.run([*command, "--host", "127.0.0.1", "--port", port], env=environment, check=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
