"""Weights -> ONNX graph in the repository, with parity and record; the whole chain of building."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ichcore.wire import MAX_BATCH_SIZE
from ichexport.engines import onnxruntime_from_onnx, openvino_from_onnx
from ichexport.entry import RELEASE_COMMAND, Proven, place
from ichexport.graph import onnx_from_member
from ichexport.manifest import sha256_from_file
from ichexport.parity import parity_from_runners, torch_from_member
from ichexport.targets import ONNX_FILE
from ichexport.versions import version_folder
from ichexport.weights import member_from_file

_LIBRARIES = ("torch", "onnx", "onnxruntime", "openvino", "segmentation-models-pytorch")


def build_onnx(name: str, weights: Path, repository: Path, hu: NDArray[np.float16]) -> None:
    """Build one member's graph and place it only when both runtimes agree with torch on `hu`.

    `hu` are slices [n, S, R, C]. Raises `ParityError` and leaves the repository as it was.
    """
    member = member_from_file(weights)
    folder = version_folder(repository, name)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        graph = Path(scratch) / ONNX_FILE
        onnx_from_member(member, graph)
        reference = torch_from_member(member)
        parity = {
            "onnxruntime": parity_from_runners(reference, onnxruntime_from_onnx(graph), hu),
            "openvino": parity_from_runners(reference, openvino_from_onnx(graph), hu),
        }
        record = {
            "model": name,
            "target": "onnx",
            "precision": "f32 arithmetic, FP16-stored weights",
            "batch_range": [1, MAX_BATCH_SIZE],
            "weights_sha256": sha256_from_file(weights),
            "graph_sha256": sha256_from_file(graph),
            "engine_sha256": sha256_from_file(graph),
            "member_options": asdict(member.options),
            "parity_against_torch": {route: asdict(figures) for route, figures in parity.items()},
            "versions": {library: version(library) for library in _LIBRARIES},
            "command": RELEASE_COMMAND,
        }
        place(repository, Proven(name, graph, ONNX_FILE, record))
