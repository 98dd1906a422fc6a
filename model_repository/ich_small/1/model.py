"""HU -> an engine's outputs: an ONNX graph beside this file, run by OpenVINO on the processor.

The engine is a member, or the whole ensemble as one graph.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import triton_python_backend_utils as pb_utils

from ichcore.unjudged import nothing_from_outputs, with_unsound_hu_marked
from ichcore.wire import build_record_file

_MOST_STREAMS = 4
_PIECE_SLICES = 2
"""Slices that a core takes at once: it reads the weights once for both."""
_UNDER_WAY = 2
"""Pieces that OpenVINO holds for each stream: one that runs, and one that waits for it."""
_CACHE_VARIABLE = "ICH_ENGINE_CACHE"
"""Names a folder in which compiled graphs are kept; without it none is."""
_KEPT_ENGINES = 16


class TritonPythonModel:
    """The slices of a request run in pieces, as many side by side as there are cores.

    Cores that work on one piece together wait for each other at every layer, and for whatever else
    the machine does; cores with a piece each do not. A graph of a fixed shape is also the faster
    one. OpenVINO calculates every slice of a piece by itself, so its score has the same bits
    whatever else came with it; tests hold it to that.

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
        streams = min(len(os.sched_getaffinity(0)), _MOST_STREAMS)
        # Several members share the cores: pinned threads would pile up on the same ones.
        properties = {
            "INFERENCE_PRECISION_HINT": asked if here and _proven(graph, asked) else "f32",
            "ENABLE_CPU_PINNING": False,
            "NUM_STREAMS": streams,
        }
        engine = _compiled(core, graph, properties)
        self._outputs = config["output"]
        self._under_way = [engine.create_infer_request() for _ in range(_UNDER_WAY * streams)]

    def execute(self, requests: list[Any]) -> list[Any]:
        """Run each request's slices and answer in the order of the requests."""
        return [self._response(request) for request in requests]

    def _response(self, request: Any) -> Any:
        hu = pb_utils.get_input_tensor_by_name(request, "HU").as_numpy()
        try:
            tensors = self._tensors(hu)
        except RuntimeError as error:
            pb_utils.Logger.log_error(f"OpenVINO could not run HU {hu.shape}: {error}")
            tensors = nothing_from_outputs(self._outputs, len(hu))
        answers = with_unsound_hu_marked(tensors, hu)
        return pb_utils.InferenceResponse(
            [pb_utils.Tensor(name, values) for name, values in answers.items()]
        )

    def _tensors(self, hu: Any) -> dict[str, Any]:
        """Every output for HU [N, S, R, C].

        OpenVINO's own threads do the work. Threads of Python that make their first tensor at once
        wait for each other for ever, in version 2026.4.
        """
        made = nothing_from_outputs(self._outputs, len(hu))
        places = range(0, len(hu), _PIECE_SLICES)
        most = len(self._under_way)
        try:
            for number, place in enumerate(places):
                if number >= most:
                    self._take(number - most, made)
                piece = hu[place : place + _PIECE_SLICES]
                if len(piece) < _PIECE_SLICES:  # the last of them, filled up with itself
                    piece = np.resize(piece, (_PIECE_SLICES, *piece.shape[1:]))
                self._under_way[number % most].start_async([piece], share_inputs=True)
            for number in range(max(0, len(places) - most), len(places)):
                self._take(number, made)
        finally:
            for request in self._under_way:  # they read HU in its place
                with contextlib.suppress(RuntimeError):
                    request.wait()
        return made

    def _take(self, number: int, made: dict[str, Any]) -> None:
        """Wait for the piece of this number, and put its outputs where its slices are."""
        request = self._under_way[number % len(self._under_way)]
        request.wait()
        results = request.results
        place = number * _PIECE_SLICES
        for name, values in made.items():
            there = values[place : place + _PIECE_SLICES]
            there[:] = results[name][: len(there)]


def _compiled(core: Any, graph: Path, properties: dict[str, Any]) -> Any:
    """The graph's engine, as it was kept from an earlier start or compiled now and kept.

    OpenVINO's own cache takes an altered file for the engine, so a digest stands before it here.
    """
    if not os.environ.get(_CACHE_VARIABLE):
        return _made(core, graph, properties)
    kept = Path(os.environ[_CACHE_VARIABLE]) / f"{_key(core, graph, properties)}.engine"
    with contextlib.suppress(OSError, RuntimeError):
        content = kept.read_bytes()
        if content[:32] == hashlib.sha256(content[32:]).digest():
            return core.import_model(io.BytesIO(content[32:]), "CPU", properties)
    engine = _made(core, graph, properties)
    with contextlib.suppress(OSError):
        _keep(kept, engine.export_model().getvalue())
    return engine


def _made(core: Any, graph: Path, properties: dict[str, Any]) -> Any:
    """The graph compiled for pieces."""
    model = core.read_model(graph)
    piece = model.inputs[0].get_partial_shape()
    piece[0] = _PIECE_SLICES
    model.reshape(piece)
    return core.compile_model(model, "CPU", properties)


def _key(core: Any, graph: Path, properties: dict[str, Any]) -> str:
    """Of everything that a compiled graph depends on."""
    processor = core.get_property("CPU", "FULL_DEVICE_NAME")
    capabilities = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    cores = len(os.sched_getaffinity(0))
    made_for = [openvino.get_version(), processor, sorted(capabilities), cores, properties,
                _PIECE_SLICES]  # fmt: skip
    text = json.dumps(made_for, sort_keys=True).encode()
    return hashlib.sha256(text + hashlib.sha256(graph.read_bytes()).digest()).hexdigest()


def _keep(kept: Path, engine: bytes) -> None:
    """Write the file whole, and leave the newest ones alone."""
    kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.NamedTemporaryFile(dir=kept.parent, delete=False) as file:
        file.write(hashlib.sha256(engine).digest() + engine)
    Path(file.name).replace(kept)
    by_age = sorted(kept.parent.iterdir(), key=lambda path: path.stat().st_mtime)
    for old in by_age[:-_KEPT_ENGINES]:
        old.unlink(missing_ok=True)


def _proven(graph: Path, precision: str) -> bool:
    """Whether the release compared the graph in this precision with its weights, and it passed."""
    record = json.loads(graph.with_name(build_record_file(graph.name)).read_text())
    served = record.get("served", {}).get(f"openvino {precision}", {})
    return bool(served.get("parity", {}).get("engine") == "passed")
