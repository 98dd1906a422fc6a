"""Plan -> runner: an engine of TensorRT or TensorRT-RTX on the GPU, with torch's memory.

Its authors have run it up to the load of an engine, on a GPU whose library refused it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ichexport.audit import layers_from_inspector
from ichexport.engines import Runner
from ichexport.errors import CannotRunHere, IchExportError
from ichexport.tensorrt_library import Library

Launcher = Callable[[Any], dict[str, Any]]
"""HU float16 [N, S, R, C] as a CUDA tensor -> outputs by name as CUDA tensors."""


def gpu_here() -> dict[str, str]:
    """Name and compute capability of the GPU; raises `CannotRunHere` naming what is missing."""
    import torch

    if torch.version.cuda is None:
        raise CannotRunHere("this torch was built without CUDA")
    if not torch.cuda.is_available():
        raise CannotRunHere("no NVIDIA driver with a GPU is here")
    major, minor = torch.cuda.get_device_capability()
    return {"gpu": torch.cuda.get_device_name(), "compute_capability": f"{major}.{minor}"}


def runner_from_plan(library: Library, path: Path, *, host_code: bool = False) -> Runner:
    """Run a plan on the GPU; raises `CannotRunHere` without one.

    `host_code` lets a version-compatible plan bring the runtime it was built with, which is code
    that the process then executes. Raises `IchExportError` where the plan is not for this GPU and
    this release, or fails while it runs.
    """
    launch = launcher_from_plan(library, path, host_code=host_code)
    import torch

    def run(hu: NDArray[np.float16]) -> dict[str, NDArray[np.generic]]:
        made = launch(torch.from_numpy(np.ascontiguousarray(hu)).cuda())
        return {name: tensor.cpu().numpy() for name, tensor in made.items()}

    return run


def launcher_from_plan(library: Library, path: Path, *, host_code: bool = False) -> Launcher:
    """As `runner_from_plan`, on tensors that lie on the GPU; what it gives is not waited for."""
    gpu_here()
    import torch

    loaded = _loaded(library, path, host_code)
    context = loaded.engine.create_execution_context()
    outputs = _outputs(library.module, loaded.engine)

    def launch(hu: Any, loaded: _Loaded = loaded) -> dict[str, Any]:
        context.set_input_shape("HU", tuple(hu.shape))
        context.set_tensor_address("HU", hu.data_ptr())
        made = {}
        for name, dtype in outputs.items():
            shape = tuple(context.get_tensor_shape(name))
            made[name] = torch.empty(shape, dtype=dtype, device="cuda")
            context.set_tensor_address(name, made[name].data_ptr())
        # On torch's own stream, so that its copies before and after wait their turn.
        if not context.execute_async_v3(torch.cuda.current_stream().cuda_stream):
            raise IchExportError(
                f"{library.name} cannot run HU {list(hu.shape)}: {library.log.told()}"
            )
        return made

    return launch


def layers_from_plan(library: Library, path: Path, *, host_code: bool = False) -> dict[str, int]:
    """Read an engine back on the GPU and count its layers with weights by type.

    Empty where the inspector tells no types; raises `CannotRunHere` without a GPU.
    """
    gpu_here()
    loaded = _loaded(library, path, host_code)
    form = library.module.LayerInformationFormat.JSON
    inspector = loaded.engine.create_engine_inspector()
    return layers_from_inspector(inspector.get_engine_information(form))


class _Loaded(NamedTuple):
    """A runtime must outlive its engines, and an engine its contexts; so they stay together."""

    runtime: Any
    engine: Any


def _loaded(library: Library, path: Path, host_code: bool) -> _Loaded:
    library.log.told()  # of an earlier engine
    runtime = library.module.Runtime(library.log)
    runtime.engine_host_code_allowed = host_code
    engine = runtime.deserialize_cuda_engine(path.read_bytes())
    if engine is None:
        raise IchExportError(f"{library.name} cannot load {path.name}: {library.log.told()}")
    return _Loaded(runtime, engine)


def _outputs(module: Any, engine: Any) -> Mapping[str, Any]:
    """Torch's type of every output by name."""
    import torch

    types = {module.DataType.FLOAT: torch.float32, module.DataType.HALF: torch.float16}
    names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
    return {
        name: types[engine.get_tensor_dtype(name)]
        for name in names
        if engine.get_tensor_mode(name) == module.TensorIOMode.OUTPUT
    }
