"""ONNX -> the graph that Triton's ONNX Runtime backend serves, in f32."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from ichexport.audit import layers_from_onnx
from ichexport.engines import Runner, onnxruntime_from_onnx
from ichexport.errors import IchExportError
from ichexport.routes.route import Built, Source
from ichexport.targets import ONNX_FILE


@dataclass(frozen=True)
class Options:
    """The released graph serves as it is; ONNX Runtime has no faster type on a processor."""

    target: ClassVar[str] = "onnxruntime"
    libraries: ClassVar[tuple[str, ...]] = ("onnxruntime",)
    engine_file: ClassVar[str] = ONNX_FILE
    graph_precision: ClassVar[str] = "f32"
    precision: str = "f32"

    def __post_init__(self) -> None:
        """Refuse what ONNX Runtime does not calculate in on a processor."""
        if self.precision != "f32":
            raise IchExportError(
                f"The target onnxruntime runs the released graph in f32, not in {self.precision}."
            )


def build(source: Source, folder: Path, options: Options) -> Built:
    """Take the graph as it is, once ONNX Runtime has loaded it."""
    onnxruntime_from_onnx(source.graph)
    return Built(source.graph, layers_from_onnx(source.graph), "the released graph")


def run(engine: Path, options: Options) -> Runner:
    """Run it on the processor."""
    return onnxruntime_from_onnx(engine)
