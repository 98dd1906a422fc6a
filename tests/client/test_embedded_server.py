"""A model repository -> a real embedded Triton, which leaves nothing behind however it ends."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ichclient.embedded import embedded_files
from ichclient.errors import EmbeddedServerError, PortInUse, RepositoryError
from ichclient.process import RunningServer, running_server

pytestmark = pytest.mark.triton

CONFIG = """
name: "mean_hu"
backend: "python"
max_batch_size: 8
input [{ name: "HU" data_type: TYPE_FP16 dims: [-1] }]
output [{ name: "MEAN_HU" data_type: TYPE_FP32 dims: [1] }]
instance_group [{ count: 2 kind: KIND_CPU }]
"""

MODEL = """
import numpy as np
import triton_python_backend_utils as pb_utils

from ichcore import errors  # what a model of the bundle imports must be found


class TritonPythonModel:
    def execute(self, requests):
        return [self._response(request) for request in requests]

    def _response(self, request):
        hu = pb_utils.get_input_tensor_by_name(request, "HU").as_numpy()
        mean = hu.astype(np.float32).mean(axis=1, keepdims=True)
        return pb_utils.InferenceResponse([pb_utils.Tensor("MEAN_HU", mean)])
"""

HOLDER = """
import sys, time
from pathlib import Path
from ichclient.process import running_server

with running_server(Path(sys.argv[1]), log_path=Path(sys.argv[2])) as server:
    print(server.pid, flush=True)
    # Ctrl-C may reach a thread of gRPC, which does not wake this one: sleep in short pieces.
    for _ in range(6000):
        time.sleep(0.1)
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """One Python model that returns the mean of its Hounsfield units."""
    return written_repository(tmp_path / "repository", MODEL)


@pytest.fixture(autouse=True)
def nothing_left_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Working folders go where a test can count them."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr("tempfile.tempdir", None)


def written_repository(folder: Path, model: str) -> Path:
    version = folder / "mean_hu" / "1"
    version.mkdir(parents=True)
    (version / "model.py").write_text(model, encoding="utf-8")
    (version.parent / "config.pbtxt").write_text(CONFIG, encoding="utf-8")
    return folder


def mean_hu(server: RunningServer, hu: NDArray[np.float16]) -> NDArray[np.float32]:
    from tritonclient import grpc

    tensor = grpc.InferInput("HU", hu.shape, "FP16")
    tensor.set_data_from_numpy(hu)
    with grpc.InferenceServerClient(server.url) as client:
        answer = client.infer("mean_hu", [tensor])
    mean = answer.as_numpy("MEAN_HU")
    assert mean is not None
    return np.asarray(mean, np.float32)


def processes_of(tmp_path: Path) -> list[str]:
    """Command lines of all processes that belong to a test: they name one of its folders."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().decode().replace("\0", " ")
        except OSError:
            continue
        if str(tmp_path) in command and int(process.name) != os.getpid():
            found.append(command)
    return found


def shared_memory(prefix: str) -> list[str]:
    return [region.name for region in Path("/dev/shm").glob(f"{prefix}*")]


def shm_prefix_of(tmp_path: Path) -> str:
    """Start of the names of the shared-memory regions of the test's server, which has some."""
    commands = " ".join(processes_of(tmp_path))
    prefix = re.findall(r"shm-region-prefix-name=(ich-triton-[0-9a-f]+-) ", commands)[0]
    assert shared_memory(prefix)
    return str(prefix)


def assert_nothing_left(tmp_path: Path, within_s: float = 5.0) -> None:
    deadline = time.monotonic() + within_s
    while processes_of(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert processes_of(tmp_path) == []
    assert list((tmp_path / "tmp").iterdir()) == []
    assert list((tmp_path / "repository").rglob("__pycache__")) == []


@pytest.mark.parametrize("stop_deadline_s", [0.0, 5.0])
def test_server_computes_and_leaves_nothing(
    repository: Path, tmp_path: Path, stop_deadline_s: float
) -> None:
    log = tmp_path / "triton.log"
    hu = np.array([[0, 40, 80], [-1000, 60, 1000]], dtype=np.float16)
    with running_server(repository, log_path=log, stop_deadline_s=stop_deadline_s) as server:
        np.testing.assert_allclose(mean_hu(server, hu), [[40.0], [20.0]], rtol=1e-6)
        assert len(processes_of(tmp_path)) == 4  # supervisor, Triton, two stubs
        shm_prefix = shm_prefix_of(tmp_path)
    assert_nothing_left(tmp_path, within_s=0)
    assert shared_memory(shm_prefix) == []
    assert "Started GRPCInferenceService" in log.read_text()


def test_server_may_be_started_from_a_thread_that_ends(repository: Path, tmp_path: Path) -> None:
    context = running_server(repository, log_path=tmp_path / "triton.log", stop_deadline_s=0)
    servers: list[RunningServer] = []
    starter = threading.Thread(target=lambda: servers.append(context.__enter__()))
    starter.start()
    starter.join()
    time.sleep(0.6)
    try:
        assert mean_hu(servers[0], np.ones((1, 4), np.float16)) == pytest.approx(1.0)
    finally:
        context.__exit__(None, None, None)
    assert_nothing_left(tmp_path, within_s=0)


def kill_client(client: subprocess.Popen[str], server_pid: int) -> None:
    client.kill()


def interrupt_client(client: subprocess.Popen[str], server_pid: int) -> None:
    client.send_signal(signal.SIGINT)


def terminate_client(client: subprocess.Popen[str], server_pid: int) -> None:
    client.terminate()


def kill_supervisor(client: subprocess.Popen[str], server_pid: int) -> None:
    os.kill(int(Path(f"/proc/{server_pid}/stat").read_text().split()[3]), signal.SIGKILL)
    time.sleep(1)
    client.send_signal(signal.SIGINT)


def freeze_server_and_interrupt(client: subprocess.Popen[str], server_pid: int) -> None:
    os.kill(server_pid, signal.SIGSTOP)
    client.send_signal(signal.SIGINT)


@pytest.mark.parametrize(
    "end",
    [
        kill_client,
        interrupt_client,
        terminate_client,
        kill_supervisor,
        freeze_server_and_interrupt,
    ],
)
def test_no_process_outlives_its_client(
    repository: Path, tmp_path: Path, end: Callable[[subprocess.Popen[str], int], None]
) -> None:
    log = tmp_path / "triton.log"
    command = [sys.executable, "-c", HOLDER, str(repository), str(log)]
    environment = {**os.environ, "PYTHONPATH": ":".join(sys.path)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as client:
        try:
            assert client.stdout is not None
            server_pid = int(client.stdout.readline())
            assert len(processes_of(tmp_path)) == 5
            shm_prefix = shm_prefix_of(tmp_path)
            end(client, server_pid)
            client.wait(20)
        finally:
            client.kill()  # a client that does not end would be waited for without end
    assert_nothing_left(tmp_path)
    assert shared_memory(shm_prefix) == []


def test_server_that_dies_takes_its_stubs_with_it(repository: Path, tmp_path: Path) -> None:
    with running_server(repository, log_path=tmp_path / "triton.log") as server:
        os.kill(server.pid, signal.SIGKILL)
        assert_nothing_left(tmp_path)


def test_port_in_use_is_refused_before_anything_starts(repository: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(PortInUse, match=f"Port {port} ") as refusal,
            running_server(repository, log_path=tmp_path / "triton.log", grpc_port=port),
        ):
            pass
    assert refusal.value.exit_code == 11
    assert not (tmp_path / "triton.log").exists()


@pytest.mark.parametrize(
    ("model", "cause"),
    [
        ("raise FileNotFoundError('no engine in this folder')\n", "no engine in this folder"),
        ("import a_module_that_is_absent\n", "a_module_that_is_absent"),
        (None, "Python model file not found"),
    ],
)
def test_broken_model_is_one_clear_error(tmp_path: Path, model: str | None, cause: str) -> None:
    repository = written_repository(tmp_path / "repository", model or "")
    if model is None:
        (repository / "mean_hu" / "1" / "model.py").unlink()
    log = tmp_path / "triton.log"
    with (
        pytest.raises(EmbeddedServerError, match=cause) as refusal,
        running_server(repository, log_path=log, stop_deadline_s=0),
    ):
        pass
    assert str(log) in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert_nothing_left(tmp_path, within_s=0)


def test_server_that_is_not_ready_in_time_is_stopped(tmp_path: Path) -> None:
    slow = "import time\ntime.sleep(60)\n" + MODEL
    repository = written_repository(tmp_path / "repository", slow)
    with (
        pytest.raises(EmbeddedServerError, match=r"not ready after 0\.5 s"),
        running_server(
            repository, log_path=tmp_path / "log", ready_timeout_s=0.5, stop_deadline_s=0
        ),
    ):
        pass
    assert_nothing_left(tmp_path, within_s=0)


def test_http_is_served_only_when_asked_for(repository: Path, tmp_path: Path) -> None:
    import urllib.request

    with running_server(
        repository, log_path=tmp_path / "log", http=True, stop_deadline_s=0
    ) as server:
        address = f"http://{server.http_url}/v2/health/ready"
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(address, timeout=5) as answer:
            assert answer.status == 200


def test_repository_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(RepositoryError, match="no model repository"),
        running_server(tmp_path / "absent", log_path=tmp_path / "log"),
    ):
        pass


def test_files_found_here_exist() -> None:
    files = embedded_files()
    assert files.tritonserver.is_file()
    assert files.stub.parent.name == f"{sys.version_info.major}.{sys.version_info.minor}"
