"""Options -> the embedded server, proven, until Ctrl-C."""

from __future__ import annotations

import time
from collections.abc import Callable

from ichclient.connect import ProvenServer, ServerOptions, proven_server
from ichclient.errors import EmbeddedServerError
from ichclient.process import is_running

_LOOK_EVERY_S = 0.5
# Triton ends by itself in about 3 s; whoever serves is not in a hurry.
_STOP_DEADLINE_S = 5.0


def serve_until_interrupted(options: ServerOptions, say: Callable[[str], object]) -> None:
    """Start and prove the server, say where it is, and wait for Ctrl-C, which is a good end.

    Raises EmbeddedServerError where the server ends by itself.
    """
    with proven_server(options, everything=True, stop_deadline_s=_STOP_DEADLINE_S) as server:
        try:
            say(f"Serving at {server.url}, golden slices proven. Ctrl-C ends it.")
            _wait(server)
        except KeyboardInterrupt:
            say("Stopping.")


def _wait(server: ProvenServer) -> None:
    assert server.pid is not None  # only embedded servers are served
    while is_running(server.pid):
        time.sleep(_LOOK_EVERY_S)
    raise EmbeddedServerError(
        f"The embedded Triton server ended by itself; its log is {server.log_path}."
    )
