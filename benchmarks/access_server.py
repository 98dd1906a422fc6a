"""Settings -> an embedded Triton on this machine's loopback, and certificates for it by openssl."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.errors import BenchmarkError
from ichclient.access import OPEN, ServerAccess
from ichclient.embedded import embedded_files
from ichclient.flags import EMBEDDED, LOOPBACK, ServerSettings, Tls, server_arguments
from ichclient.readiness import server_is_ready
from ichclient.supervise import Charge, remove_leftovers
from ichclient.workspace import embedded_flags, server_environment, write_workspace

READY_WITHIN_S = 120.0
_LOOK_EVERY_S = 0.01
MANIFEST_CHECK = (sys.executable, "-m", "ichclient.container")
"""The image's first process, which verifies the repository and becomes the server."""


@dataclass(frozen=True)
class Certificates:
    """What server and client show each other, and the one authority of both."""

    server: Tls
    access: ServerAccess


@dataclass(frozen=True)
class Started:
    """A server that is ready, and how long that took from the start of its first process."""

    url: str
    access: ServerAccess
    ready_s: float


def certificates_in(folder: Path) -> Certificates:
    """An authority, and of it a certificate for each side; raises BenchmarkError."""
    _openssl("req", "-x509", *_new_key(folder / "ca.key"), "-days", "2", "-subj", "/CN=benchmark",
             "-out", f"{folder}/ca.crt")  # fmt: skip
    names = folder / "names"
    names.write_text(f"subjectAltName=IP:{LOOPBACK}\n")
    for side in ("server", "client"):
        _openssl("req", *_new_key(folder / f"{side}.key"), "-subj", f"/CN={side}",
                 "-out", f"{folder}/{side}.csr")  # fmt: skip
        _openssl("x509", "-req", "-in", f"{folder}/{side}.csr", "-CA", f"{folder}/ca.crt",
                 "-CAkey", f"{folder}/ca.key", "-CAcreateserial", "-days", "2",
                 "-extfile", str(names), "-out", f"{folder}/{side}.crt")  # fmt: skip
    tls = Tls(f"{folder}/server.crt", f"{folder}/server.key", f"{folder}/ca.crt")
    shown = ServerAccess(True, folder / "ca.crt", folder / "client.crt", folder / "client.key")
    return Certificates(tls, shown)


@contextmanager
def started_server(
    settings: ServerSettings, access: ServerAccess = OPEN, *, checked: bool = False
) -> Iterator[Started]:
    """Run a server until the block ends; with `checked` the manifest is verified first.

    Raises BenchmarkError where it does not become ready.
    """
    files = embedded_files()
    with tempfile.TemporaryDirectory(prefix="ich-benchmark-") as folder:
        workspace, log_path = Path(folder) / "workspace", Path(folder) / "triton.log"
        port = _free_port()
        shm_prefix = f"ich-benchmark-{os.getpid()}-{port}-"
        write_workspace(files, workspace)
        flags = (*settings.more, *embedded_flags(workspace, shm_prefix))
        settings = replace(settings, address=LOOPBACK, grpc_port=port, more=flags)
        command = (str(files.tritonserver), *server_arguments(settings, EMBEDDED))
        environment = server_environment(files, workspace, os.environ)
        environment["PYTHONPATH"] = os.pathsep.join(sys.path)
        began = time.perf_counter()
        with log_path.open("wb") as log:
            process = subprocess.Popen(
                (*(MANIFEST_CHECK if checked else ()), *command),
                stdout=log, stderr=log, cwd=workspace, env=environment, process_group=0,
            )  # fmt: skip
        try:
            url = f"{LOOPBACK}:{port}"
            _wait(process, url, access, log_path)
            yield Started(url, access, time.perf_counter() - began)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            remove_leftovers(Charge(os.getpid(), command, str(workspace), shm_prefix, 0))


def _wait(process: subprocess.Popen[bytes], url: str, access: ServerAccess, log_path: Path) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while not server_is_ready(url, timeout_s=1.0, access=access):
        if process.poll() is not None or time.monotonic() > deadline:
            end = log_path.read_text(encoding="utf-8", errors="replace").splitlines()[-1:]
            raise BenchmarkError(f"A server did not become ready: {' '.join(end)}")
        time.sleep(_LOOK_EVERY_S)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _new_key(path: Path) -> tuple[str, ...]:
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
    return (*curve, "-nodes", "-keyout", str(path))


def _openssl(*arguments: str) -> None:
    try:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise BenchmarkError(f"openssl made no certificates ({error}).") from error
