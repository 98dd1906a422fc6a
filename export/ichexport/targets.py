"""Where a repository runs: one config file, one engine file and one backend for each target."""

from __future__ import annotations

from dataclasses import dataclass, field

PLAN_FILE = "model.plan"
ONNX_FILE = "model.onnx"
RTX_FILE = "model.rtx"
INT8_FILE = "model.int8.onnx"
"""The graph with Q/DQ nodes for OpenVINO."""
ONNXRUNTIME_INT8_FILE = "model.int8.onnxruntime.onnx"
"""The graph with Q/DQ nodes for ONNX Runtime, which wants them elsewhere."""


@dataclass(frozen=True)
class Target:
    """How members are served somewhere; combination and study model are Python everywhere.

    `adapter` is the Python model in a member's version folder that runs `engine_file`; it is
    empty where a backend of Triton runs it. `parameters` are what the adapter reads.
    """

    config_name: str | None
    backend: str
    engine_file: str
    on_gpu: bool
    adapter: str = ""
    parameters: dict[str, str] = field(default_factory=dict)
    int8: bool = False
    """Whether every engine of it calculates in 8 bits, which its ensemble then tells clients."""

    @property
    def path(self) -> str:
        """Path of this target's config inside a model's folder."""
        return "config.pbtxt" if self.config_name is None else f"configs/{self.config_name}.pbtxt"

    @property
    def model_file(self) -> str:
        """What Triton loads from a member's version folder."""
        return self.adapter or self.engine_file


PRODUCTION = Target(None, "tensorrt", PLAN_FILE, on_gpu=True)
CPU = Target(
    "cpu",
    "python",
    ONNX_FILE,
    on_gpu=False,
    adapter="model.py",
    parameters={"engine_file": ONNX_FILE, "precision": "bf16"},
)
CPU_INT8 = Target(
    "cpu_int8",
    "python",
    INT8_FILE,
    on_gpu=False,
    adapter="model.py",
    parameters={"engine_file": INT8_FILE, "precision": "f32"},  # of what is not quantised
    int8=True,
)
ONNXRUNTIME = Target("onnxruntime", "onnxruntime", ONNX_FILE, on_gpu=False)
ONNXRUNTIME_INT8 = Target(
    "onnxruntime_int8", "onnxruntime", ONNXRUNTIME_INT8_FILE, on_gpu=False, int8=True
)
RTX = Target("rtx", "python", RTX_FILE, on_gpu=True, adapter="rtx.py")
TARGETS = (PRODUCTION, CPU, CPU_INT8, ONNXRUNTIME, ONNXRUNTIME_INT8, RTX)

EMBEDDED = (CPU, CPU_INT8, RTX)
"""What the embedded server of a workstation may serve."""
