"""Production's queue under the real Triton: an emergency passes what waits, inside an ensemble."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from ichexport.production import ARCHIVE, EMERGENCY, bound_queue

if TYPE_CHECKING:
    from ichclient.process import RunningServer

pytestmark = pytest.mark.triton

NAMED_NOTHING = 0
"""What a request carries that names no priority; Triton then takes the default, routine."""

MODEL = """
import time
from pathlib import Path

import triton_python_backend_utils as pb_utils

FOLDER = Path({folder!r})


class TritonPythonModel:
    def execute(self, requests):
        return [self._response(request) for request in requests]

    def _response(self, request):
        name = pb_utils.get_input_tensor_by_name(request, "NAME")
        with (FOLDER / "order").open("a") as file:
            file.write(f"{{int(name.as_numpy()[0, 0])}} ")
        while not (FOLDER / "open").exists():
            time.sleep(0.01)
        return pb_utils.InferenceResponse([pb_utils.Tensor("SAME", name.as_numpy())])
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    """A model that writes down in which order it is asked, as the one step of an ensemble."""
    from ichclient.process import running_server

    repository = tmp_path / "repository"
    step, whole = model_config_pb2.ModelConfig(), model_config_pb2.ModelConfig()
    for config, name in ((step, "step"), (whole, "whole")):
        config.name, config.max_batch_size = name, 1
        config.input.add(name="NAME", data_type=model_config_pb2.TYPE_INT32, dims=[1])
        config.output.add(name="SAME", data_type=model_config_pb2.TYPE_INT32, dims=[1])
    step.backend = "python"
    step.instance_group.add(count=1, kind=model_config_pb2.ModelInstanceGroup.KIND_CPU)
    bound_queue(step)
    whole.platform = "ensemble"
    only = whole.ensemble_scheduling.step.add(model_name="step", model_version=1)
    only.input_map["NAME"], only.output_map["SAME"] = "NAME", "SAME"
    for config in (step, whole):
        (repository / config.name / "1").mkdir(parents=True)
        text = text_format.MessageToString(config)
        (repository / config.name / "config.pbtxt").write_text(text)
    (repository / "step" / "1" / "model.py").write_text(MODEL.format(folder=str(tmp_path)))
    log = tmp_path / "triton.log"
    with running_server(repository, log_path=log, stop_deadline_s=0) as running:
        yield running


def test_an_emergency_passes_routine_and_archive(server: RunningServer, tmp_path: Path) -> None:
    from tritonclient import grpc

    order = tmp_path / "order"
    with grpc.InferenceServerClient(server.url) as client:

        def send(name: int, priority: int) -> Any:
            tensor = grpc.InferInput("NAME", [1, 1], "INT32")
            tensor.set_data_from_numpy(np.array([[name]], dtype=np.int32))
            answers: list[Any] = []
            client.async_infer(
                "whole",
                [tensor],
                callback=lambda result, error: answers.append(error or result),
                priority=priority,
                client_timeout=20,
            )
            return answers

        # The first two go to the model, which takes one more while it holds one.
        waiting = [send(name, ARCHIVE.number) for name in (1, 2)]
        while not order.exists():
            assert not any(waiting)
        waiting += [send(name, ARCHIVE.number) for name in (3, 4)]
        waiting += [send(5, NAMED_NOTHING), send(6, EMERGENCY.number)]
        for _ in range(20):  # on the same connection, so that the requests arrived before
            assert client.is_server_ready()
        (tmp_path / "open").touch()
        while not all(waiting):
            pass
    assert all(hasattr(answers[0], "as_numpy") for answers in waiting), waiting
    asked = order.read_text().split()
    assert sorted(asked) == ["1", "2", "3", "4", "5", "6"]
    assert asked.index("6") < asked.index("5") < asked.index("4")
    assert asked.index("6") < asked.index("3") < asked.index("4")
