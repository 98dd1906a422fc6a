"""Networks and runtimes of a CUDA machine -> launchers: HU on the GPU to outputs on the GPU.

Each runtime is found or its absence said. Those of torch were run on a GPU by the authors.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ichcore import Grid
from ichexport.members import Member, options_from_encoder, output_names
from ichexport.plan_runner import Launcher, launcher_from_plan
from ichexport.routes import ROUTES
from ichexport.routes.route import Source
from ichexport.tensorrt_library import tensorrt, tensorrt_rtx
from ichexport.typed import typed_graph
from ichexport.typed_member import typed_member
from ichexport.weights import released_from_trained

HU = NDArray[np.float16]


@dataclass(frozen=True)
class Work:
    """One network in one precision: its member, its released graph, and slices to calibrate on."""

    name: str
    member: Member
    released: Path
    precision: str
    hu: HU
    folder: Path

    def graph(self) -> Path:
        """The graph in that type; raises `IchExportError` where it cannot be had."""
        if self.precision == "f32":
            return self.released
        path = self.folder / f"{self.name}-{self.precision}.onnx"
        if not path.is_file():
            typed_graph(self.released, self.precision, path, self.hu)
        return path


def lively_member(encoder: str, hu: HU, grid: Grid, seed: int = 3) -> Member:
    """A released strong member that was never trained, whose outputs differ from slice to slice.

    Its batch norms hold the statistics of `hu` [n, S, R, C] and random scales.
    """
    torch.manual_seed(seed)
    member = Member(options_from_encoder(encoder, with_brain=True, grid=grid)).train()
    for module in member.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the average over all that is seen
            nn.init.uniform_(module.weight, 0.7, 1.5)
            nn.init.uniform_(module.bias, -0.2, 0.2)
    with torch.no_grad():
        member(torch.from_numpy(hu))
    return released_from_trained(member)


def eager(work: Work) -> Launcher:
    """Torch as it is."""
    return _launcher_from_module(work, lambda module: module)


def compiled(work: Work) -> Launcher:
    """torch.compile, for each batch size anew."""
    return _launcher_from_module(work, _compiled)


def replayed(work: Work) -> Launcher:
    """torch.compile whose kernels are replayed as one CUDA graph."""
    return _launcher_from_module(work, lambda module: _compiled(module, mode="reduce-overhead"))


def _compiled(module: Any, **options: Any) -> Any:
    # All networks share one forward, and torch gives up compiling it after the eighth time.
    torch.compiler.reset()
    return torch.compile(module, dynamic=False, **options)


def _launcher_from_module(work: Work, prepare: Callable[[Any], Any]) -> Launcher:
    module = prepare(typed_member(work.member, work.precision).cuda())
    names = output_names(work.member.options)

    def launch(hu: Any) -> dict[str, Any]:
        with torch.inference_mode():
            return dict(zip(names, module(hu), strict=True))

    return launch


def onnxruntime_cuda(work: Work) -> Launcher:
    """ONNX Runtime's CUDA provider on the typed graph, bound to memory of the GPU."""
    import onnxruntime

    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        raise ImportError("this onnxruntime has no CUDAExecutionProvider")
    # Without the second, TF32 takes the place of f32.
    providers = [("CUDAExecutionProvider", {"use_tf32": 0})]
    session = onnxruntime.InferenceSession(str(work.graph()), providers=providers)
    if session.get_providers()[0] != "CUDAExecutionProvider":
        raise ImportError("ONNX Runtime fell back to the processor")
    shapes = {value.name: value.shape for value in session.get_outputs()}

    def launch(hu: Any) -> dict[str, Any]:
        binding = session.io_binding()
        _bind(binding.bind_input, "HU", hu)
        made = {
            name: torch.empty(
                (len(hu), *shape[1:]),
                dtype=torch.float32 if name == "LOGIT" else torch.float16,
                device="cuda",
            )
            for name, shape in shapes.items()
        }
        for name, tensor in made.items():
            _bind(binding.bind_output, name, tensor)
        torch.cuda.current_stream().synchronize()  # the session has a stream of its own
        session.run_with_iobinding(binding)
        return made

    return launch


def _bind(bind: Callable[..., None], name: str, tensor: Any) -> None:
    dtype = np.float32 if tensor.dtype == torch.float32 else np.float16
    bind(name, "cuda", 0, dtype, tuple(tensor.shape), tensor.data_ptr())


def plan_of(target: str) -> Callable[[Work], Launcher]:
    """A route of `ichexport build`, and its engine."""
    route = ROUTES[target]
    library = tensorrt_rtx if target == "tensorrt-rtx" else tensorrt

    def launcher(work: Work) -> Launcher:
        folder = work.folder / f"{work.name}-{work.precision}-{target}"
        folder.mkdir(parents=True, exist_ok=True)
        options = route.Options(precision=work.precision)
        graph = work.released if options.graph_precision == "f32" else work.graph()
        built = route.build(Source(work.name, graph, lambda: work.member, work.hu), folder, options)
        route.run(built.engine, options)  # says why, where this GPU is not one the engine is for
        return launcher_from_plan(library(), built.engine)

    return launcher


RUNTIMES: dict[str, Callable[[Work], Launcher]] = {
    "torch eager": eager,
    "torch.compile": compiled,
    "torch.compile with CUDA graphs": replayed,
    "onnxruntime cuda": onnxruntime_cuda,
    **{name: plan_of(name) for name in ("tensorrt", "tensorrt-rtx", "torch-tensorrt")},
}
"""What is timed, if it is found; the first is what the others are measured against."""


@contextlib.contextmanager
def true_f32() -> Iterator[None]:
    """Keep torch from calculating in TF32 what is asked for in f32."""
    matmul, convolution = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, convolution.allow_tf32
    matmul.allow_tf32 = convolution.allow_tf32 = False
    try:
        yield
    finally:
        matmul.allow_tf32, convolution.allow_tf32 = before
