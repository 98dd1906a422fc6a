"""HU -> LOGIT, MASK, BRAIN: one model's engine, run by TensorRT-RTX on the first GPU.

The authors have no GPU: past the refusal to load without one, this file has never been executed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import tensorrt_rtx
import triton_python_backend_utils as pb_utils
from cuda.bindings import runtime as cuda

from ichcore.unjudged import nothing_from_outputs, with_unsound_hu_marked

ENGINE_FILE = "model.rtx"
NUMPY_TYPES = {tensorrt_rtx.DataType.HALF: np.float16, tensorrt_rtx.DataType.FLOAT: np.float32}


class CudaError(RuntimeError):
    """A call of the CUDA runtime that failed."""


class TritonPythonModel:
    """Requests are run one by one, so a slice's score never depends on who else is asking.

    A slice that cannot be judged gets NaN, and the combination refuses it. A member answers with
    no error of its own: where two steps of an ensemble fail on one request, Triton 2.51 was seen
    to answer nobody any more.
    """

    def initialize(self, args: dict[str, str]) -> None:
        """Load the engine that lies in this version's folder, and finish it for this GPU."""
        path = Path(args["model_repository"]) / args["model_version"] / ENGINE_FILE
        self._outputs = json.loads(args["model_config"])["output"]
        try:
            _checked(cuda.cudaSetDevice(0))
            runtime = tensorrt_rtx.Runtime(tensorrt_rtx.Logger(tensorrt_rtx.Logger.ERROR))
            engine = runtime.deserialize_cuda_engine(path.read_bytes())
            if engine is None:
                raise CudaError("the engine is for other GPUs or another TensorRT-RTX")
            self._context = engine.create_execution_context()
            (self._stream,) = _checked(cuda.cudaStreamCreate())
        except (OSError, CudaError, TypeError) as error:
            raise pb_utils.TritonModelException(
                f"TensorRT-RTX cannot load {path}: {error}. It needs an NVIDIA driver and one of "
                f"the GPUs that the record beside it names."
            ) from error
        self._engine, self._runtime = engine, runtime
        self._memory: dict[str, tuple[int, int]] = {}

    def execute(self, requests: list[Any]) -> list[Any]:
        """Run each request's slices and answer in the order of the requests."""
        return [self._response(request) for request in requests]

    def finalize(self) -> None:
        """Give the GPU's memory back."""
        for address, _ in self._memory.values():
            cuda.cudaFree(address)
        cuda.cudaStreamDestroy(self._stream)

    def _response(self, request: Any) -> Any:
        hu = pb_utils.get_input_tensor_by_name(request, "HU").as_numpy()
        try:
            tensors = self._run(np.ascontiguousarray(hu))
        except (CudaError, KeyError, ValueError) as error:
            pb_utils.Logger.log_error(f"TensorRT-RTX could not run HU {hu.shape}: {error}")
            tensors = nothing_from_outputs(self._outputs, len(hu))
        answers = with_unsound_hu_marked(tensors, hu)
        return pb_utils.InferenceResponse(
            [pb_utils.Tensor(name, values) for name, values in answers.items()]
        )

    def _run(self, hu: Any) -> dict[str, Any]:
        """HU [N, S, R, C] to the GPU, through the engine, and its answers back."""
        context, kind = self._context, cuda.cudaMemcpyKind
        if not context.set_input_shape("HU", hu.shape):
            raise ValueError("the engine takes no such shape")
        given = self._buffer("HU", hu.nbytes)
        copy = cuda.cudaMemcpyAsync
        host_to_device, device_to_host = kind.cudaMemcpyHostToDevice, kind.cudaMemcpyDeviceToHost
        _checked(copy(given, hu.ctypes.data, hu.nbytes, host_to_device, self._stream))
        answers = {output["name"]: self._empty(output["name"]) for output in self._outputs}
        for name, values in answers.items():
            self._buffer(name, values.nbytes)
        if not context.execute_async_v3(int(self._stream)):
            raise CudaError("the engine did not start")
        for name, values in answers.items():
            address = self._memory[name][0]
            _checked(copy(values.ctypes.data, address, values.nbytes, device_to_host, self._stream))
        _checked(cuda.cudaStreamSynchronize(self._stream))
        return answers

    def _empty(self, name: str) -> Any:
        dtype = NUMPY_TYPES[self._engine.get_tensor_dtype(name)]
        return np.empty(tuple(self._context.get_tensor_shape(name)), dtype=dtype)

    def _buffer(self, name: str, size: int) -> int:
        """Address of at least `size` bytes on the GPU, told to the engine as the tensor's."""
        address, held = self._memory.get(name, (0, 0))
        if held < size:
            if held:
                _checked(cuda.cudaFree(address))
                del self._memory[name]
            (address,) = _checked(cuda.cudaMalloc(size))
            self._memory[name] = (address, size)
        self._context.set_tensor_address(name, int(address))
        return int(address)


def _checked(answer: tuple[Any, ...]) -> tuple[Any, ...]:
    """What a call of the CUDA runtime gives beside its status; raises `CudaError` otherwise."""
    status, *values = answer
    if status != cuda.cudaError_t.cudaSuccess:
        raise CudaError(f"the CUDA runtime says {status.name}")
    return tuple(values)
