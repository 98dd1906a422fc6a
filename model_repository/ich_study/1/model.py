"""Slice results of one series -> study score, volume, decisions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from study_counts import StudyCounts  # beside this file, whose folder Triton puts on the path

from ichcore import (
    EnsembleSpec,
    IchError,
    SliceScores,
    StudyScore,
    spec_from_json,
    study_from_slices,
)
from ichcore.wire import SPEC_FILE, refuse_other_spec


class TritonPythonModel:
    """The study rule; the rule itself is `ichcore.study`.

    Slices are judged by the spec that they name, that of the version that is served or of the
    candidate beside it.
    """

    def initialize(self, args: dict[str, str]) -> None:
        """Read the spec of every version whose slices may come."""
        config = json.loads(args["model_config"])
        versions = config["parameters"]["versions"]["string_value"].split(",")
        folder = Path(args["model_repository"])
        try:
            texts = [(folder / version / SPEC_FILE).read_text() for version in versions]
            self._specs = [spec_from_json(text) for text in texts]
        except (OSError, IchError) as error:
            raise pb_utils.TritonModelException(str(error)) from error
        self._counts = StudyCounts(self._specs, folder.parent)

    def execute(self, requests: list[Any]) -> list[Any]:
        """Judge each series."""
        return [self._response(request) for request in requests]

    def _response(self, request: Any) -> Any:
        try:
            slices = _slices(request)
            spec = self._spec_of(slices.provenance[0])
            study = study_from_slices(slices, spec)
        except IchError as error:
            self._counts.refused()
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error)))
        self._counts.judged(study, spec)
        return pb_utils.InferenceResponse(_tensors(study))

    def _spec_of(self, provenance: str) -> EnsembleSpec:
        """The spec that slices name; raises `ProvenanceError` where it is none of those here."""
        for spec in self._specs[1:]:
            if provenance.startswith(f"spec:{spec.sha256[:16]} "):
                return spec
        refuse_other_spec(provenance, self._specs[0].sha256)
        return self._specs[0]


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
