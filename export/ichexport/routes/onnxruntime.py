"""ONNX -> the graph that Triton's ONNX Runtime backend serves, in f32 or int8."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from ichexport.audit import layers_from_onnxruntime
from ichexport.engines import Runner, onnxruntime_from_onnx
from ichexport.errors import IchExportError
from ichexport.routes.route import Built, Source
from ichexport.targets import ONNX_FILE, ONNXRUNTIME_INT8_FILE

PRECISIONS = ("f32", "int8")


@dataclass(frozen=True)
class Options:
    """In f32 the released graph serves as it is; in int8 a graph of its own."""

    target: ClassVar[str] = "onnxruntime"
    libraries: ClassVar[tuple[str, ...]] = ("onnxruntime",)
    precision: str = "f32"

    def __post_init__(self) -> None:
        """Refuse what ONNX Runtime does not calculate in on a processor."""
        if self.precision not in PRECISIONS:
            raise IchExportError(
                f"The target onnxruntime calculates in {', '.join(PRECISIONS)}, "
                f"not in {self.precision}."
            )

    @property
    def graph_precision(self) -> str:
        """The type of the graph that is served."""
        return self.precision

    @property
    def engine_file(self) -> str:
        """The released graph, or the quantised one."""
        return ONNXRUNTIME_INT8_FILE if self.precision == "int8" else ONNX_FILE


def build(source: Source, folder: Path, options: Options) -> Built:
    """Take the graph as it is, once ONNX Runtime has loaded it and told what it makes of it."""
    layers = layers_from_onnxruntime(source.graph)
    return Built(source.graph, layers, "the graph that ONNX Runtime optimised")


def run(engine: Path, options: Options) -> Runner:
    """Run it on the processor."""
    return onnxruntime_from_onnx(engine)
