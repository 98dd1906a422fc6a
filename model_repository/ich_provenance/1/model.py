"""The fused engine's scores and areas -> the same, checked, with PROVENANCE and START."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import triton_python_backend_utils as pb_utils

from ichcore import EnsembleSpec, IchError, spec_from_json
from ichcore.fused import refuse_other_combination, refuse_unsound_slices
from ichcore.vouching import Voucher
from ichcore.wire import FUSED_ENGINE_MODEL, SPEC_FILE, build_record_file

_CHECKED = ("SCORE", "MEMBER_SCORES", "LESION_MM2", "BRAIN_MM2")


class TritonPythonModel:
    """Says which spec and engine judged a slice, and lets through no value that is no result."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read the spec, and refuse an engine that was made of another one."""
        model = Path(args["model_repository"])
        config = json.loads(args["model_config"])
        engine_file = config["parameters"]["engine_file"]["string_value"]
        version = args["model_version"]
        record = model.parent / FUSED_ENGINE_MODEL / version / build_record_file(engine_file)
        try:
            spec = spec_from_json((model / version / SPEC_FILE).read_text())
            engines_sha256 = _engine_sha256(record, spec)
        except (OSError, IchError) as error:
            raise pb_utils.TritonModelException(str(error)) from error
        self._voucher = Voucher(spec.sha256, engines_sha256)

    def execute(self, requests: list[Any]) -> list[Any]:
        """Check each request on its own."""
        return [self._response(request) for request in requests]

    def _response(self, request: Any) -> Any:
        values = [pb_utils.get_input_tensor_by_name(request, n).as_numpy() for n in _CHECKED]
        try:
            refuse_unsound_slices(*values)
        except IchError as error:
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error)))
        told = dict(zip(_CHECKED, values, strict=True)) | self._voucher.texts(len(values[0]))
        return pb_utils.InferenceResponse([pb_utils.Tensor(n, v) for n, v in told.items()])


def _engine_sha256(path: Path, spec: EnsembleSpec) -> str:
    """Hash over the one engine, made of the members and the numbers that the spec names."""
    try:
        record = json.loads(path.read_text())
        weights, combination = list(record["weights_sha256"]), str(record["combination_sha256"])
        engine_sha256 = str(record["engine_sha256"])
    except (KeyError, TypeError, ValueError) as error:
        raise IchError(f"{path} is no build record; release the engine again.") from error
    refuse_other_combination(weights, combination, spec)
    return hashlib.sha256(engine_sha256.encode()).hexdigest()
