"""A server's tensors become answers only where they keep the contract."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ichclient.answers import (
    ServerFacts,
    chunk_from_tensors,
    facts_from_parameters,
    study_from_tensors,
)
from ichclient.errors import ServerRefused
from ichcore import ContractError, Decision, Grid, NonFiniteError

PARAMETERS = {
    "grid_rows": "64",
    "grid_columns": "96",
    "grid_pixel_spacing_mm": "2.0",
    "slices_per_item": "1",
    "members": "ich_any, ich_sdh",
    "operating_points": "sensitive,specific",
    "spec_sha256": "ab" * 32,
    "ensemble": "ich 1",
    "contract_version": "1",
}
FACTS = facts_from_parameters("2.51.0", PARAMETERS)


def texts(*values: str) -> NDArray[np.object_]:
    return np.array([value.encode() for value in values], dtype=object)


def chunk_tensors() -> dict[str, NDArray[Any]]:
    return {
        "SCORE": np.full((2, 1), 0.5, dtype=np.float32),
        "MEMBER_SCORES": np.full((2, 2), 0.5, dtype=np.float32),
        "MASK": np.zeros((2, 32, 48), dtype=np.float16),
        "LESION_MM2": np.zeros((2, 1), dtype=np.float32),
        "BRAIN_MM2": np.zeros((2, 1), dtype=np.float32),
        "PROVENANCE": texts("spec:a engines:b", "spec:a engines:b").reshape(2, 1),
    }


def study_tensors() -> dict[str, NDArray[Any]]:
    return {
        "STUDY_SCORE": np.array([0.75], dtype=np.float32),
        "STUDY_MEMBER_SCORES": np.array([0.5, 0.25], dtype=np.float32),
        "LESION_VOLUME_ML": np.array([3.5], dtype=np.float32),
        "COVERAGE_MM": np.array([140], dtype=np.float32),
        "OPERATING_POINT": texts("sensitive", "specific"),
        "DECISION": texts("positive", "indeterminate"),
        "TOP_SLICES": np.array([4, 3], dtype=np.int32),
        "PROVENANCE": texts("spec:a engines:b"),
    }


def test_parameters_of_the_ensemble_become_facts() -> None:
    assert (
        ServerFacts(
            server_version="2.51.0",
            grid=Grid(64, 96, 2.0, 1),
            member_names=("ich_any", "ich_sdh"),
            operating_points=("sensitive", "specific"),
            spec_sha256="ab" * 32,
            ensemble="ich 1",
        )
        == FACTS
    )


@pytest.mark.parametrize("name", sorted(PARAMETERS))
def test_an_absent_parameter_is_named(name: str) -> None:
    with pytest.raises(ServerRefused, match=name):
        facts_from_parameters("2.51.0", {k: v for k, v in PARAMETERS.items() if k != name})


@pytest.mark.parametrize(
    ("name", "value"), [("grid_rows", "many"), ("contract_version", "2"), ("members", " , ")]
)
def test_an_unusable_parameter_refuses_the_server(name: str, value: str) -> None:
    with pytest.raises(ServerRefused):
        facts_from_parameters("2.51.0", {**PARAMETERS, name: value})


def test_tensors_of_a_chunk_become_scores_per_slice() -> None:
    scores = chunk_from_tensors(chunk_tensors(), FACTS, slices=2)
    assert scores.score.tolist() == [0.5, 0.5]
    assert scores.mask.shape == (2, 32, 48)
    assert scores.provenance == ("spec:a engines:b",) * 2


@pytest.mark.parametrize("name", sorted(chunk_tensors()))
def test_an_absent_tensor_is_named(name: str) -> None:
    tensors = {key: value for key, value in chunk_tensors().items() if key != name}
    with pytest.raises(ServerRefused, match=f"no {name}"):
        chunk_from_tensors(tensors, FACTS, slices=2)


@pytest.mark.parametrize("name", ["SCORE", "MEMBER_SCORES", "MASK", "LESION_MM2", "BRAIN_MM2"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_refused(name: str, value: float) -> None:
    tensors = chunk_tensors()
    tensors[name][1, 0] = value
    with pytest.raises(NonFiniteError, match=name):
        chunk_from_tensors(tensors, FACTS, slices=2)


def test_answers_for_another_number_of_slices_are_refused() -> None:
    with pytest.raises(ServerRefused, match="SCORE"):
        chunk_from_tensors(chunk_tensors(), FACTS, slices=3)


def test_a_tensor_of_another_type_is_refused() -> None:
    tensors = {**chunk_tensors(), "SCORE": np.zeros((2, 1), dtype=np.float64)}
    with pytest.raises(ServerRefused, match="float64"):
        chunk_from_tensors(tensors, FACTS, slices=2)


def test_slices_without_provenance_are_refused() -> None:
    tensors = {**chunk_tensors(), "PROVENANCE": texts("spec:a", "").reshape(2, 1)}
    with pytest.raises(ContractError, match="PROVENANCE"):
        chunk_from_tensors(tensors, FACTS, slices=2)


def test_tensors_of_a_study_become_a_score_with_decisions() -> None:
    score = study_from_tensors(study_tensors(), FACTS, slices=5)
    assert score.score == 0.75
    assert dict(score.decisions) == {
        "sensitive": Decision.POSITIVE,
        "specific": Decision.INDETERMINATE,
    }
    assert score.top_slices == (4, 3)


def test_an_empty_volume_is_no_volume_and_not_zero() -> None:
    tensors = {**study_tensors(), "LESION_VOLUME_ML": np.empty(0, dtype=np.float32)}
    assert study_from_tensors(tensors, FACTS, slices=5).lesion_volume_ml is None


@pytest.mark.parametrize(
    "change",
    [
        {"DECISION": texts("positive", "perhaps")},
        {"OPERATING_POINT": texts("specific", "sensitive")},
        {"TOP_SLICES": np.array([5], dtype=np.int32)},
        {"TOP_SLICES": np.empty(0, dtype=np.int32)},
        {"LESION_VOLUME_ML": np.zeros(2, dtype=np.float32)},
        {"STUDY_SCORE": np.array([np.nan], dtype=np.float32)},
        {"COVERAGE_MM": np.array([np.inf], dtype=np.float32)},
    ],
)
def test_a_study_result_that_cannot_be_is_refused(change: dict[str, NDArray[Any]]) -> None:
    with pytest.raises((ServerRefused, ContractError)):
        study_from_tensors({**study_tensors(), **change}, FACTS, slices=5)
