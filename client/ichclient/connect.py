"""An address, or none -> a transport to a server that has proven its golden slices.

Without an address the embedded server runs for the length of the `with` block.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from ichclient.access import OPEN, ServerAccess
from ichclient.caches import cache_folder
from ichclient.errors import ServerRefused, ServerUnreachable
from ichclient.golden import GOLDEN_FILE, Golden, golden_from_file
from ichclient.pool import ServerPool
from ichclient.process import StartedServer, started_server
from ichclient.proof import Proof
from ichclient.proven_starts import ProvenStarts
from ichclient.repository import default_repository, verified_repository
from ichclient.serverlog import new_log_path
from ichclient.transport import DEADLINE_S, RETRY_FOR_S, Transport, TritonTransport
from ichcore import Grid
from ichcore.wire import ENSEMBLE_MODEL, FUSED_MODEL, STUDY_MODEL

# Nobody starts an embedded server again once it has ended.
_EMBEDDED_RETRY_FOR_S = 2.0
# Behind one address servers may answer in any order, so one may have to be asked for a few times.
_PROOFS_PER_START = 8


Reached: TypeAlias = Callable[[Grid], object]
"""Hears of the grid of a server that was reached and is not proven yet."""


@dataclass(frozen=True)
class ServerOptions:
    """Which server judges: that at `url`, or without one an embedded server on `repository`.

    `url` may name several servers, "HOST:PORT,HOST:PORT", which judge in turn; `access` says how
    to show oneself to them.
    `model` judges slices: `ich_fused` or `ich_ensemble`; None takes the first where it is served.
    `golden` names the file that proves it; None takes the repository's own. With `prove` a server
    elsewhere has to judge all golden slices whatever is known of it. `log_path` and `grpc_port`
    matter to the embedded server alone.
    """

    url: str | None = None
    repository: Path | None = None
    golden: Path | None = None
    timeout_s: float = DEADLINE_S
    log_path: Path | None = None
    grpc_port: int | None = None
    access: ServerAccess = OPEN
    model: str | None = None
    prove: bool = False

    @property
    def urls(self) -> tuple[str, ...]:
        """Every address of `url`; none for an embedded server."""
        return () if self.url is None else tuple(self.url.split(","))


@dataclass(frozen=True)
class ProvenServer:
    """A server that judged the golden slices as recorded; `timings` in seconds."""

    url: str
    pid: int | None
    """Process of an embedded server; None for a server elsewhere."""
    log_path: Path | None
    transport: Transport
    proof: Proof
    timings: dict[str, float]
    repository: Path | None = None
    """Repository of the bundle that the server should serve, where this machine has one."""

    @property
    def golden(self) -> Golden:
        """The slices that it judged as recorded."""
        return self.proof.golden

    def prove_again(self, starts: frozenset[str] = frozenset()) -> None:
        """Prove it once more, until all of these starts that answered have proven themselves.

        After an interruption another server may answer, and behind one address several may. Raises
        ServerRefused where one of them cannot be met again.
        """
        for _ in range(_PROOFS_PER_START * max(1, len(starts))):
            _prove(self.transport, self.proof)
            if starts <= self.proof.starts:
                return
        raise ServerRefused(
            f"{len(starts - self.proof.starts)} of the servers that answered at {self.url} judged "
            "slices of this study, but cannot be made to judge the golden ones: try again, or name "
            "every server by itself in --url, separated by commas."
        )


@dataclass(frozen=True)
class ServerStart:
    """An embedded server that was started, for `proven_server` to wait for and prove."""

    options: ServerOptions
    repository: Path
    golden: Golden
    log_path: Path
    server: StartedServer


@contextmanager
def server_start(
    options: ServerOptions, *, everything: bool = False, stop_deadline_s: float = 0.0
) -> Iterator[ServerStart]:
    """Start an embedded server and yield at once, so that it loads while the caller does.

    It loads what a study needs, or with `everything` the rest of the repository too, which is for
    whoever serves others. Raises RepositoryError or EmbeddedServerError.
    """
    repository = verified_repository(options.repository)
    golden = golden_from_file(_golden_path(options, repository))
    log_path = options.log_path or new_log_path(os.environ)
    with started_server(
        repository,
        log_path=log_path,
        grpc_port=options.grpc_port,
        models=None if everything else _judging_models(options, repository),
        stop_deadline_s=stop_deadline_s,
    ) as server:
        yield ServerStart(options, repository, golden, log_path, server)


@contextmanager
def proven_server(
    options: ServerOptions | ServerStart,
    *,
    everything: bool = False,
    known: bool = False,
    stop_deadline_s: float = 0.0,
    meanwhile: Callable[[], object] = lambda: None,
    reached: Reached = lambda _: None,
) -> Iterator[ProvenServer]:
    """Connect, or start and connect, and prove before anything is trusted.

    `options` may be a start of `server_start`; otherwise `everything` and `stop_deadline_s` are
    for that. `meanwhile` is called again and again while an embedded server starts, and ends that
    with what it raises; `reached` is called once before one server is proven. With `known` a start
    of a server elsewhere that this user has proven before is proven with two golden slices. Raises
    RepositoryError, EmbeddedServerError, ServerUnreachable or ServerRefused.
    """
    started = time.monotonic()
    with contextlib.ExitStack() as stack:
        if isinstance(options, ServerOptions) and options.url is None:
            begin = server_start(options, everything=everything, stop_deadline_s=stop_deadline_s)
            options = stack.enter_context(begin)
        if isinstance(options, ServerStart):
            proven = _proven_start(options, started, meanwhile, reached)
        else:
            proven = _proven_elsewhere(options, started, reached, known=known)
        yield stack.enter_context(proven)


@contextmanager
def _proven_start(
    start: ServerStart, started: float, meanwhile: Callable[[], object], reached: Reached
) -> Iterator[ProvenServer]:
    server = start.server.ready(meanwhile=meanwhile)
    with (
        TritonTransport(
            server.url,
            model=start.options.model,
            deadline_s=start.options.timeout_s,
            retry_for_s=_EMBEDDED_RETRY_FOR_S,
        ) as transport,
        _told_of_log(start.log_path),
    ):
        proof = Proof(start.golden)
        timings = _timed_proof(transport, proof, started, reached)
        yield ProvenServer(
            server.url, server.pid, start.log_path, transport, proof, timings, start.repository
        )


@contextmanager
def _proven_elsewhere(
    options: ServerOptions, started: float, reached: Reached, *, known: bool
) -> Iterator[ProvenServer]:
    golden = golden_from_file(_golden_path(options, options.repository))
    starts = ProvenStarts(cache_folder(os.environ)) if known and not options.prove else None
    proof = Proof(golden, starts)
    with _transport_elsewhere(options, proof) as transport:
        timings = _timed_proof(transport, proof, started, reached)
        url = str(options.url)
        yield ProvenServer(url, None, None, transport, proof, timings, options.repository)


def _transport_elsewhere(options: ServerOptions, proof: Proof) -> TritonTransport | ServerPool:
    """The one server at `url`, or all of them."""
    urls, times = options.urls, {"deadline_s": options.timeout_s, "retry_for_s": RETRY_FOR_S}
    if len(urls) == 1:
        return TritonTransport(urls[0], model=options.model, access=options.access, **times)
    prove = proof.refuse_untrue_server
    return ServerPool(urls, prove, model=options.model, access=options.access, **times)


def _judging_models(options: ServerOptions, repository: Path) -> tuple[str, str]:
    """What a study needs of a repository; one of an older release has no `ich_fused`."""
    fused = (repository / FUSED_MODEL).is_dir()
    return options.model or (FUSED_MODEL if fused else ENSEMBLE_MODEL), STUDY_MODEL


def _prove(transport: Transport, proof: Proof) -> None:
    """Of several servers, each has to prove itself, as the pool was told."""
    if isinstance(transport, ServerPool):
        transport.prove()
    else:
        proof.refuse_untrue_server(transport)


def _timed_proof(
    transport: Transport, proof: Proof, started: float, reached: Reached
) -> dict[str, float]:
    ready = time.monotonic()
    if not isinstance(transport, ServerPool):  # which knows no server that has not proven itself
        reached(transport.metadata().grid)
    _prove(transport, proof)
    return {"server_ready_s": ready - started, "golden_proof_s": time.monotonic() - ready}


def _golden_path(options: ServerOptions, repository: Path | None) -> Path:
    return options.golden or (repository or default_repository()) / GOLDEN_FILE


@contextmanager
def _told_of_log(log_path: Path) -> Iterator[None]:
    try:
        yield
    except ServerUnreachable as error:
        raise ServerUnreachable(
            f"The embedded Triton server ended, or stands still; its log is {log_path}."
        ) from error
