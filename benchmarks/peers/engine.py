"""The graph of the fused engine -> one function that answers HU as fast as the processor allows.

The raw engine of every benchmark and the engine inside every peer are this file, so that a share
of the limit compares servers and nothing else. It runs in the environments of the peers too:
OpenVINO, numpy and the standard library are all it may import.

One graph of a fixed shape is compiled with a stream for each core, and a request is cut into
pieces of that shape which the streams share, of several requests in turn. On two cores this was
measured at twice the speed of one stream over both cores and a graph of any length.
"""

from __future__ import annotations

import json
import queue
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

HU = NDArray[np.float16]
Outputs = dict[str, NDArray[np.generic]]


@dataclass(frozen=True)
class EngineSettings:
    """Which graph, in which precision, on how many streams of `piece_slices` slices."""

    graph: str
    precision: str
    streams: int
    piece_slices: int
    pinned: bool = False
    """Whether a stream's thread stays on its core; several processes then share the first ones."""

    def __post_init__(self) -> None:
        """Refuse an engine without streams or slices."""
        if min(self.streams, self.piece_slices) < 1 or self.precision not in ("f32", "bf16"):
            raise ValueError(f"not settings of an engine: {self}")


def json_from_settings(settings: EngineSettings) -> str:
    """One line, as a peer's process is given it."""
    return json.dumps(asdict(settings))


def settings_from_json(text: str) -> EngineSettings:
    """The inverse of `json_from_settings`."""
    return EngineSettings(**json.loads(text))


class Engine:
    """HU float16 [N, S, R, C] -> outputs by name; safe to call from several threads.

    `item` is the shape behind N.
    """

    def __init__(self, settings: EngineSettings) -> None:
        import openvino

        self.settings = settings
        # OpenVINO 2026.4 makes its table of numpy's types at the first tensor and may give the GIL
        # away meanwhile; a thread that takes it and wants that table waits for ever. So one thread
        # makes a tensor before there are others.
        _ = openvino.Tensor(np.zeros(1, np.float16)).data
        core = openvino.Core()
        model = core.read_model(Path(settings.graph))
        shape = model.inputs[0].get_partial_shape()
        self.item = tuple(shape[axis].get_length() for axis in range(1, len(shape)))
        model.reshape([settings.piece_slices, *self.item])
        compiled = core.compile_model(
            model,
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": settings.precision,
                "NUM_STREAMS": str(settings.streams),
                "ENABLE_CPU_PINNING": settings.pinned,
            },
        )
        self._names = tuple(port.any_name for port in compiled.outputs)
        self._core, self._compiled = core, compiled
        self._free: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for _ in range(settings.streams):
            self._free.put(compiled.create_infer_request())
        self._streams = ThreadPoolExecutor(settings.streams, thread_name_prefix="engine")

    def __call__(self, hu: HU) -> Outputs:
        """Answer N slices; raises ValueError where they are none or of another shape."""
        if len(hu) == 0 or hu.shape[1:] != self.item:
            raise ValueError(f"HU {list(hu.shape)} is not [N, {', '.join(map(str, self.item))}]")
        size = self.settings.piece_slices
        pieces = [hu[start : start + size] for start in range(0, len(hu), size)]
        parts = list(self._streams.map(self._answer, pieces))
        return {name: np.concatenate([part[name] for part in parts]) for name in self._names}

    def _answer(self, piece: HU) -> Outputs:
        size = self.settings.piece_slices
        whole = piece if len(piece) == size else np.resize(piece, (size, *self.item))
        request = self._free.get()
        try:
            results = request.infer([np.ascontiguousarray(whole)], share_inputs=True)
            return {name: results[name][: len(piece)].copy() for name in self._names}
        finally:
            self._free.put(request)
