"""Routes from a released graph to an engine, one file each.

Every route has the same three things in the same order: `Options`, what may be chosen; `build`,
the arrow from a source to an engine; `run`, the engine as a runner, or why it cannot run here.
"""

from __future__ import annotations

from types import ModuleType

from ichexport.routes import onnxruntime, openvino, tensorrt, tensorrt_rtx, torch_tensorrt

ROUTES: dict[str, ModuleType] = {
    route.Options.target: route
    for route in (openvino, onnxruntime, tensorrt, tensorrt_rtx, torch_tensorrt)
}
"""Every route by its target, in the order of the documentation."""
