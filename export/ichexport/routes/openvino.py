"""ONNX -> what the embedded server runs: OpenVINO on the processor, in f32, bf16 or int8."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from ichexport.audit import layers_from_openvino
from ichexport.engines import Runner, openvino_from_onnx, openvino_has_bf16
from ichexport.errors import CannotRunHere, IchExportError
from ichexport.routes.route import Built, Source
from ichexport.targets import INT8_FILE, ONNX_FILE

PRECISIONS = ("f32", "bf16", "int8")


@dataclass(frozen=True)
class Options:
    """In f32 and bf16 the released graph serves as it is; OpenVINO converts when it loads it.

    In int8 a graph of its own says which layers are quantised, and how.
    """

    target: ClassVar[str] = "openvino"
    libraries: ClassVar[tuple[str, ...]] = ("openvino",)
    precision: str = "bf16"

    def __post_init__(self) -> None:
        """Refuse a type that OpenVINO's processor plugin does not calculate in."""
        if self.precision not in PRECISIONS:
            raise IchExportError(
                f"The target openvino calculates in {', '.join(PRECISIONS)}, "
                f"not in {self.precision}."
            )

    @property
    def graph_precision(self) -> str:
        """The type of the graph that is compiled."""
        return "int8" if self.precision == "int8" else "f32"

    @property
    def engine_file(self) -> str:
        """The released graph, or the quantised one."""
        return INT8_FILE if self.precision == "int8" else ONNX_FILE


def build(source: Source, folder: Path, options: Options) -> Built:
    """Compile the graph, and read back the type of every layer.

    Raises `CannotRunHere` in bf16 on a processor that does not calculate in it.
    """
    if options.precision == "bf16" and not openvino_has_bf16():
        raise CannotRunHere("this processor does not calculate in bf16")
    layers = layers_from_openvino(source.graph, options.precision)
    return Built(source.graph, layers, "the compiled model")


def run(engine: Path, options: Options) -> Runner:
    """Run it on the processor."""
    return openvino_from_onnx(engine, options.precision)
