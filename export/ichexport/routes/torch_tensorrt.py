"""Torch module -> plan by Torch-TensorRT, for Triton's TensorRT backend on a GPU.

No ONNX lies between. This route has never been executed by its authors past the exported module:
`import torch_tensorrt` fails without an NVIDIA driver.
"""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from ichcore.wire import MAX_BATCH_SIZE, hu_tensor
from ichexport.audit import refuse_other_precision
from ichexport.engines import Runner
from ichexport.errors import IchExportError, MissingExtra
from ichexport.members import Member, MemberOptions, output_names
from ichexport.plan_runner import gpu_here
from ichexport.plans import Batch
from ichexport.routes import tensorrt
from ichexport.routes.route import Built, Source
from ichexport.targets import PLAN_FILE

PRECISIONS = ("f32", "f16", "bf16")
COMPATIBILITIES = ("none", "ampere_plus")


@dataclass(frozen=True)
class Options:
    """As those of the target tensorrt, without Q/DQ and without its narrower compatibility."""

    target: ClassVar[str] = "torch-tensorrt"
    libraries: ClassVar[tuple[str, ...]] = ("torch-tensorrt", "torch", *tensorrt.Options.libraries)
    engine_file: ClassVar[str] = PLAN_FILE
    graph_precision: ClassVar[str] = "f32"  # the module is cast, not its graph
    precision: str = "f16"
    batch: Batch = (1, 8, MAX_BATCH_SIZE)
    builder_optimisation_level: int = 3
    hardware_compatibility: str = "none"
    version_compatible: bool = False
    timing_cache: str | None = None

    def __post_init__(self) -> None:
        """Refuse what Torch-TensorRT does not have."""
        for what, given, choice in (
            ("precision", self.precision, PRECISIONS),
            ("hardware compatibility", self.hardware_compatibility, COMPATIBILITIES),
        ):
            if given not in choice:
                raise IchExportError(
                    f"The target torch-tensorrt has no {what} {given}; choose one of "
                    f"{', '.join(choice)}."
                )
        tensorrt.refuse_other_batch(self.batch)
        tensorrt.refuse_other_level(self.builder_optimisation_level)


def build(source: Source, folder: Path, options: Options) -> Built:
    """Convert the member's module whole; raises `IchExportError` where a part of it is not."""
    library = _library()
    if source.member is None:
        raise IchExportError(
            f"Torch-TensorRT converts a torch module, and {source.model} is a graph of several; "
            "build it for the target tensorrt."
        )
    here = gpu_here()
    member = source.member()
    program, layers = exported_program(member, options)
    refuse_other_precision(layers, options.precision, f"{source.model} (the exported module)")
    path = folder / PLAN_FILE
    path.write_bytes(_converted(library, program, source.model, member.options, options))
    return Built(path, layers, "the exported module", here)


def exported_program(member: Member, options: Options) -> tuple[Any, dict[str, int]]:
    """Trace a member in the type asked for, with a dynamic N; and count its layers by type.

    The module lies on the GPU where there is one.
    """
    import torch

    from ichexport.typed_member import layers_from_program, typed_member

    device = "cuda" if torch.cuda.is_available() else "cpu"
    typed = typed_member(member, options.precision).to(device)
    shape = (2, *hu_tensor(member.options.grid).shape)
    example = torch.zeros(shape, dtype=torch.float16, device=device)
    dynamic = ({0: torch.export.Dim("N", min=options.batch[0], max=options.batch[2])},)
    with torch.inference_mode():
        program = torch.export.export(typed, (example,), dynamic_shapes=dynamic)
    return program, layers_from_program(program)


def _converted(
    library: Any, program: Any, model: str, member: MemberOptions, options: Options
) -> bytes:
    import torch

    smallest, likely, largest = ((n, *hu_tensor(member.grid).shape) for n in options.batch)
    given = library.Input(
        min_shape=smallest, opt_shape=likely, max_shape=largest, dtype=torch.float16
    )
    chosen: dict[str, Any] = {}
    if options.timing_cache is not None:
        chosen["timing_cache_path"] = options.timing_cache
    convert = library.dynamo.convert_exported_program_to_serialized_trt_engine
    try:
        plan = convert(
            program,
            arg_inputs=(given,),
            arg_input_binding_names=("HU",),
            output_binding_names=output_names(member),
            require_full_compilation=True,
            disable_tf32=True,
            optimization_level=options.builder_optimisation_level,
            hardware_compatible=options.hardware_compatibility == "ampere_plus",
            version_compatible=options.version_compatible,
            **chosen,
        )
    except Exception as error:  # its failures share no class
        why = str(error).partition("\n")[0]
        raise IchExportError(f"Torch-TensorRT cannot convert {model}: {why}") from error
    return bytes(plan)


def _library() -> Any:
    """The module; its import prints, and raises what it likes without a driver."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            import torch_tensorrt
    except ImportError as error:
        raise MissingExtra(
            f"Torch-TensorRT is not installed ({error}); run: pip install 'ich-triton[tensorrt]'"
        ) from error
    except Exception as error:
        why = str(error).partition("\n")[0]
        raise IchExportError(
            f"Torch-TensorRT loads only where an NVIDIA driver and TensorRT are: {why}"
        ) from error
    return torch_tensorrt


machine = tensorrt.machine


def run(engine: Path, options: Options) -> Runner:
    """Run it on the GPU, as any plan."""
    return tensorrt.run(engine, tensorrt.Options(version_compatible=options.version_compatible))
