"""One proven server for many studies: started when it is first needed, and again where it ended.

    with WarmServer(ServerOptions()) as warm:
        for path in studies:
            result_from_path(path, warm, out=...)

It is lent to one study at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from types import TracebackType

from ichclient.connect import ProvenServer, Reached, ServerOptions, proven_server
from ichclient.errors import ServerError
from ichclient.process import is_running


class WarmServer:
    """An embedded server kept between studies, or a server elsewhere, proven for each of them.

    Who answers at an address may have changed since the study before, so a server elsewhere is
    connected to and proven anew, with two golden slices where its start is a known one; an embedded
    one is proven once for each start. `start_failed` says whether the last attempt to have a
    server came to nothing: no other study would be judged.
    """

    def __init__(self, options: ServerOptions) -> None:
        self.start_failed = False
        self._options = options
        self._stack = ExitStack()
        self._server: ProvenServer | None = None

    def __enter__(self) -> WarmServer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server = None
        self._stack.__exit__(kind, error, trace)

    @contextmanager
    def lent(self, reached: Reached = lambda _: None) -> Iterator[ProvenServer]:
        """A proven server for one study; raises what `proven_server` raises.

        Before a server is proven `reached` is called. A server that gave an error is ended, so that
        the next study meets a new one.
        """
        server = self._kept() or self._started(reached)
        try:
            yield server
        except ServerError:
            self._server = None
            with self._stack.pop_all():
                raise
        finally:
            if server.pid is None:
                self._end()

    def _kept(self) -> ProvenServer | None:
        """The server that still runs; its start took no time of this study."""
        if self._server is None or self._server.pid is None:
            return None
        if not is_running(self._server.pid):
            self._end()
            return None
        return replace(self._server, timings=dict.fromkeys(self._server.timings, 0.0))

    def _started(self, reached: Reached) -> ProvenServer:
        self.start_failed = True
        proven = proven_server(self._options, known=True, reached=reached)
        self._server = self._stack.enter_context(proven)
        self.start_failed = False
        return self._server

    def _end(self) -> None:
        self._server = None
        self._stack.close()
