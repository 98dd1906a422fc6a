"""TensorRT and TensorRT-RTX as Python modules of one interface, each with its log kept."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

from ichexport.errors import MissingExtra

_NO_NEWS = ("Thread context has not been set", "is unsupported in TensorRT-RTX")
"""What TensorRT-RTX complains of in builds that go well."""


class Library(NamedTuple):
    """One of the two; `log` is its one logger, since a process can register no second."""

    name: str
    module: Any
    log: Any


@cache
def tensorrt() -> Library:
    """TensorRT 10 or 11; raises `MissingExtra` where it is not installed."""
    try:
        import tensorrt as module
    except (ImportError, OSError) as error:  # its own libraries come as files that may be absent
        raise _missing("TensorRT", "tensorrt", error) from error
    return Library("TensorRT", module, _log(module))


@cache
def tensorrt_rtx() -> Library:
    """TensorRT-RTX; raises `MissingExtra` where it is not installed."""
    try:
        import tensorrt_rtx as module
    except (ImportError, OSError) as error:
        raise _missing("TensorRT-RTX", "tensorrt-rtx", error) from error
    return Library("TensorRT-RTX", module, _log(module))


def _log(module: Any) -> Any:
    # Which module it is shows when it runs, so its classes have no type to check against.
    class Log(module.ILogger):  # type: ignore[misc]
        """Keeps errors as lines; a failure's message tells them."""

        def __init__(self) -> None:
            module.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            """Called by the library for each line."""
            if severity <= module.ILogger.ERROR and not any(text in message for text in _NO_NEWS):
                self.errors.append(" ".join(message.split()))

        def told(self) -> str:
            """All errors since the last call as one text."""
            text, self.errors = " | ".join(self.errors) or "it said nothing", []
            return text

    return Log()


def _missing(name: str, extra: str, error: Exception) -> MissingExtra:
    return MissingExtra(
        f"{name} is not installed ({error}); run: pip install 'ich-triton[{extra}]'"
    )
