"""Members' LOGIT, MASK, BRAIN -> SCORE, MEMBER_SCORES, MASK, areas, PROVENANCE, START."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import triton_python_backend_utils as pb_utils

from ichcore import EnsembleSpec, IchError, MemberOutputs, combined_from_members, spec_from_json
from ichcore.vouching import Voucher
from ichcore.wire import SPEC_FILE, build_record_file


class TritonPythonModel:
    """The weighted combination; the formula itself is `ichcore.combine`."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read the spec, and refuse engines that were made of other weights than it names."""
        model = Path(args["model_repository"])
        config = json.loads(args["model_config"])
        engine_file = config["parameters"]["engine_file"]["string_value"]
        version = args["model_version"]
        try:
            self._spec = spec_from_json((model / version / SPEC_FILE).read_text())
            engines_sha256 = _engines_sha256(model.parent, self._spec, version, engine_file)
        except (OSError, IchError) as error:
            raise pb_utils.TritonModelException(str(error)) from error
        self._voucher = Voucher(self._spec.sha256, engines_sha256)

    def execute(self, requests: list[Any]) -> list[Any]:
        """Combine each request on its own."""
        return [self._response(request) for request in requests]

    def _response(self, request: Any) -> Any:
        try:
            outputs = {name: _member(request, name, self._spec) for name in self._spec.member_names}
            combined = combined_from_members(outputs, self._spec)
        except IchError as error:
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error)))
        texts = self._voucher.texts(len(combined.score))
        return pb_utils.InferenceResponse(
            [
                pb_utils.Tensor("SCORE", combined.score),
                pb_utils.Tensor("MEMBER_SCORES", combined.member_scores),
                pb_utils.Tensor("MASK", combined.mask),
                pb_utils.Tensor("LESION_MM2", combined.lesion_mm2),
                pb_utils.Tensor("BRAIN_MM2", combined.brain_mm2),
                *(pb_utils.Tensor(name, values) for name, values in texts.items()),
            ]
        )


def _member(request: Any, name: str, spec: EnsembleSpec) -> MemberOutputs:
    mask = pb_utils.get_input_tensor_by_name(request, f"MASK_{name}")
    brain = None
    if name == spec.brain_member:
        brain = pb_utils.get_input_tensor_by_name(request, "BRAIN").as_numpy()
    return MemberOutputs(
        logit=pb_utils.get_input_tensor_by_name(request, f"LOGIT_{name}").as_numpy(),
        mask=None if mask is None else mask.as_numpy(),
        brain=brain,
    )


def _engines_sha256(repository: Path, spec: EnsembleSpec, version: str, engine_file: str) -> str:
    """Hash over the members' engines of a version, each made of the weights that the spec names."""
    digest = hashlib.sha256()
    for member in spec.members:
        path = repository / member.name / version / build_record_file(engine_file)
        weights_sha256, engine_sha256 = _recorded(path)
        if weights_sha256 != member.weights_sha256:
            raise IchError(
                f"The engine of {member.name} was made of weights {weights_sha256[:16]}, "
                f"the ensemble spec names {member.weights_sha256[:16]}; release engines and "
                "spec together."
            )
        digest.update(engine_sha256.encode())
    return digest.hexdigest()


def _recorded(path: Path) -> tuple[str, str]:
    """Hashes of the weights and of the engine from a build record."""
    try:
        record = json.loads(path.read_text())
        return str(record["weights_sha256"]), str(record["engine_sha256"])
    except (KeyError, TypeError, ValueError) as error:
        raise IchError(f"{path} is no build record; release the engines again.") from error
