"""Two runtimes on the same slices: figures where they agree, a refusal where they do not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from ichcore import EnsembleSpec
from ichexport.engines import Runner, onnxruntime_from_onnx, openvino_from_onnx
from ichexport.errors import ParityError
from ichexport.gate import Reference, limits_of
from ichexport.members import Member
from ichexport.parity import parity_from_runners, torch_from_member
from ichexport.studies import Studies

HU = NDArray[np.float16]
RUNTIMES = [onnxruntime_from_onnx, openvino_from_onnx]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_runtimes_say_what_torch_says(
    small_member: Member, small_graph: Path, small_hu: HU, runtime: Callable[[Path], Runner]
) -> None:
    reference = torch_from_member(small_member)
    figures = parity_from_runners(reference, runtime(small_graph), small_hu)
    assert figures.slices == len(small_hu)
    assert figures.largest_logit_difference <= figures.tolerance == 1e-3
    assert figures.largest_mask_difference <= 1e-3
    assert np.ptp(np.asarray(reference(small_hu)["LOGIT"], dtype=np.float32)) > 1e-3


@pytest.mark.parametrize("name", ["ich_any", "ich_sdh", "ich_sah", "ich_small"])
def test_runtimes_agree_on_committed_members(
    bundle: Path, make_hu: Callable[..., HU], released_spec: EnsembleSpec, name: str
) -> None:
    graph = bundle / name / "1" / "model.onnx"
    hu = make_hu(released_spec.grid, slices=2, seed=4)
    parity_from_runners(onnxruntime_from_onnx(graph), openvino_from_onnx(graph), hu)


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("what", ["head", "encoder"])
def test_a_perturbed_graph_is_refused(
    small_member: Member,
    small_graph: Path,
    small_hu: HU,
    tmp_path: Path,
    runtime: Callable[[Path], Runner],
    what: str,
) -> None:
    model = onnx.load(small_graph)
    initializer = next(
        tensor
        for tensor in model.graph.initializer
        if tensor.name.startswith(what) and tensor.data_type == onnx.TensorProto.FLOAT16
    )
    values = numpy_helper.to_array(initializer) * np.float16(1.05)
    initializer.CopyFrom(numpy_helper.from_array(values, initializer.name))
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(ParityError, match=r"differs from its weights.*0\.001 is allowed"):
        parity_from_runners(
            torch_from_member(small_member), runtime(tmp_path / "model.onnx"), small_hu
        )


def answering(**changes: NDArray[np.float32] | None) -> Runner:
    """A runner that answers zeros, with outputs replaced, or left out where None."""

    def run(hu: HU) -> dict[str, NDArray[np.generic]]:
        outputs: dict[str, NDArray[np.float32] | None] = {
            "LOGIT": np.zeros((len(hu), 1), np.float32),
            "MASK": np.zeros((len(hu), 4, 4), np.float32),
            **changes,
        }
        return {name: values for name, values in outputs.items() if values is not None}

    return run


def filled(shape: tuple[int, ...], value: float) -> NDArray[np.float32]:
    return np.full(shape, value, dtype=np.float32)


@pytest.mark.parametrize(
    "candidate",
    [
        answering(LOGIT=filled((2, 1), np.nan)),
        answering(MASK=filled((2, 4, 4), np.nan)),
        answering(LOGIT=filled((2, 1), np.inf)),
        answering(LOGIT=filled((2, 1), 0.002)),
        answering(MASK=filled((2, 4, 4), -0.002)),
        answering(MASK=filled((2, 4, 2), 0.0)),
        answering(MASK=None),
        answering(BRAIN=filled((2, 4, 4), 0.0)),
    ],
    ids=["nan logit", "nan mask", "inf", "logit", "mask", "shape", "missing", "more"],
)
def test_other_answers_are_refused(candidate: Runner) -> None:
    hu = np.zeros((2, 1, 8, 8), dtype=np.float16)
    with pytest.raises(ParityError):
        parity_from_runners(answering(), candidate, hu)


def test_infinity_on_both_sides_is_refused() -> None:
    endless = answering(LOGIT=filled((2, 1), np.inf))
    with pytest.raises(ParityError):
        parity_from_runners(endless, endless, np.zeros((2, 1, 8, 8), dtype=np.float16))


def test_a_difference_in_a_later_chunk_is_seen() -> None:
    def last_slice_differs(hu: HU) -> dict[str, NDArray[np.generic]]:
        outputs = answering()(hu)
        return {**outputs, "LOGIT": np.asarray(hu[:, 0, :1, 0], dtype=np.float32)}

    hu = np.zeros((20, 1, 8, 8), dtype=np.float16)
    assert parity_from_runners(answering(), last_slice_differs, hu).slices == 20
    hu[-1] = 1
    with pytest.raises(ParityError, match="differs from its weights by 1 in LOGIT"):
        parity_from_runners(answering(), last_slice_differs, hu)


def test_no_slices_prove_nothing() -> None:
    with pytest.raises(ParityError, match="No slices"):
        parity_from_runners(answering(), answering(), np.zeros((0, 1, 8, 8), dtype=np.float16))


def test_an_auc_is_judged_no_finer_than_one_pair_of_studies(
    run: Any, small_graph: Path, small_hu: HU
) -> None:
    truth = np.array([True, False, False, True, False])
    studies = Studies(small_hu, np.arange(5), np.zeros(5, np.float32), truth)
    runner = onnxruntime_from_onnx(small_graph)
    reference = Reference({"ich_any": runner}, run.spec, studies)
    found = reference.difference(reference.with_member("ich_any", runner), "int8")
    assert found.limits.auc == pytest.approx(1 / 6)
    assert found.limits.score == 5 * limits_of("bf16").score
    assert limits_of("f32").score < limits_of("f16").score
