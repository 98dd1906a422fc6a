"""HU -> LOGIT, MASK, BRAIN: one member's ONNX graph, run by OpenVINO on the processor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """Requests are run one by one, so a slice's score never depends on who else is asking."""

    def initialize(self, args: dict[str, str]) -> None:
        """Compile the graph that lies in this version's folder."""
        config = json.loads(args["model_config"])
        graph = Path(args["model_repository"]) / args["model_version"] / "model.onnx"
        core = openvino.Core()
        has_bf16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        # Several members share the cores: pinned threads would pile up on the same ones.
        properties = {
            "INFERENCE_PRECISION_HINT": "bf16" if has_bf16 else "f32",
            "ENABLE_CPU_PINNING": False,
            "PERFORMANCE_HINT": "LATENCY",
        }
        self._engine = core.compile_model(graph, "CPU", properties)
        self._outputs = [output["name"] for output in config["output"]]

    def execute(self, requests: list[Any]) -> list[Any]:
        """Run each request's slices and answer in the order of the requests."""
        return [self._response(request) for request in requests]

    def _response(self, request: Any) -> Any:
        hu = pb_utils.get_input_tensor_by_name(request, "HU").as_numpy()
        if not np.isfinite(hu).all():
            # The windows would clip it to air or bone, and a score would come of it.
            return pb_utils.InferenceResponse(
                error=pb_utils.TritonError("HU has values that are not finite; refused.")
            )
        try:
            results = self._engine([hu])
        except RuntimeError as error:
            return pb_utils.InferenceResponse(
                error=pb_utils.TritonError(f"OpenVINO could not run HU {hu.shape}: {error}")
            )
        return pb_utils.InferenceResponse(
            [pb_utils.Tensor(name, results[name]) for name in self._outputs]
        )
