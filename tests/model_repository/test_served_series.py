"""`ich_series` and its twin under the real Triton: what the client's own way says, in one call."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ichcore import SliceScores, StudyScore, byte_mask_from_grid
from ichcore.items import CHUNK_SLICES

if TYPE_CHECKING:
    from ichclient.process import RunningServer
    from ichclient.stream import Judged

pytestmark = pytest.mark.triton

Tensors = dict[str, NDArray[np.generic]]
Ask = Callable[..., Tensors]
Hear = Callable[..., Any]


@dataclass(frozen=True)
class Case:
    """A series as an integrator has it, and what the client says of it on the same server."""

    inputs: Tensors
    judged: Judged
    study: StudyScore


def case_from_folder(folder: Path, served: RunningServer) -> Case:
    from ichclient.hounsfield import hu_slices_from_series
    from ichclient.infer import study_from_path
    from ichclient.stream import Chunks, judged_from_chunks
    from ichclient.transport import TritonTransport

    series = study_from_path(folder).series
    slices = list(hu_slices_from_series(series))
    position_mm = np.asarray(series.positions_mm, dtype=np.float32)
    hu = np.stack([one.hu for one in slices])
    np.testing.assert_array_equal(hu, np.rint(hu))  # INT16 holds them
    spacing_mm = (slices[0].row_spacing_mm, slices[0].column_spacing_mm)
    inputs = {
        "HU": hu.astype(np.int16),
        "POSITION_MM": position_mm,
        "PIXEL_SPACING_MM": np.array(spacing_mm, dtype=np.float64),
    }
    with TritonTransport(served.url, model="ich_ensemble") as transport:
        judged = judged_from_chunks(Chunks(slices, transport.metadata().grid), transport)
        values = (judged.score, judged.member_scores, judged.lesion_mm2, judged.brain_mm2)
        study = transport.study(SliceScores(*values, position_mm, judged.provenance))
    return Case(inputs, judged, study)


@pytest.fixture(scope="module")
def phantom(checkout: Path, served: RunningServer) -> Case:
    """The study of the README."""
    return case_from_folder(checkout / "examples" / "phantom-sdh", served)


def assert_as_the_client_says(slices: Tensors, study: Tensors, case: Case) -> None:
    """Bit for bit."""
    judged = case.judged
    for name in ("SCORE", "MEMBER_SCORES", "LESION_MM2", "BRAIN_MM2"):
        np.testing.assert_array_equal(slices[name], getattr(judged, name.lower()), err_msg=name)
    assert slices["SLICE_INDEX"].tolist() == list(range(len(judged.score)))
    masks = zip(judged.mask, judged.placements, strict=True)
    for found, (mask, placement) in zip(slices["MASK"], masks, strict=True):
        np.testing.assert_array_equal(found, byte_mask_from_grid(mask, placement, judged.grid))
    wanted = case.study
    assert study["STUDY_SCORE"].tolist() == [wanted.score]
    assert study["STUDY_MEMBER_SCORES"].tolist() == list(wanted.member_scores)
    assert study["LESION_VOLUME_ML"].tolist() == [wanted.lesion_volume_ml]
    assert study["COVERAGE_MM"].tolist() == [wanted.coverage_mm]
    assert study["TOP_SLICES"].tolist() == list(wanted.top_slices)
    decisions = zip(study["OPERATING_POINT"], study["DECISION"], strict=True)
    assert tuple((p.decode(), d.decode()) for p, d in decisions) == wanted.decisions
    assert study["PROVENANCE"].tolist() == [wanted.provenance.encode()]


def test_the_stream_says_what_the_client_says(hear: Hear, phantom: Case) -> None:
    heard = hear(phantom.inputs)
    assert heard.error is None
    sizes = [len(answer["SCORE"]) for answer in heard.answers[:-1]]
    assert sizes == [CHUNK_SLICES] * 3
    assert heard.answers[-1] is heard.study
    assert {answer["PROVENANCE"][0] for answer in heard.answers} == {
        phantom.study.provenance.encode()
    }
    assert_as_the_client_says(heard.slices, heard.study, phantom)
    assert heard.slices["MASK"].max() > 200  # the phantom bleeds


def test_the_unary_twin_says_it_too(ask: Ask, phantom: Case) -> None:
    answer = ask("ich_series_unary", phantom.inputs)
    assert_as_the_client_says(answer, answer, phantom)


def test_a_real_head_comes_out_as_the_client_has_it(
    ask: Ask, hear: Hear, served: RunningServer, head_ct_ge: Path
) -> None:
    case = case_from_folder(head_ct_ge, served)
    heard = hear(case.inputs)
    assert heard.error is None
    assert_as_the_client_says(heard.slices, heard.study, case)
    answer = ask("ich_series_unary", case.inputs)
    assert_as_the_client_says(answer, answer, case)


def test_http_is_answered_by_the_unary_twin(served: RunningServer, phantom: Case) -> None:
    from tritonclient import http

    tensors = []
    for name, data_type in (("HU", "INT16"), ("POSITION_MM", "FP32"), ("PIXEL_SPACING_MM", "FP64")):
        tensor = http.InferInput(name, phantom.inputs[name].shape, data_type)
        tensors.append(tensor.set_data_from_numpy(phantom.inputs[name]))
    names = ("SCORE", "STUDY_SCORE", "DECISION")
    outputs = [http.InferRequestedOutput(name) for name in names]
    assert served.http_url is not None
    with http.InferenceServerClient(served.http_url) as client:
        answer = client.infer("ich_series_unary", tensors, outputs=outputs)
    assert {output["name"] for output in answer.get_response()["outputs"]} == set(names)
    np.testing.assert_array_equal(answer.as_numpy("SCORE"), phantom.judged.score)
    assert answer.as_numpy("STUDY_SCORE").tolist() == [phantom.study.score]


def test_the_stream_says_no_more_than_was_asked_for(hear: Hear, phantom: Case) -> None:
    heard = hear(phantom.inputs, outputs=("SCORE", "STUDY_SCORE"))
    assert [set(answer) for answer in heard.answers] == [{"SCORE"}] * 3 + [{"STUDY_SCORE"}]


def test_the_example_says_what_its_head_lines_say(served: RunningServer, checkout: Path) -> None:
    script = checkout / "examples" / "series_call.py"
    ran = subprocess.run(
        [sys.executable, "-I", str(script), served.url], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    number = re.compile(r"\d+\.\d+")
    _, _, promised = ast.get_docstring(ast.parse(script.read_text())).partition("8001\n\n")
    lines = [line.strip() for line in promised.partition("\n\n")[0].splitlines()]
    told = ran.stdout.splitlines()
    assert [number.sub("#", line) for line in told] == [number.sub("#", line) for line in lines]
    for line, wanted in zip(told, lines, strict=True):
        for found, meant in zip(number.findall(line), number.findall(wanted), strict=True):
            # bf16 and f32 differ by this much; a volume by a few pixels.
            assert float(found) == pytest.approx(float(meant), abs=0.02, rel=0.02), line


def _falling(inputs: Tensors) -> Tensors:
    return {**inputs, "POSITION_MM": inputs["POSITION_MM"][::-1]}


def _with(name: str, values: Any) -> Callable[[Tensors], Tensors]:
    return lambda inputs: {**inputs, name: np.asarray(values, dtype=inputs[name].dtype)}


def _many(inputs: Tensors) -> Tensors:
    hu, position_mm = np.zeros((401, 8, 8), dtype=np.int16), np.arange(401, dtype=np.float32)
    return {**inputs, "HU": hu, "POSITION_MM": position_mm}


@pytest.mark.parametrize(
    ("spoil", "cause"),
    [
        pytest.param(_falling, "must rise", id="positions-fall"),
        pytest.param(_with("POSITION_MM", np.full(24, np.nan)), "not finite", id="position-nan"),
        pytest.param(_with("POSITION_MM", np.arange(23)), "(24,)", id="positions-too-few"),
        pytest.param(_with("PIXEL_SPACING_MM", [0, 1]), "Pixel spacing", id="no-spacing"),
        pytest.param(_with("PIXEL_SPACING_MM", [np.inf, 1]), "not finite", id="spacing-inf"),
        pytest.param(_with("PIXEL_SPACING_MM", [1, 1, 1]), "PIXEL_SPACING_MM", id="three-spacings"),
        pytest.param(_with("HU", np.zeros((24, 0, 8))), "0 x 8 pixels", id="no-pixels"),
        pytest.param(_with("HU", np.zeros((24, 8))), "HU", id="hu-flat"),
        pytest.param(_many, "401 slices", id="too-many"),
        pytest.param(
            lambda inputs: {**inputs, "HU": inputs["HU"].astype(np.float32)}, "INT16", id="hu-fp32"
        ),
        pytest.param(
            lambda inputs: {n: v for n, v in inputs.items() if n != "POSITION_MM"},
            "POSITION_MM",
            id="no-positions",
        ),
    ],
)
def test_what_is_no_series_is_one_sentence_of_both_twins(
    ask: Ask, hear: Hear, phantom: Case, spoil: Callable[[Tensors], Tensors], cause: str
) -> None:
    from tritonclient.utils import InferenceServerException

    inputs = spoil(phantom.inputs)
    with pytest.raises(InferenceServerException) as refused:
        ask("ich_series_unary", inputs)
    heard = hear(inputs)
    for message in (str(refused.value.message()), heard.error):
        assert cause in message
        assert "Traceback" not in message
        assert "\n" not in message.strip()
    assert heard.answers == []


def test_no_slices_are_refused_and_the_server_goes_on(ask: Ask, hear: Hear, phantom: Case) -> None:
    none = {**phantom.inputs, "HU": phantom.inputs["HU"][:0], "POSITION_MM": np.zeros(0, "f4")}
    assert "no slices" in hear(none).error
    assert hear(phantom.inputs).study["STUDY_SCORE"].tolist() == [phantom.study.score]
    answer = ask("ich_series_unary", phantom.inputs)
    assert answer["STUDY_SCORE"].tolist() == [phantom.study.score]


def test_load_and_cancellation_leave_every_other_answer_whole(
    ask: Ask, hear: Hear, phantom: Case
) -> None:
    from tritonclient.utils import InferenceServerException

    few = {name: phantom.inputs[name][:12] for name in ("HU", "POSITION_MM")}
    inputs = {**few, "PIXEL_SPACING_MM": phantom.inputs["PIXEL_SPACING_MM"]}
    alone = ask("ich_series_unary", inputs)
    wrong: list[str] = []

    def check(found: Tensors, name: str) -> None:
        if found[name].tolist() != alone[name].tolist():
            wrong.append(f"{name} is {found[name].tolist()}")

    def stream(hang_up_after: int | None) -> None:
        for _ in range(3):
            heard = hear(inputs, outputs=("SCORE", "STUDY_SCORE"), hang_up_after=hang_up_after)
            if hang_up_after is None:
                check(heard.slices, "SCORE")
                check(heard.study, "STUDY_SCORE")

    def unary(deadline_s: float) -> None:
        for _ in range(3):
            try:
                answer = ask("ich_series_unary", inputs, deadline_s=deadline_s)
            except InferenceServerException as error:
                if deadline_s > 1:
                    wrong.append(str(error))
            else:
                check(answer, "STUDY_SCORE")

    calls: list[tuple[Callable[[Any], None], Any]] = [
        *((stream, after) for after in (None, None, 0, 1)),
        *((unary, deadline_s) for deadline_s in (60, 0.05, 0.3)),
    ]
    threads = [threading.Thread(target=call, args=(argument,)) for call, argument in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not any(thread.is_alive() for thread in threads)
    assert wrong == []
    assert hear(inputs).study["STUDY_SCORE"].tolist() == alone["STUDY_SCORE"].tolist()


def test_a_server_for_one_study_does_without_the_series_models(
    served: RunningServer, tmp_path: Path
) -> None:
    from ichclient.connect import ServerOptions, proven_server

    log_path = tmp_path / "triton.log"
    with proven_server(ServerOptions(log_path=log_path)):
        pass
    loaded = "successfully loaded '{}'"
    assert loaded.format("ich_study") in log_path.read_text()
    assert "ich_series" not in log_path.read_text()
    assert loaded.format("ich_series") in served.log_path.read_text()
