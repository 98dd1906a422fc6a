"""What the series models do when the model below them fails, drifts, is slow, or is left alone.

The real Triton with the real `ich_study` and series models; in the place of `ich_ensemble` stands
a Python model that does what a slice's HU tells it to, and notes when it is called.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ichcore import EnsembleSpec
from ichcore.flight import IN_FLIGHT
from ichcore.items import CHUNK_SLICES

if TYPE_CHECKING:
    from ichclient.process import RunningServer

pytestmark = pytest.mark.triton

Tensors = dict[str, NDArray[np.generic]]

ERROR_HU, DRIFT_HU, NAN_HU, CRASH_HU, SHORT_HU, SLOW_HU = 101, 102, 103, 104, 105, 106

STAND_IN = """
import os
import time

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        return [self._response(request) for request in requests]

    def _response(self, request):
        self._note("+")
        hu = pb_utils.get_input_tensor_by_name(request, "HU").as_numpy()
        asked = int(hu.max())
        time.sleep(0.5 if asked == 106 else 0.05)
        self._note("-")
        if asked == 101:
            error = pb_utils.TritonError("the stand-in was told to refuse")
            return pb_utils.InferenceResponse(error=error)
        if asked == 104:
            os._exit(1)
        n = len(hu)
        provenance = "PROVENANCE" if asked != 102 else "spec:of engines:another"
        score = np.full((n, 1), np.nan if asked == 103 else 0.5, dtype=np.float32)
        values = {
            "SCORE": score,
            "MEMBER_SCORES": np.full((n, 4), 0.5, dtype=np.float32),
            "MASK": np.zeros((n, 128, 128), dtype=np.float16),
            "LESION_MM2": np.zeros((n, 1), dtype=np.float32),
            "BRAIN_MM2": np.full((n, 1), 9000, dtype=np.float32),
            "PROVENANCE": np.full((n, 1), provenance.encode(), dtype=np.object_),
        }
        if asked == 105:
            del values["SCORE"]
        return pb_utils.InferenceResponse([pb_utils.Tensor(k, v) for k, v in values.items()])

    def _note(self, sign):
        with open("NOTES", "a") as notes:
            notes.write(sign)
"""


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the stand-in writes + when a chunk comes and - when it goes."""
    return tmp_path_factory.mktemp("notes") / "calls"


@pytest.fixture(scope="module")
def faulty(
    bundle: Path,
    released_spec: EnsembleSpec,
    notes: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[RunningServer]:
    """A server of the series models, the study model and the stand-in."""
    from google.protobuf import text_format
    from tritonclient.grpc import model_config_pb2

    from ichclient.process import running_server

    folder = tmp_path_factory.mktemp("faulty")
    repository = folder / "repository"
    for model in ("ich_series", "ich_series_unary", "ich_study"):
        shutil.copytree(bundle / model, repository / model)
    text = (bundle / "ich_ensemble" / "config.pbtxt").read_text()
    config = text_format.Parse(text, model_config_pb2.ModelConfig())
    for field in ("platform", "ensemble_scheduling", "parameters"):
        config.ClearField(field)
    config.backend = "python"
    group = config.instance_group.add(count=IN_FLIGHT + 1)
    group.kind = group.KIND_CPU
    version = repository / "ich_ensemble" / "1"
    version.mkdir(parents=True)
    (version.parent / "config.pbtxt").write_text(text_format.MessageToString(config))
    provenance = f"spec:{released_spec.sha256[:16]} engines:{'e' * 16}"
    model = STAND_IN.replace('PROVENANCE" if', f'{provenance}" if').replace("NOTES", str(notes))
    (version / "model.py").write_text(model)
    with running_server(repository, log_path=folder / "log", stop_deadline_s=0) as server:
        yield server


@pytest.fixture
def make_inputs(notes: Path) -> Callable[..., Tensors]:
    """A series of empty slices; `told` gives what a slice, by its index, tells the stand-in."""

    def inputs(slices: int, told: dict[int, int] | None = None) -> Tensors:
        notes.write_text("")
        hu = np.zeros((slices, 32, 32), dtype=np.int16)
        for index, value in (told or {}).items():
            hu[index] = value
        position_mm = np.arange(slices, dtype=np.float32) * np.float32(5)
        return {"HU": hu, "POSITION_MM": position_mm, "PIXEL_SPACING_MM": np.array([8.0, 8.0])}

    return inputs


def most_at_once(notes: Path) -> int:
    return int(np.cumsum([1 if sign == "+" else -1 for sign in notes.read_text()]).max())


def refusal(ask: Any, inputs: Tensors, server: RunningServer) -> str:
    from tritonclient.utils import InferenceServerException

    with pytest.raises(InferenceServerException) as refused:
        ask("ich_series_unary", inputs, server=server)
    return str(refused.value.message())


def test_a_few_chunks_are_in_flight_and_no_more(
    ask: Any, hear: Any, faulty: RunningServer, make_inputs: Any, notes: Path
) -> None:
    inputs = make_inputs(8 * CHUNK_SLICES)
    heard = hear(inputs, server=faulty)
    assert (heard.error, most_at_once(notes)) == (None, IN_FLIGHT)
    assert heard.slices["SLICE_INDEX"].tolist() == list(range(8 * CHUNK_SLICES))
    notes.write_text("")
    assert len(ask("ich_series_unary", inputs, server=faulty)["SCORE"]) == 8 * CHUNK_SLICES
    assert most_at_once(notes) == IN_FLIGHT


@pytest.mark.parametrize(
    ("hu", "cause"),
    [
        (ERROR_HU, "ich_ensemble refused: the stand-in was told to refuse"),
        (DRIFT_HU, "2 different bundles"),
        (NAN_HU, "not finite"),
        (SHORT_HU, "SCORE"),
    ],
)
def test_one_bad_chunk_ends_the_series_without_a_study_result(
    ask: Any, hear: Any, faulty: RunningServer, make_inputs: Any, notes: Path, hu: int, cause: str
) -> None:
    inputs = make_inputs(12 * CHUNK_SLICES, {CHUNK_SLICES + 3: hu})
    heard = hear(inputs, server=faulty)
    assert cause in heard.error
    assert heard.study is None
    if hu != NAN_HU:  # that one the study model refuses, at the end
        assert len(heard.answers) == 1
        assert notes.read_text().count("+") <= 2 + IN_FLIGHT
    assert cause in refusal(ask, inputs, faulty)
    assert hear(make_inputs(3), server=faulty).study is not None


def test_a_caller_that_hangs_up_frees_the_server(
    hear: Any, faulty: RunningServer, make_inputs: Any, notes: Path
) -> None:
    inputs = make_inputs(20 * CHUNK_SLICES, dict.fromkeys(range(20 * CHUNK_SLICES), SLOW_HU))
    hear(inputs, server=faulty, hang_up_after=1)
    # The next series is heard only when the one before has ended.
    small = {name: values[:1] for name, values in inputs.items() if name != "PIXEL_SPACING_MM"}
    small |= {"HU": small["HU"] * 0, "PIXEL_SPACING_MM": inputs["PIXEL_SPACING_MM"]}
    assert hear(small, server=faulty).study is not None
    assert notes.read_text().count("+") < 10


def test_a_deadline_of_a_unary_caller_frees_the_server(
    ask: Any, faulty: RunningServer, make_inputs: Any, notes: Path
) -> None:
    from tritonclient.utils import InferenceServerException

    inputs = make_inputs(20 * CHUNK_SLICES, dict.fromkeys(range(20 * CHUNK_SLICES), SLOW_HU))
    with pytest.raises(InferenceServerException, match="Deadline"):
        ask("ich_series_unary", inputs, server=faulty, deadline_s=0.8)
    small = {name: values[:1] for name, values in inputs.items() if name != "PIXEL_SPACING_MM"}
    small |= {"HU": small["HU"] * 0, "PIXEL_SPACING_MM": inputs["PIXEL_SPACING_MM"]}
    assert len(ask("ich_series_unary", small, server=faulty)["SCORE"]) == 1
    assert notes.read_text().count("+") < 10


def test_a_full_queue_refuses_the_next_series(
    ask: Any, faulty: RunningServer, make_inputs: Any, notes: Path
) -> None:
    from tritonclient.utils import InferenceServerException

    slow = make_inputs(8 * CHUNK_SLICES, dict.fromkeys(range(8 * CHUNK_SLICES), SLOW_HU))
    quick = {**slow, "HU": slow["HU"][:1] * 0, "POSITION_MM": slow["POSITION_MM"][:1]}
    said: list[str] = []

    def call(inputs: Tensors) -> None:
        try:
            ask("ich_series_unary", inputs, server=faulty)
            said.append("judged")
        except InferenceServerException as error:
            said.append(str(error.message()))

    threads = [threading.Thread(target=call, args=(inputs,)) for inputs in (slow, *[quick] * 13)]
    threads[0].start()
    while not notes.read_text():  # the slow one is being judged
        time.sleep(0.01)
    for thread in threads[1:]:
        thread.start()
    for thread in threads:
        thread.join(60)
    refused = [text for text in said if text != "judged"]
    assert len(said) == 14
    assert all("maximum queue size" in text for text in refused)
    assert 1 <= len(refused) <= 5


def test_a_model_that_died_is_an_error_and_no_waiting(
    ask: Any, hear: Any, faulty: RunningServer, make_inputs: Any
) -> None:
    inputs = make_inputs(3 * CHUNK_SLICES, {CHUNK_SLICES + 3: CRASH_HU})
    heard = hear(inputs, server=faulty)
    assert "ich_ensemble refused" in heard.error
    assert heard.study is None
    assert "ich_ensemble refused" in refusal(ask, inputs, faulty)
