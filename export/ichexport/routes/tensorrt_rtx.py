"""ONNX -> engine of TensorRT-RTX, which a workstation's own GPU finishes when it loads it.

Ahead-of-time builds need no GPU, and tests make them for every encoder. To load and run such an
engine takes one that TensorRT-RTX covers, which its authors do not have: an H200 refused it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from ichcore.wire import MAX_BATCH_SIZE
from ichexport.engines import Runner
from ichexport.errors import CannotRunHere, IchExportError
from ichexport.plan_runner import gpu_here, runner_from_plan
from ichexport.plans import Batch, plan_from_onnx
from ichexport.routes.route import Built, Source
from ichexport.routes.tensorrt import refuse_other_batch, refuse_other_level
from ichexport.targets import RTX_FILE
from ichexport.tensorrt_library import tensorrt_rtx

CAPABILITIES = {
    "f32": ("8.6", "8.9", "12.0", "12.1"),
    "f16": ("7.5", "8.6", "8.9", "12.0", "12.1"),
    "bf16": ("8.6", "8.9", "12.0", "12.1"),
    "int8": ("7.5", "8.6", "8.9", "12.0", "12.1"),
    "fp8": ("8.9", "12.0", "12.1"),
}
"""Compute capabilities that TensorRT-RTX 1.7 covers, by what they calculate in.

RTX 20, 30, 40 and 50 and the DGX Spark. The builder itself refuses FP8 and BF16 for 7.5, and the
matrix product of a weak member in FP32. INT8 convolutions built with 1.7.1; whether they do was
seen to depend on the release.
"""


@dataclass(frozen=True)
class Options:
    """`compute_capabilities` are the GPUs the engine is for; all that are covered if empty."""

    target: ClassVar[str] = "tensorrt-rtx"
    libraries: ClassVar[tuple[str, ...]] = ("tensorrt-rtx-cu13", "tensorrt-rtx-cu12")
    engine_file: ClassVar[str] = RTX_FILE
    precision: str = "f16"
    batch: Batch = (1, 8, MAX_BATCH_SIZE)
    builder_optimisation_level: int = 3
    compute_capabilities: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a type or a GPU that TensorRT-RTX has no build for."""
        if self.precision not in CAPABILITIES:
            raise IchExportError(
                f"The target tensorrt-rtx calculates in {', '.join(CAPABILITIES)}, "
                f"not in {self.precision}."
            )
        refuse_other_batch(self.batch)
        refuse_other_level(self.builder_optimisation_level)
        covered = CAPABILITIES[self.precision]
        for capability in self.compute_capabilities:
            if capability not in covered:
                raise IchExportError(
                    f"TensorRT-RTX covers the compute capabilities {', '.join(covered)} in "
                    f"{self.precision}, not {capability}; for data-centre GPUs build for the "
                    "target tensorrt."
                )

    @property
    def graph_precision(self) -> str:
        """Networks are strongly typed, so the graph says what the engine calculates in."""
        return self.precision

    @property
    def covered(self) -> tuple[str, ...]:
        """The compute capabilities that the engine is for."""
        return self.compute_capabilities or CAPABILITIES[self.precision]


def build(source: Source, folder: Path, options: Options) -> Built:
    """Build the graph ahead of time; no GPU is needed."""

    def configure(module: Any, config: Any) -> None:
        config.builder_optimization_level = options.builder_optimisation_level
        config.num_compute_capabilities = len(options.covered)
        for index, capability in enumerate(options.covered):
            name = f"SM{capability.replace('.', '')}"
            config.set_compute_capability(getattr(module.ComputeCapability, name), index)

    library = tensorrt_rtx()
    plan = plan_from_onnx(library, source, options.precision, options.batch, configure)
    path = folder / RTX_FILE
    path.write_bytes(plan.content)
    device = {"compute_capabilities": list(options.covered)}
    return Built(path, plan.layers, "the parsed network", device)


def run(engine: Path, options: Options) -> Runner:
    """Run it on the GPU, where that is one of those the engine is for."""
    here = gpu_here()
    if here["compute_capability"] not in options.covered:
        raise CannotRunHere(
            f"{here['gpu']} has compute capability {here['compute_capability']}, and the engine "
            f"is for {', '.join(options.covered)}"
        )
    return runner_from_plan(tensorrt_rtx(), engine)
