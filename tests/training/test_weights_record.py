"""The committed weights are those that the committed records tell of."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ichcore import MemberSpec
from ichexport.repository import spec_of_repository
from ichtrain.starter import FIRST, SUBTYPE, StarterOptions
from ichtrain.starter_cli import starter

CHECKOUT = Path(__file__).parents[2]
RECORDS = CHECKOUT / "docs" / "weights"
SPEC = spec_of_repository(CHECKOUT / "model_repository")


@pytest.mark.parametrize("member", SPEC.members, ids=lambda member: member.name)
def test_a_member_has_the_weights_of_its_record(member: MemberSpec) -> None:
    record = json.loads((RECORDS / f"{member.name}.json").read_text())
    assert record["weights_sha256"] == member.weights_sha256


def test_the_records_are_of_the_starters_own_options() -> None:
    for member in SPEC.members:
        options = json.loads((RECORDS / f"{member.name}.json").read_text())["options"]
        own = FIRST if member.name == FIRST.name else SUBTYPE
        for name in ("encoder", "epochs", "steps_per_epoch", "batch_size", "learning_rate"):
            assert options[name] == getattr(own, name), f"{member.name}: {name}"
    data = json.loads((RECORDS / "ich_any.json").read_text())["data"]
    starter = StarterOptions()
    assert data["training_series"] == starter.series
    assert sum(data["validation_series"].values()) == starter.validation_series


def test_the_command_makes_what_the_starter_makes() -> None:
    given = {parameter.name: parameter.default for parameter in starter.params}
    own = StarterOptions()
    for name in ("series", "validation_series", "slices", "workers"):
        assert given[name] == getattr(own, name), name
    assert (given["epochs"], given["subtype_epochs"]) == (FIRST.epochs, SUBTYPE.epochs)
    [steps] = [one for one in starter.params if one.name == "steps"]
    assert f"{FIRST.steps_per_epoch}, then {SUBTYPE.steps_per_epoch}" in (steps.help or "")


def test_the_spec_is_the_fit_of_its_record() -> None:
    record = json.loads((RECORDS / "ensemble.record.json").read_text())
    fitted = {point["name"]: point["threshold"] for point in record["operating_points"]["fitted"]}
    assert {point.name: point.threshold for point in SPEC.operating_points} == fitted
    assert record["study_rule"]["chosen"]["name"] == SPEC.study_rule.name


def test_all_weights_together_stay_small() -> None:
    graphs = (CHECKOUT / "model_repository").rglob("*.onnx")
    assert sum(path.stat().st_size for path in graphs) < 40 * 2**20
