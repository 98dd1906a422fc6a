"""What Triton's Python backend gives a model, as far as the models of the bundle use it.

The same models are tested under the real server too; here they can be looked at from inside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray


class TritonModelException(Exception):
    """Raised by a model that refuses to load."""


class TritonError:
    """Why a request has no answer."""

    def __init__(self, message: str) -> None:
        self._message = message

    def message(self) -> str:
        return self._message


class Tensor:
    """A named array; like the real one it takes arrays alone."""

    def __init__(self, name: str, values: NDArray[np.generic]) -> None:
        if not isinstance(values, np.ndarray):
            raise TypeError(f"{name} is {type(values).__name__}, no numpy array")
        self._name, self._values = name, values

    def name(self) -> str:
        return self._name

    def as_numpy(self) -> NDArray[np.generic]:
        return self._values


class InferenceRequest:
    """What a client sent; an optional input may be absent."""

    def __init__(self, values: Mapping[str, NDArray[np.generic]]) -> None:
        self._tensors = {name: Tensor(name, value) for name, value in values.items()}

    def tensor(self, name: str) -> Tensor | None:
        return self._tensors.get(name)


class InferenceResponse:
    """Output tensors, or an error."""

    def __init__(
        self, output_tensors: Sequence[Tensor] = (), error: TritonError | None = None
    ) -> None:
        self._tensors, self._error = tuple(output_tensors), error

    def has_error(self) -> bool:
        return self._error is not None

    def error(self) -> TritonError | None:
        return self._error

    def output_tensors(self) -> tuple[Tensor, ...]:
        return self._tensors


def get_input_tensor_by_name(request: InferenceRequest, name: str) -> Tensor | None:
    """The input of that name, or None, as the real function has it."""
    return request.tensor(name)


def triton_string_to_numpy(name: str) -> type[np.generic]:
    """Numpy's type for a type of `config.pbtxt`."""
    return {"TYPE_FP16": np.float16, "TYPE_FP32": np.float32}[name]


class Logger:
    """The server's log, kept for a test to read."""

    errors: ClassVar[list[str]] = []
    warnings: ClassVar[list[str]] = []

    @classmethod
    def log_warn(cls, message: str) -> None:
        cls.warnings.append(message)

    @classmethod
    def log_error(cls, message: str) -> None:
        cls.errors.append(message)


class Metric:
    """One value of a family."""

    def __init__(self, labels: Mapping[str, str]) -> None:
        self.labels, self.value = dict(labels), 0.0

    def increment(self, by: float) -> None:
        self.value += by

    def set(self, value: float) -> None:
        self.value = value


class MetricFamily:
    """Metrics of one name; `broken` makes the server one without metrics."""

    COUNTER, GAUGE = "counter", "gauge"
    every: ClassVar[list[MetricFamily]] = []
    broken: ClassVar[bool] = False

    def __init__(self, name: str, description: str, kind: str) -> None:
        if self.broken:
            raise TritonModelException("metrics are disabled")
        self.name, self.kind, self.metrics = name, kind, list[Metric]()
        self.every.append(self)

    def Metric(self, labels: Mapping[str, str]) -> Metric:  # noqa: N802 - Triton's name
        self.metrics.append(Metric(labels))
        return self.metrics[-1]
