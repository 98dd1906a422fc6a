"""What the tests of deployment share: certificates of an authority of our own, real servers."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tritonclient.grpc import InferenceServerClient

from ichclient.embedded import embedded_files
from ichclient.flags import (
    EMBEDDED,
    LOOPBACK,
    TOKEN_PLACEHOLDER,
    ServerSettings,
    Tls,
    server_arguments,
)
from ichclient.supervise import Charge, remove_leftovers
from ichclient.workspace import embedded_flags, server_environment, write_workspace

READY_WITHIN_S = 60.0
SERVER_NAME = "ich-triton"
TOKEN = "a-token-of-these-tests"


@dataclass(frozen=True)
class Certificates:
    """Folders with tls.crt, tls.key and ca.crt, as a Kubernetes secret has them."""

    server: Path
    client: Path
    stranger: Path
    """A client whom another authority vouches for; its ca.crt is the server's."""
    expired: Path


@dataclass(frozen=True)
class Server:
    """A real embedded Triton with settings of a test."""

    url: str
    metrics_url: str
    process: subprocess.Popen[bytes]
    log_path: Path
    settings: ServerSettings


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Made by openssl, of two authorities."""
    folder = tmp_path_factory.mktemp("certificates")
    for authority in ("ours", "theirs"):
        _openssl("req", "-x509", *_new_key(folder / f"{authority}.key"), "-days", "2",
                 "-subj", f"/CN={authority}", "-out", f"{folder}/{authority}.crt")  # fmt: skip
    return Certificates(
        server=_issued(folder, "server", "ours", days=2),
        client=_issued(folder, "client", "ours", days=2),
        stranger=_issued(folder, "stranger", "theirs", days=2),
        expired=_issued(folder, "expired", "ours", days=-1),
    )


def _issued(folder: Path, name: str, authority: str, *, days: int) -> Path:
    issued = folder / name
    issued.mkdir()
    request, names = issued / "request.csr", issued / "names"
    names.write_text(f"subjectAltName=DNS:{SERVER_NAME}\n")
    _openssl("req", *_new_key(issued / "tls.key"), "-subj", f"/CN={SERVER_NAME}",
             "-out", str(request))  # fmt: skip
    _openssl("x509", "-req", "-in", str(request), "-CA", f"{folder}/{authority}.crt",
             "-CAkey", f"{folder}/{authority}.key", "-CAcreateserial", "-days", str(days),
             "-extfile", str(names), "-out", str(issued / "tls.crt"))  # fmt: skip
    (issued / "ca.crt").write_bytes((folder / "ours.crt").read_bytes())
    return issued


def _new_key(path: Path) -> tuple[str, ...]:
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
    return (*curve, "-nodes", "-keyout", str(path))


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(
    settings: ServerSettings, folder: Path, entry_point: tuple[str, ...] = ()
) -> Iterator[Server]:
    """Run the real binary on the flags of `settings`, until its log says that it listens.

    `entry_point` comes before the command, as in the image, and becomes the server.
    """
    files = embedded_files()
    workspace, log_path = folder / "workspace", folder / "triton.log"
    shm_prefix = f"ich-deploy-{os.getpid()}-{_free_port()}-"
    write_workspace(files, workspace)
    settings = replace(
        settings,
        address=LOOPBACK,
        grpc_port=_free_port(),
        metrics_port=_free_port(),
        more=(*settings.more, *embedded_flags(workspace, shm_prefix)),
    )
    command = (str(files.tritonserver), *server_arguments(settings, EMBEDDED))
    # The server's stubs ignore PYTHONPATH; the entry point is found by it.
    environment = server_environment(files, workspace, os.environ)
    environment |= {"PYTHONPATH": os.pathsep.join(sys.path), "ICH_ADMIN_TOKEN": TOKEN}
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            (*entry_point, *command),
            stdout=log,
            stderr=log,
            cwd=workspace,
            env=environment,
            process_group=0,
        )
    url = f"{LOOPBACK}:{settings.grpc_port}"
    try:
        wait_until(lambda: "Started Metrics Service" in log_path.read_text(), process, log_path)
        yield Server(
            url, f"http://{LOOPBACK}:{settings.metrics_port}/metrics", process, log_path, settings
        )
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        remove_leftovers(Charge(os.getpid(), command, str(workspace), shm_prefix, 0))


def wait_until(seen: Callable[[], bool], process: subprocess.Popen[bytes], log_path: Path) -> None:
    """Wait for something to be seen, as long as the server runs and the time is not over."""
    deadline = time.monotonic() + READY_WITHIN_S
    while not seen():
        assert process.poll() is None, log_path.read_text()[-2000:]
        assert time.monotonic() < deadline, log_path.read_text()[-2000:]
        time.sleep(0.05)


@pytest.fixture(scope="session")
def start_server() -> Callable[[ServerSettings, Path], AbstractContextManager[Server]]:
    """`serving`, for tests that need a server of their own."""
    return serving


@pytest.fixture(scope="session")
def client_of() -> Callable[[str, Path | None], InferenceServerClient]:
    """A client that believes the server to be whom its certificate names; None is in the clear."""

    def client(url: str, tls: Path | None) -> InferenceServerClient:
        options = [
            ("grpc.ssl_target_name_override", SERVER_NAME),
            ("grpc.enable_http_proxy", 0),
        ]
        if tls is None:
            return InferenceServerClient(url, channel_args=options)
        return InferenceServerClient(
            url,
            ssl=True,
            root_certificates=str(tls / "ca.crt"),
            private_key=str(tls / "tls.key"),
            certificate_chain=str(tls / "tls.crt"),
            channel_args=options,
        )

    return client


@pytest.fixture(scope="session")
def hardened(
    bundle: Path, certificates: Certificates, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """The bundle behind mutual TLS, with a token and metrics, started as the image starts it."""
    tls = tmp_path_factory.mktemp("tls") / "tls"
    shutil.copytree(certificates.server, tls)
    settings = ServerSettings(
        model_repository=str(bundle),
        model_config_name="cpu",
        models=("ich_ensemble", "ich_study"),
        tls=Tls(str(tls / "tls.crt"), str(tls / "tls.key"), str(tls / "ca.crt")),
        admin_token=TOKEN_PLACEHOLDER,  # the entry point puts the token in
        more=(
            ("metrics-config", "summary_latencies=true"),
            ("log-format", "ISO8601"),
            ("buffer-manager-thread-count", "2"),
            ("grpc-max-connection-age", "300000"),
            ("grpc-max-connection-age-grace", "60000"),
        ),
    )
    entry_point = (sys.executable, "-m", "ichclient.container")
    with serving(settings, tmp_path_factory.mktemp("hardened"), entry_point) as running:
        yield running


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    """A port that nobody listened on a moment ago."""
    return _free_port


CONFIG = """
name: "same"
backend: "python"
input [{ name: "X" data_type: TYPE_FP32 dims: [1] }]
output [{ name: "X" data_type: TYPE_FP32 dims: [1] }]
instance_group [{ count: 1 kind: KIND_CPU }]
"""
MODEL = """
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        return [self._response(request) for request in requests]

    def _response(self, request):
        x = pb_utils.get_input_tensor_by_name(request, "X").as_numpy()
        return pb_utils.InferenceResponse([pb_utils.Tensor("X", x)])
"""


@pytest.fixture
def tiny_repository(tmp_path: Path) -> Path:
    """One Python model, `same`, that answers X with X."""
    version = tmp_path / "repository" / "same" / "1"
    version.mkdir(parents=True)
    (version.parent / "config.pbtxt").write_text(CONFIG)
    (version / "model.py").write_text(MODEL)
    return tmp_path / "repository"
