"""HU -> an engine's outputs: an ONNX graph beside this file, run by OpenVINO on the processor.

The engine is a member, or the whole ensemble as one graph.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import openvino
import triton_python_backend_utils as pb_utils

from ichcore.unjudged import nothing_from_outputs, with_unsound_hu_marked
from ichcore.wire import build_record_file


class TritonPythonModel:
    """Requests are run one by one, so a slice's score never depends on who else is asking.

    A slice that cannot be judged gets NaN in the first output (a member's LOGIT, the fused
    engine's SCORE), and the next step refuses it.
    """

    def initialize(self, args: dict[str, str]) -> None:
        """Compile the graph that the config names in this version's folder."""
        config = json.loads(args["model_config"])
        asked, file = (
            config["parameters"][name]["string_value"] for name in ("precision", "engine_file")
        )
        graph = Path(args["model_repository"]) / args["model_version"] / file
        if not graph.is_file():
            raise pb_utils.TritonModelException(
                f"{graph} is absent; build it with `ichexport build` for the target openvino."
            )
        core = openvino.Core()
        here = asked.upper() in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        # Several members share the cores: pinned threads would pile up on the same ones.
        properties = {
            "INFERENCE_PRECISION_HINT": asked if here and _proven(graph, asked) else "f32",
            "ENABLE_CPU_PINNING": False,
            "PERFORMANCE_HINT": "LATENCY",
        }
        self._engine = core.compile_model(graph, "CPU", properties)
        self._outputs = config["output"]

    def execute(self, requests: list[Any]) -> list[Any]:
        """Run each request's slices and answer in the order of the requests."""
        return [self._response(request) for request in requests]

    def _response(self, request: Any) -> Any:
        hu = pb_utils.get_input_tensor_by_name(request, "HU").as_numpy()
        try:
            results = self._engine([hu])
            tensors = {output["name"]: results[output["name"]] for output in self._outputs}
        except RuntimeError as error:
            pb_utils.Logger.log_error(f"OpenVINO could not run HU {hu.shape}: {error}")
            tensors = nothing_from_outputs(self._outputs, len(hu))
        answers = with_unsound_hu_marked(tensors, hu)
        return pb_utils.InferenceResponse(
            [pb_utils.Tensor(name, values) for name, values in answers.items()]
        )


def _proven(graph: Path, precision: str) -> bool:
    """Whether the release compared the graph in this precision with its weights, and it passed."""
    record = json.loads(graph.with_name(build_record_file(graph.name)).read_text())
    served = record.get("served", {}).get(f"openvino {precision}", {})
    return bool(served.get("parity", {}).get("engine") == "passed")
