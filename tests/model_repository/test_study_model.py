"""`ich_study`: slice results -> the study rule of ichcore, or an error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ichcore import EnsembleSpec, SliceScores, study_from_slices
from ichcore.wire import study_outputs


@pytest.mark.parametrize("slices", [1, 4, 30])
def test_study_is_the_rule_of_ichcore(
    load_model: Callable[..., Any],
    released_spec: EnsembleSpec,
    make_series_scores: Callable[..., SliceScores],
    study_request: Callable[..., Any],
    slices: int,
) -> None:
    scores = make_series_scores(slices)
    found = load_model("ich_study").answer(study_request(scores))
    study = study_from_slices(scores, released_spec)
    assert found["STUDY_SCORE"] == np.float32(study.score)
    np.testing.assert_array_equal(found["STUDY_MEMBER_SCORES"], np.float32(study.member_scores))
    volume = [] if study.lesion_volume_ml is None else [np.float32(study.lesion_volume_ml)]
    assert found["LESION_VOLUME_ML"].tolist() == volume
    assert found["COVERAGE_MM"] == np.float32(study.coverage_mm)
    assert found["TOP_SLICES"].tolist() == list(study.top_slices)
    assert found["PROVENANCE"].tolist() == [study.provenance.encode()]
    points, decisions = found["OPERATING_POINT"].tolist(), found["DECISION"].tolist()
    assert tuple((p.decode(), d.decode()) for p, d in zip(points, decisions, strict=True)) == (
        study.decisions
    )


def test_study_gives_the_tensors_of_the_contract(
    load_model: Callable[..., Any],
    released_spec: EnsembleSpec,
    make_series_scores: Callable[..., SliceScores],
    study_request: Callable[..., Any],
) -> None:
    found = load_model("ich_study").answer(study_request(make_series_scores()))
    dtypes = {"FP32": np.float32, "INT32": np.int32, "BYTES": np.object_}
    specs = study_outputs(len(released_spec.members), len(released_spec.operating_points))
    assert [*found] == [spec.name for spec in specs]
    for spec in specs:
        assert found[spec.name].dtype == dtypes[spec.data_type]
        assert len(found[spec.name].shape) == len(spec.shape)


def test_too_little_coverage_is_never_negative(
    load_model: Callable[..., Any],
    make_series_scores: Callable[..., SliceScores],
    study_request: Callable[..., Any],
) -> None:
    few = make_series_scores(3, score=np.zeros(3, dtype=np.float32))
    found = load_model("ich_study").answer(study_request(few))
    assert set(found["DECISION"].tolist()) == {b"indeterminate"}


def nan_score(request: dict[str, Any]) -> None:
    request["SCORE"][2] = np.nan


def infinite_area(request: dict[str, Any]) -> None:
    request["LESION_MM2"][2] = np.inf


def mixed_provenance(request: dict[str, Any]) -> None:
    request["PROVENANCE"][2] = request["PROVENANCE"][2] + b"f"


def slices_of_another_spec(request: dict[str, Any]) -> None:
    request["PROVENANCE"][:] = b"spec:0123456789abcdef engines:0123456789abcdef"


def no_slices(request: dict[str, Any]) -> None:
    request.update({name: values[:0] for name, values in request.items()})


def other_member_count(request: dict[str, Any]) -> None:
    request["MEMBER_SCORES"] = request["MEMBER_SCORES"][:, :-1]


def falling_positions(request: dict[str, Any]) -> None:
    request["POSITION_MM"] = request["POSITION_MM"][::-1].copy()


@pytest.mark.parametrize(
    ("spoil", "cause"),
    [
        (nan_score, "not finite"),
        (infinite_area, "not finite"),
        (mixed_provenance, "2 different bundles"),
        (slices_of_another_spec, "0123456789abcdef"),
        (no_slices, "no slices"),
        (other_member_count, "members came"),
        (falling_positions, "must rise"),
    ],
)
def test_what_may_not_be_judged_is_an_error(
    load_model: Callable[..., Any],
    make_series_scores: Callable[..., SliceScores],
    study_request: Callable[..., Any],
    spoil: Callable[[dict[str, Any]], None],
    cause: str,
) -> None:
    request = study_request(make_series_scores())
    spoil(request)
    assert cause in load_model("ich_study").refusal(request)
