"""SIGTERM while a request is under way: it is answered, new ones are not taken, the server ends."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient, InferInput
from tritonclient.utils import InferenceServerException

from ichclient.flags import ServerSettings

pytestmark = pytest.mark.triton

CONFIG = """
name: "slow"
backend: "python"
input [{ name: "SECONDS" data_type: TYPE_FP32 dims: [1] }]
output [{ name: "SECONDS" data_type: TYPE_FP32 dims: [1] }]
instance_group [{ count: 1 kind: KIND_CPU }]
version_policy { specific { versions: 1 } }
"""
MODEL = """
import time
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        return [self._response(request) for request in requests]

    def _response(self, request):
        seconds = pb_utils.get_input_tensor_by_name(request, "SECONDS").as_numpy()
        open(MARK, "w").close()
        time.sleep(float(seconds[0]))
        return pb_utils.InferenceResponse([pb_utils.Tensor("SECONDS", seconds)])
"""


@pytest.fixture
def slow_server(tmp_path: Path, start_server: Callable[..., Any]) -> Iterator[Any]:
    """A model that takes as long as it is told, on a server that waits for 20 s."""
    version = tmp_path / "repository" / "slow" / "1"
    version.mkdir(parents=True)
    (version.parent / "config.pbtxt").write_text(CONFIG)
    (version / "model.py").write_text(f"MARK = {str(tmp_path / 'began')!r}\n{MODEL}")
    settings = ServerSettings(str(tmp_path / "repository"), exit_timeout_s=20)
    with start_server(settings, tmp_path) as server:
        yield server


def seconds_of(client: InferenceServerClient, seconds: float) -> float:
    tensor = InferInput("SECONDS", [1], "FP32")
    tensor.set_data_from_numpy(np.array([seconds], np.float32))
    return float(client.infer("slow", [tensor], client_timeout=30).as_numpy("SECONDS")[0])


def test_a_request_under_way_is_answered_and_a_new_one_refused(
    slow_server: Any, tmp_path: Path, client_of: Callable[..., InferenceServerClient]
) -> None:
    client = client_of(slow_server.url, None)
    with ThreadPoolExecutor() as pool:
        under_way = pool.submit(seconds_of, client, 2.0)
        while not (tmp_path / "began").exists():
            time.sleep(0.02)
        slow_server.process.send_signal(signal.SIGTERM)
        while "Waiting for in-flight requests" not in slow_server.log_path.read_text():
            time.sleep(0.02)
        late = client_of(slow_server.url, None)
        # So that a balancer looks elsewhere.
        with pytest.raises(InferenceServerException, match=r"UNAVAILABLE.*Server exiting"):
            late.is_server_ready(client_timeout=5)
        # Not UNAVAILABLE: whoever repeats elsewhere has to know this sentence.
        with pytest.raises(InferenceServerException, match=r"NOT_FOUND.*no available versions"):
            seconds_of(late, 0.0)
        assert under_way.result(timeout=20) == 2.0
    client.close()
    late.close()
    assert slow_server.process.wait(timeout=20) == 0
