"""ONNX graph -> runner: one function per runtime, each `hu -> {output name: array}`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ichcore import MemberOutputs, NoSlicesError
from ichexport.errors import MissingExtra

Runner = Callable[[NDArray[np.float16]], dict[str, NDArray[np.generic]]]
"""HU float16 [N, S, R, C] -> LOGIT, MASK and BRAIN by name."""


CHUNK_SLICES = 8
"""Slices that are run at once where a whole series would not fit into memory."""


def outputs_from_runner(
    run: Runner, hu: NDArray[np.float16], chunk_slices: int = CHUNK_SLICES
) -> MemberOutputs:
    """LOGIT, and MASK and BRAIN where a member has them, of HU [n, S, R, C], run in chunks."""
    whole = tensors_from_runner(run, hu, chunk_slices)
    return MemberOutputs(whole["LOGIT"], whole.get("MASK"), whole.get("BRAIN"))


def tensors_from_runner(
    run: Runner, hu: NDArray[np.float16], chunk_slices: int = CHUNK_SLICES
) -> dict[str, NDArray[np.generic]]:
    """Every output of HU [n, S, R, C], run in chunks; raises `NoSlicesError` without a slice."""
    if len(hu) == 0:
        raise NoSlicesError("No slices were given to run.")
    parts = [run(hu[start : start + chunk_slices]) for start in range(0, len(hu), chunk_slices)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def onnxruntime_from_onnx(path: Path) -> Runner:
    """Run a graph with ONNX Runtime on the processor."""
    try:
        import onnxruntime
    except ImportError as error:
        raise _missing("ONNX Runtime") from error
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def run(hu: NDArray[np.float16]) -> dict[str, NDArray[np.generic]]:
        return dict(zip(names, session.run(names, {"HU": hu}), strict=True))

    return run


def optimised_by_onnxruntime(path: Path, optimised: Path) -> None:
    """Write the graph as ONNX Runtime calculates it on this processor."""
    try:
        import onnxruntime
    except ImportError as error:
        raise _missing("ONNX Runtime") from error
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(optimised)
    options.log_severity_level = 3  # it warns that the file is for this processor alone
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def openvino_from_onnx(path: Path, precision: str = "f32") -> Runner:
    """Run a graph with OpenVINO on the processor, in `f32`, `bf16` or, with Q/DQ, `int8`."""
    engine = compiled_by_openvino(path, precision)

    def run(hu: NDArray[np.float16]) -> dict[str, NDArray[np.generic]]:
        results = engine([hu])
        return {name: results[name] for name in (port.any_name for port in engine.outputs)}

    return run


def compiled_by_openvino(path: Path, precision: str) -> Any:
    """A graph compiled for the processor; raises `MissingExtra` without OpenVINO."""
    # Q/DQ say what is calculated in INT8; the hint is for the rest.
    hint = "f32" if precision == "int8" else precision
    return _openvino_core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": hint})


def openvino_has_bf16() -> bool:
    """Whether this processor calculates in bf16."""
    return "BF16" in _openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


@functools.cache
def _openvino_core() -> Any:
    """One for the life of the process: its plugin must never be unloaded.

    The processor's plugin gives the thread that loads it a signal stack of its own. Unloaded by
    another thread (the last engine freed there), it leaves the first with a stack that is gone,
    and the next signal with a handler, Ctrl-C or a child's end, ends the process in a
    segmentation fault (seen with OpenVINO 2026.4).
    """
    try:
        import openvino
    except ImportError as error:
        raise _missing("OpenVINO") from error
    return openvino.Core()


def _missing(library: str) -> MissingExtra:
    return MissingExtra(f"{library} is not installed; run: pip install 'ich-triton[export]'")
