"""The figures that travel with the bundle are those of the committed evaluation, of its spec."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from ichcore import EnsembleSpec
from ichcore.reference import reference_from_json, reference_to_json
from ichexport.errors import IchExportError
from ichexport.reference import reference_from_evaluation, write_reference


@pytest.fixture(scope="module")
def evaluation(checkout: Path) -> Path:
    return checkout / "docs" / "evaluation" / "evaluation.json"


def test_the_committed_reference_is_of_the_committed_evaluation(
    evaluation: Path, bundle: Path, released_spec: EnsembleSpec
) -> None:
    reference = reference_from_evaluation(evaluation.read_text(encoding="utf-8"), released_spec)
    assert (bundle / "reference.json").read_text(encoding="utf-8") == reference_to_json(reference)


def test_it_says_what_the_model_card_says(bundle: Path, checkout: Path) -> None:
    reference = reference_from_json((bundle / "reference.json").read_text(encoding="utf-8"))
    card = (checkout / "docs" / "model-card.md").read_text(encoding="utf-8")
    for point in reference.points:
        words = f"| {point.name.replace('_', ' ')} | {point.threshold:g} | {point.bleeds.positive}"
        assert f"{words} of {point.bleeds.total}" in card
        assert f"{point.clean.negative} of {point.clean.total}" in card
    assert len(reference.bleeds) == reference.points[0].bleeds.total


def test_of_another_spec_nothing_is_written(
    evaluation: Path, released_spec: EnsembleSpec, tmp_path: Path
) -> None:
    with pytest.raises(IchExportError, match="evaluate this one"):
        write_reference(tmp_path, evaluation, dataclasses.replace(released_spec, version="9"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "[]", "{}", json.dumps({"format": 2})])
def test_what_is_no_evaluation_is_refused(text: str, released_spec: EnsembleSpec) -> None:
    with pytest.raises(IchExportError, match="no evaluation"):
        reference_from_evaluation(text, released_spec)
