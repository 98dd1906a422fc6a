"""Released repository or training run -> its spec and its members as in-process runners.

The members are combined by the server's own formula; that a server answers the same is proven by
the golden slices and the server's own tests.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ichcore import EnsembleSpec, spec_from_json
from ichcore.wire import SPEC_FILE, build_record_file
from ichexport.engines import Runner, openvino_from_onnx
from ichexport.entry import graph_of
from ichexport.manifest import sha256_from_file
from ichexport.repository import spec_of_repository
from ichexport.targets import ONNX_FILE
from ichtrain.errors import EvaluationError


@dataclass(frozen=True)
class Bundle:
    """What is judged: a spec, a runner for each of its members, and what the runners are.

    `networks` names each member's network in words, as far as its files tell.
    """

    spec: EnsembleSpec
    runners: Mapping[str, Runner]
    engine: str
    files_sha256: Mapping[str, str]
    networks: Mapping[str, str] = field(default_factory=dict)


def bundle_from_repository(repository: Path) -> Bundle:
    """The committed ONNX graphs of a model repository, run by OpenVINO in f32.

    Raises `IchExportError` without a spec and `EvaluationError` without a graph.
    """
    spec = spec_of_repository(repository)
    graphs = {name: graph_of(repository, name) for name in spec.member_names}
    for path in graphs.values():
        if not path.is_file():
            raise EvaluationError(f"{path} is absent; make it with `ichexport release`.")
    return Bundle(
        spec,
        {name: openvino_from_onnx(path) for name, path in graphs.items()},
        "OpenVINO f32 on the released ONNX graphs",
        {name: sha256_from_file(path) for name, path in graphs.items()},
        {name: _network(_options_beside(path)) for name, path in graphs.items()},
    )


def bundle_from_run(run: Path) -> Bundle:
    """The torch members of a run folder before their release.

    Raises `EvaluationError` where the folder holds no fitted spec, or weights of another fit.
    """
    from ichexport.parity import torch_from_member
    from ichexport.weights import member_from_file

    try:
        spec = spec_from_json((run / SPEC_FILE).read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise EvaluationError(
            f"{run} holds no fitted ensemble ({error}); run `ichtrain ensemble` first."
        ) from error
    hashes, runners, networks = {}, {}, {}
    for member in spec.members:
        path = run / f"{member.name}.safetensors"
        module = member_from_file(path)
        runners[member.name] = torch_from_member(module)
        networks[member.name] = _network(asdict(module.options))
        hashes[member.name] = sha256_from_file(path)
        if hashes[member.name] != member.weights_sha256:
            raise EvaluationError(
                f"{path} holds other weights than {SPEC_FILE} was fitted with; run "
                "`ichtrain ensemble` again."
            )
    return Bundle(spec, runners, "torch f32 on the weights of the run", hashes, networks)


def _options_beside(graph: Path) -> Mapping[str, Any]:
    """Member options in the build record of a graph; empty where there is no record."""
    try:
        record = json.loads(graph.with_name(build_record_file(ONNX_FILE)).read_text())
        return dict(record["member_options"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _network(options: Mapping[str, Any]) -> str:
    if not options:
        return "unknown"
    annotation = options.get("annotation", "strong")
    head = "classifier" if annotation == "weak" else "U-Net"
    return f"{head} on {options['encoder']} (depth {options['encoder_depth']}), {annotation}"
