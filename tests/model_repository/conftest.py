"""Fixtures of the served models: loaded under a fake backend, and asked under the real server."""

from __future__ import annotations

import importlib.util
import json
import queue
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ichcore import EnsembleSpec, SliceScores
from ichcore.wire import provenance_from_hashes
from ichexport.engines import Runner, onnxruntime_from_onnx, openvino_has_bf16

if TYPE_CHECKING:
    from ichclient.process import RunningServer

Arrays = Mapping[str, NDArray[np.generic]]
BACKEND = "triton_python_backend_utils"


def module_from(path: Path, name: str) -> ModuleType:
    """Run a Python file as a module that nothing else can import."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass(frozen=True)
class Loaded:
    """A model of the repository, loaded as Triton loads it."""

    model: Any
    backend: ModuleType

    def answers(self, *requests: Arrays) -> list[Any]:
        return list(self.model.execute([self.backend.InferenceRequest(r) for r in requests]))

    def answer(self, request: Arrays) -> dict[str, NDArray[np.generic]]:
        """The tensors of one answer, which must be no error."""
        (response,) = self.answers(request)
        assert not response.has_error(), response.error().message()
        return {tensor.name(): tensor.as_numpy() for tensor in response.output_tensors()}

    def refusal(self, request: Arrays) -> str:
        """The message of one error, which must carry no tensor."""
        (response,) = self.answers(request)
        assert response.has_error()
        assert response.output_tensors() == ()
        return str(response.error().message())


@pytest.fixture
def load_model(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Loaded]]:
    """Loads a model's own `model.py` under the fake backend, with its CPU config."""
    backend = module_from(Path(__file__).with_name("fake_pb_utils.py"), BACKEND)
    monkeypatch.setitem(sys.modules, BACKEND, backend)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    loaded: list[Any] = []

    def load(name: str, repository: Path = bundle, adapter: str = "model.py") -> Loaded:
        # Triton gives every model a process of its own, with its folder on the path.
        monkeypatch.syspath_prepend(repository / name / "1")
        monkeypatch.delitem(sys.modules, "study_counts", raising=False)
        model = module_from(repository / name / "1" / adapter, name).TritonPythonModel()
        model.initialize(
            {
                "model_name": name,
                "model_repository": str(repository / name),
                "model_version": "1",
                "model_config": json.dumps(config_of(repository / name)),
            }
        )
        loaded.append(model)
        return Loaded(model, backend)

    yield load
    for model in loaded:
        if hasattr(model, "finalize"):
            model.finalize()


def config_of(folder: Path) -> dict[str, Any]:
    """A model's config in the JSON form that Triton gives to it."""
    from google.protobuf import json_format, text_format
    from tritonclient.grpc import model_config_pb2

    path = folder / "configs" / "cpu.pbtxt"
    text = (path if path.is_file() else folder / "config.pbtxt").read_text()
    config = text_format.Parse(text, model_config_pb2.ModelConfig())
    return dict(json_format.MessageToDict(config, preserving_proto_field_name=True))


@pytest.fixture(scope="session")
def runners(bundle: Path, released_spec: EnsembleSpec) -> dict[str, Runner]:
    """Every committed member in this process, with ONNX Runtime."""
    return {
        name: onnxruntime_from_onnx(bundle / name / "1" / "model.onnx")
        for name in released_spec.member_names
    }


@pytest.fixture(scope="session")
def score_tolerance() -> float:
    """What the members' OpenVINO may differ from f32: it computes in bf16 where it can."""
    return 0.02 if openvino_has_bf16() else 1e-3


@pytest.fixture(scope="session")
def make_series_scores(released_spec: EnsembleSpec) -> Callable[..., SliceScores]:
    """Slice results of a made-up series, 5 mm apart, any field replaced."""

    def series(slices: int = 30, seed: int = 0, **changes: Any) -> SliceScores:
        rng = np.random.default_rng(seed)
        fields: dict[str, Any] = {
            "score": rng.random(slices, dtype=np.float32),
            "member_scores": rng.random((slices, len(released_spec.members)), dtype=np.float32),
            "lesion_mm2": np.asarray(rng.uniform(0, 900, slices), dtype=np.float32),
            "brain_mm2": np.full(slices, 9000, dtype=np.float32),
            "position_mm": np.arange(slices, dtype=np.float32) * np.float32(5),
            "provenance": (provenance_from_hashes(released_spec.sha256, "e" * 64),) * slices,
        }
        return SliceScores(**{**fields, **changes})

    return series


@pytest.fixture(scope="session")
def study_request() -> Callable[[SliceScores], dict[str, NDArray[np.generic]]]:
    """The input tensors of `ich_study` for a series."""

    def request(slices: SliceScores) -> dict[str, NDArray[np.generic]]:
        return {
            "SCORE": slices.score,
            "MEMBER_SCORES": slices.member_scores,
            "LESION_MM2": slices.lesion_mm2,
            "BRAIN_MM2": slices.brain_mm2,
            "POSITION_MM": slices.position_mm,
            "PROVENANCE": np.array([p.encode() for p in slices.provenance], dtype=np.object_),
        }

    return request


@pytest.fixture(scope="session")
def ask(served: RunningServer) -> Callable[..., dict[str, NDArray[np.generic]]]:
    """Asks the real server over gRPC; a refusal is raised as tritonclient's own exception."""
    from tritonclient import grpc

    def asked(
        model: str,
        inputs: Arrays,
        version: str = "",
        server: RunningServer = served,
        deadline_s: float = 20,
    ) -> dict[str, NDArray[np.generic]]:
        tensors = sent(grpc, inputs)
        with grpc.InferenceServerClient(server.url) as client:
            return received(
                client.infer(model, tensors, model_version=version, client_timeout=deadline_s)
            )

    return asked


@dataclass(frozen=True)
class Heard:
    """What a stream said of one series: its answers in order, and the error that ended it."""

    answers: list[dict[str, NDArray[np.generic]]]
    error: str | None

    @property
    def slices(self) -> dict[str, NDArray[np.generic]]:
        """The chunks' results, joined."""
        chunks = [answer for answer in self.answers if "SCORE" in answer]
        return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}

    @property
    def study(self) -> dict[str, NDArray[np.generic]] | None:
        """The one answer that carries a study score, if there is one."""
        found = [answer for answer in self.answers if "STUDY_SCORE" in answer]
        assert len(found) <= 1
        return found[0] if found else None


@pytest.fixture(scope="session")
def hear(served: RunningServer) -> Callable[..., Heard]:
    """Calls `ich_series` on a stream of its own; hangs up after `hang_up_after` answers."""
    from tritonclient import grpc

    def heard(
        inputs: Arrays,
        outputs: Sequence[str] = (),
        server: RunningServer = served,
        hang_up_after: int | None = None,
    ) -> Heard:
        came: queue.Queue[tuple[Any, Any]] = queue.Queue()
        answers: list[dict[str, NDArray[np.generic]]] = []
        with grpc.InferenceServerClient(server.url) as client:
            client.start_stream(lambda result, error: came.put((result, error)))
            client.async_stream_infer(
                "ich_series",
                sent(grpc, inputs),
                outputs=[grpc.InferRequestedOutput(name) for name in outputs] or None,
                enable_empty_final_response=True,
            )
            while hang_up_after is None or len(answers) < hang_up_after:
                result, error = came.get(timeout=60)
                if error is not None:
                    return Heard(answers, str(error.message()))
                if tensors := received(result):
                    answers.append(tensors)
                if result.get_response().parameters["triton_final_response"].bool_param:
                    return Heard(answers, None)
            client.stop_stream(cancel_requests=True)
        return Heard(answers, None)

    return heard


def sent(protocol: ModuleType, inputs: Arrays) -> list[Any]:
    """Arrays as tensors of `tritonclient.grpc` or `tritonclient.http`."""
    from tritonclient.utils import np_to_triton_dtype

    tensors = []
    for name, values in inputs.items():
        tensor = protocol.InferInput(name, values.shape, np_to_triton_dtype(values.dtype))
        tensor.set_data_from_numpy(np.ascontiguousarray(values))
        tensors.append(tensor)
    return tensors


def received(answer: Any) -> dict[str, NDArray[np.generic]]:
    """Every tensor of an answer over gRPC."""
    names = [output.name for output in answer.get_response().outputs]
    return {name: np.array(answer.as_numpy(name)) for name in names}
