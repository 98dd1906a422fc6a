"""What every route takes and gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from ichexport.engines import Runner
from ichexport.members import Member


@dataclass(frozen=True)
class Source:
    """A released model: its ONNX graph in the type the route takes, and its torch module.

    `member` reads the module when it is called, and is None for a graph of several members.
    `calibration` is HU float16 [n, S, R, C], whole HU in [-1024, 2047].
    """

    model: str
    graph: Path
    member: Callable[[], Member] | None
    calibration: NDArray[np.float16]


@dataclass(frozen=True)
class Built:
    """An engine file and what is known of it.

    `layers` counts the layers that carry weights (convolutions, matrix products) by type of
    arithmetic, `f32`, `f16`, `bf16`, `int8` or `fp8`; `read_from` says what was asked.
    """

    engine: Path
    layers: Mapping[str, int]
    read_from: str
    device: Mapping[str, Any] = field(default_factory=dict)
    build_seconds: float = 0.0
    """What the build took when it was made, which a cache may have kept."""


class RouteOptions(Protocol):
    """What the options of every route, frozen dataclasses, can say of themselves."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]
    target: ClassVar[str]
    libraries: ClassVar[tuple[str, ...]]
    """Distributions whose versions the engine depends on."""

    @property
    def precision(self) -> str:
        """The type of arithmetic that was asked for."""
        ...

    @property
    def graph_precision(self) -> str:
        """The type of the graph that the route takes; `f32` is the released one."""
        ...

    @property
    def engine_file(self) -> str:
        """Name of the engine in a version folder."""
        ...


class Route(Protocol):
    """A module of this package."""

    def build(self, source: Source, folder: Path, options: Any) -> Built:
        """Write the engine into `folder`; raises `IchExportError` naming what stands in the way."""
        ...

    def run(self, engine: Path, options: Any) -> Runner:
        """The engine as a runner; raises `CannotRunHere` with the reason."""
        ...
