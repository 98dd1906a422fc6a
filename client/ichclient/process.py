"""A model repository -> an embedded Triton server that runs for the length of a `with` block.

    with running_server(repository, log_path=log) as server:
        ...  # server.url is "127.0.0.1:PORT"

Between this process and Triton stands a small supervisor (`supervise.py`), which ends the server
and its stubs however this process ends. The server's port is reachable from this machine alone.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Required, TypedDict, Unpack

from ichclient import supervise
from ichclient.embedded import ServerFiles, embedded_files
from ichclient.errors import EmbeddedServerError, PortInUse, RepositoryError
from ichclient.readiness import server_is_ready
from ichclient.serverlog import failed_for_good, opened_log, telling_line
from ichclient.workspace import LOOPBACK, server_command, server_environment, write_workspace

_LOOK_EVERY_S = 0.05
# What a supervisor may need beyond its server's own deadline: kill, wait, remove.
_SUPERVISOR_DEADLINE_S = 15.0


@dataclass(frozen=True)
class RunningServer:
    """A server of this machine: where it answers, once it is ready."""

    url: str
    """gRPC address, "127.0.0.1:PORT"."""
    http_url: str | None
    """HTTP address, "127.0.0.1:PORT"; None unless asked for."""
    pid: int
    """Process of `tritonserver`; its stubs are its children."""
    log_path: Path


class StartOptions(TypedDict, total=False):
    """What `started_server` takes, for those who hand it on."""

    log_path: Required[Path]
    grpc_port: int | None
    http: bool
    model_config_name: str
    models: tuple[str, ...] | None
    stop_deadline_s: float
    files: ServerFiles | None


class StartedServer:
    """A server that was started and need not be ready."""

    def __init__(self, supervisor: subprocess.Popen[bytes], server: RunningServer) -> None:
        self._supervisor, self._server = supervisor, server

    def ready(
        self, timeout_s: float = 120.0, meanwhile: Callable[[], object] = lambda: None
    ) -> RunningServer:
        """Wait until every model is ready, at most `timeout_s` from now.

        `meanwhile` is called again and again until then, which what it raises ends. Raises
        EmbeddedServerError where the server cannot start here, ended, or was not ready in time.
        """
        _wait_until_ready(self._supervisor, self._server, timeout_s, meanwhile)
        return self._server


@contextmanager
def started_server(
    repository: Path,
    *,
    log_path: Path,
    grpc_port: int | None = None,
    http: bool = False,
    model_config_name: str = "cpu",
    models: tuple[str, ...] | None = None,
    stop_deadline_s: float = 5.0,
    files: ServerFiles | None = None,
) -> Iterator[StartedServer]:
    """Start Triton on `repository`, yield at once, stop it afterwards.

    Triton 2.51 takes about 3 s to end by itself. It keeps nothing that could be lost, so a caller
    in a hurry gives `stop_deadline_s=0`, and it is killed at once.

    Args:
        repository: folder with one folder per model.
        log_path: takes Triton's output; it is emptied first.
        grpc_port: None takes a free one.
        http: also serve HTTP, on a free port.
        model_config_name: which `configs/NAME.pbtxt` of each model is used.
        models: load these and their steps; None loads every model of the repository.
        stop_deadline_s: time from asking the server to end until it is killed.
        files: what `embedded_files()` found; None looks now.

    Raises:
        RepositoryError: `repository` is no folder.
        PortInUse: `grpc_port` is taken.
        EmbeddedServerError: the server cannot start here.

    """
    if not repository.is_dir():
        raise RepositoryError(f"There is no model repository at {repository}: name its folder.")
    files = embedded_files() if files is None else files
    port = _free_port() if grpc_port is None else _port_that_is_free(grpc_port)
    http_port = _free_port() if http else None
    charge = _charge(files, repository, port, http_port, model_config_name, models, stop_deadline_s)
    try:
        supervisor = _started(charge, files, log_path)
        try:
            server = RunningServer(
                url=f"{LOOPBACK}:{port}",
                http_url=None if http_port is None else f"{LOOPBACK}:{http_port}",
                pid=_server_pid(supervisor, log_path),
                log_path=log_path,
            )
            yield StartedServer(supervisor, server)
        finally:
            _stop(supervisor, stop_deadline_s)
    finally:
        supervise.remove_leftovers(charge)  # again, in case the supervisor was killed


@contextmanager
def running_server(
    repository: Path,
    *,
    ready_timeout_s: float = 120.0,
    meanwhile: Callable[[], object] = lambda: None,
    **start: Unpack[StartOptions],
) -> Iterator[RunningServer]:
    """As `started_server`, which takes `start`, and yield when every model is ready."""
    with started_server(repository, **start) as started:
        yield started.ready(ready_timeout_s, meanwhile)


def is_running(pid: int) -> bool:
    """Whether the process of a server still runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _charge(
    files: ServerFiles,
    repository: Path,
    grpc_port: int,
    http_port: int | None,
    model_config_name: str,
    models: tuple[str, ...] | None,
    stop_deadline_s: float,
) -> supervise.Charge:
    """A working folder and the orders for one server."""
    workspace = Path(tempfile.mkdtemp(prefix="ich-triton-"))
    shm_prefix = f"ich-triton-{secrets.token_hex(8)}-"
    write_workspace(files, workspace)
    command = server_command(
        files,
        workspace,
        repository=repository,
        model_config_name=model_config_name,
        shm_prefix=shm_prefix,
        grpc_port=grpc_port,
        http_port=http_port,
        models=models,
    )
    return supervise.Charge(
        parent_pid=os.getpid(),
        command=command,
        workspace=str(workspace),
        shm_prefix=shm_prefix,
        stop_deadline_s=stop_deadline_s,
    )


def _started(
    charge: supervise.Charge, files: ServerFiles, log_path: Path
) -> subprocess.Popen[bytes]:
    """Start the supervisor in a session of its own, out of reach of the terminal's Ctrl-C."""
    script = supervise.__file__
    log = opened_log(log_path)
    try:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", script, supervise.json_from_charge(charge)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd=charge.workspace,
            env=server_environment(files, Path(charge.workspace), os.environ),
            start_new_session=True,
        )
    finally:
        os.close(log)


def _server_pid(supervisor: subprocess.Popen[bytes], log_path: Path) -> int:
    """The one line that the supervisor prints."""
    assert supervisor.stdout is not None  # Popen was given a pipe
    with supervisor.stdout as pipe:
        line = pipe.readline()
    if not line.strip().isdigit():
        log = log_path.read_text(encoding="utf-8", errors="replace")
        raise EmbeddedServerError(
            f"The embedded Triton server could not be started: {telling_line(log)} "
            f"The log is {log_path}."
        )
    return int(line)


def _wait_until_ready(
    supervisor: subprocess.Popen[bytes],
    server: RunningServer,
    ready_timeout_s: float,
    meanwhile: Callable[[], object],
) -> None:
    """Wait for the log to say that *this* server listens, then for its own word that it is ready.

    The log comes first because another program could have taken the free port meanwhile.
    """
    listens = f"Started GRPCInferenceService at {server.url}"
    deadline = time.monotonic() + ready_timeout_s
    while (left_s := deadline - time.monotonic()) > 0:
        meanwhile()
        ended = supervisor.poll() is not None  # before reading, or its last line is missed
        log = server.log_path.read_text(encoding="utf-8", errors="replace")
        if ended or failed_for_good(log):
            raise EmbeddedServerError(
                "The embedded Triton server could not start: "
                f"{telling_line(log)} The log is {server.log_path}."
            )
        listening = listens in log and _accepts(server.http_url)
        if listening and server_is_ready(server.url, timeout_s=min(left_s, 5.0)):
            return
        time.sleep(_LOOK_EVERY_S)
    raise EmbeddedServerError(
        f"The embedded Triton server was not ready after {ready_timeout_s:g} s and was stopped: "
        f"allow it more time, or see what it waits for in {server.log_path}."
    )


def _accepts(http_url: str | None) -> bool:
    """Whether HTTP, where it is asked for, takes connections: it starts after gRPC."""
    if http_url is None:
        return True
    host, _, port = http_url.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1.0).close()
    except OSError:
        return False
    return True


def _stop(supervisor: subprocess.Popen[bytes], stop_deadline_s: float) -> None:
    """Have the supervisor end everything; without an answer kill it, and the kernel does it."""
    with contextlib.suppress(ProcessLookupError):
        supervisor.terminate()
    try:
        supervisor.wait(stop_deadline_s + _SUPERVISOR_DEADLINE_S)
    except subprocess.TimeoutExpired:
        supervisor.kill()
        supervisor.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _port_that_is_free(port: int) -> int:
    """Refuse a port before anything is started on it."""
    if not 1 <= port <= 65535:
        raise EmbeddedServerError(f"There is no port {port}: choose one from 1 to 65535.")
    with socket.socket() as probe:
        # Connections that a former server closed do not hold a port; listening servers do.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            raise PortInUse(
                f"Port {port} on {LOOPBACK} cannot be used ({error.strerror}): choose "
                "another port, or none and a free one is taken."
            ) from error
    return port
