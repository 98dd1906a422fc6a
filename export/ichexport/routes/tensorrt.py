"""ONNX -> plan of TensorRT 10 or 11, for Triton's TensorRT backend on a GPU.

This route has never been executed by its authors past the refusal to start without a GPU. What it
shares with TensorRT-RTX (the parsed network, its audit, the build) is executed there.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from ichcore.wire import MAX_BATCH_SIZE
from ichexport.engines import Runner
from ichexport.errors import CannotRunHere, IchExportError
from ichexport.plan_runner import gpu_here, layers_from_plan, runner_from_plan
from ichexport.plans import Batch, plan_from_onnx
from ichexport.routes.route import Built, Source
from ichexport.targets import PLAN_FILE
from ichexport.tensorrt_library import tensorrt

PRECISIONS = ("f32", "f16", "bf16", "int8", "fp8")
COMPATIBILITIES = ("none", "ampere_plus", "same_compute_capability")
LEVELS = range(6)


def refuse_other_batch(batch: Batch) -> None:
    """Raise `IchExportError` where a profile does not cover the requests of the contract."""
    smallest, likely, largest = batch
    if not (smallest == 1 <= likely <= largest and largest >= MAX_BATCH_SIZE):
        raise IchExportError(
            f"A profile of {smallest}, {likely} and {largest} slices does not cover every "
            f"request: it must begin at 1, end at {MAX_BATCH_SIZE} or more and rise."
        )


def refuse_other_level(level: int) -> None:
    """Raise `IchExportError` where a builder has no such optimisation level."""
    if level not in LEVELS:
        raise IchExportError(
            f"There is no builder optimisation level {level}; choose {LEVELS[0]} to {LEVELS[-1]}."
        )


@dataclass(frozen=True)
class Options:
    """`hardware_compatibility` widens the GPUs that may load the plan, and costs speed.

    `version_compatible` lets newer TensorRTs load it; such a plan carries code, so load it only
    where it is trusted. `timing_cache` is a file that is read, and written after the build.
    """

    target: ClassVar[str] = "tensorrt"
    libraries: ClassVar[tuple[str, ...]] = ("tensorrt", "tensorrt-cu13", "tensorrt-cu12")
    engine_file: ClassVar[str] = PLAN_FILE
    precision: str = "f16"
    batch: Batch = (1, 8, MAX_BATCH_SIZE)
    builder_optimisation_level: int = 3
    hardware_compatibility: str = "none"
    version_compatible: bool = False
    timing_cache: str | None = None

    def __post_init__(self) -> None:
        """Refuse what TensorRT does not have."""
        if self.precision not in PRECISIONS:
            raise IchExportError(
                f"The target tensorrt calculates in {', '.join(PRECISIONS)}, "
                f"not in {self.precision}."
            )
        if self.hardware_compatibility not in COMPATIBILITIES:
            raise IchExportError(
                f"No hardware compatibility '{self.hardware_compatibility}'; choose one of "
                f"{', '.join(COMPATIBILITIES)}."
            )
        refuse_other_batch(self.batch)
        refuse_other_level(self.builder_optimisation_level)

    @property
    def graph_precision(self) -> str:
        """Networks are strongly typed, so the graph says what the engine calculates in."""
        return self.precision


def build(source: Source, folder: Path, options: Options) -> Built:
    """Build the graph on the GPU that will serve it, and read the engine back.

    Raises `IchExportError` where there is none.
    """
    library = tensorrt()
    timing_cache = None if options.timing_cache is None else Path(options.timing_cache)

    def configure(module: Any, config: Any) -> None:
        configured(module, config, options)

    plan = plan_from_onnx(
        library, source, options.precision, options.batch, configure, timing_cache
    )
    path = folder / PLAN_FILE
    path.write_bytes(plan.content)
    layers = layers_from_plan(library, path, host_code=options.version_compatible)
    if layers:
        return Built(path, layers, "the engine", machine())
    return Built(path, plan.layers, "the parsed network; the engine hides its layers", machine())


def configured(module: Any, config: Any, options: Options) -> None:
    """Tell a builder config what was chosen; the engine's layers stay readable."""
    config.profiling_verbosity = module.ProfilingVerbosity.DETAILED
    config.builder_optimization_level = options.builder_optimisation_level
    levels = module.HardwareCompatibilityLevel
    config.hardware_compatibility_level = getattr(levels, options.hardware_compatibility.upper())
    if options.version_compatible:
        config.set_flag(module.BuilderFlag.VERSION_COMPATIBLE)


def machine() -> dict[str, str]:
    """What of this machine an engine depends on."""
    try:
        return gpu_here()
    except CannotRunHere:
        return {}


def run(engine: Path, options: Options) -> Runner:
    """Run it on the GPU."""
    gpu_here()
    return runner_from_plan(tensorrt(), engine, host_code=options.version_compatible)
