"""Slice results of one series -> study score, volume, decisions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from ichcore import IchError, SliceScores, StudyScore, spec_from_json, study_from_slices
from ichcore.wire import SPEC_FILE, refuse_other_spec


class TritonPythonModel:
    """The study rule; the rule itself is `ichcore.study`."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read the spec that lies in this version's folder."""
        folder = Path(args["model_repository"]) / args["model_version"]
        try:
            self._spec = spec_from_json((folder / SPEC_FILE).read_text())
        except (OSError, IchError) as error:
            raise pb_utils.TritonModelException(str(error)) from error

    def execute(self, requests: list[Any]) -> list[Any]:
        """Judge each series."""
        return [self._response(request) for request in requests]

    def _response(self, request: Any) -> Any:
        try:
            slices = _slices(request)
            refuse_other_spec(slices.provenance[0], self._spec.sha256)
            study = study_from_slices(slices, self._spec)
        except IchError as error:
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error)))
        return pb_utils.InferenceResponse(_tensors(study))


def _slices(request: Any) -> SliceScores:
    def values(name: str) -> Any:
        return pb_utils.get_input_tensor_by_name(request, name).as_numpy()

    return SliceScores(
        score=values("SCORE"),
        member_scores=values("MEMBER_SCORES"),
        lesion_mm2=values("LESION_MM2"),
        brain_mm2=values("BRAIN_MM2"),
        position_mm=values("POSITION_MM"),
        provenance=tuple(text.decode() for text in values("PROVENANCE")),
    )


def _tensors(study: StudyScore) -> list[Any]:
    volume_ml = [] if study.lesion_volume_ml is None else [study.lesion_volume_ml]
    names = [name.encode() for name, _ in study.decisions]
    decisions = [decision.value.encode() for _, decision in study.decisions]
    values = {
        "STUDY_SCORE": np.array([study.score], dtype=np.float32),
        "STUDY_MEMBER_SCORES": np.array(study.member_scores, dtype=np.float32),
        "LESION_VOLUME_ML": np.array(volume_ml, dtype=np.float32),
        "COVERAGE_MM": np.array([study.coverage_mm], dtype=np.float32),
        "OPERATING_POINT": np.array(names, dtype=np.object_),
        "DECISION": np.array(decisions, dtype=np.object_),
        "TOP_SLICES": np.array(study.top_slices, dtype=np.int32),
        "PROVENANCE": np.array([study.provenance.encode()], dtype=np.object_),
    }
    return [pb_utils.Tensor(name, value) for name, value in values.items()]
