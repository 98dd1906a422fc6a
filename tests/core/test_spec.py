"""An ensemble spec survives its JSON unchanged, and a spec that cannot be meant is refused."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest

from ichcore import (
    Calibration,
    ContractError,
    EnsembleSpec,
    MemberSpec,
    OperatingPoint,
    SpecError,
    StudyRule,
    spec_from_json,
    spec_to_json,
)

MakeSpec = Callable[..., EnsembleSpec]
NAN = float("nan")


def edited(spec: EnsembleSpec, path: str, value: Any) -> str:
    """The spec's JSON with one field, named as `members.0.name`, set to `value`."""
    fields = json.loads(spec_to_json(spec))
    *parents, last = path.split(".")
    node = fields
    for key in parents:
        node = node[int(key) if isinstance(node, list) else key]
    node[last] = value
    return json.dumps(fields)


def test_json_there_and_back_is_the_same_spec_and_hash(make_spec: MakeSpec) -> None:
    spec = make_spec()
    again = spec_from_json(spec_to_json(spec))
    assert again == spec
    assert again.sha256 == spec.sha256
    assert spec_to_json(again) == spec_to_json(spec)


def test_the_hash_follows_weights_and_thresholds(make_spec: MakeSpec) -> None:
    assert make_spec().sha256 != make_spec(mask_threshold=0.41).sha256


def test_members_keep_their_order(make_spec: MakeSpec) -> None:
    assert make_spec().member_names == ("ich_any", "ich_sdh", "ich_sah")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("contract_version", 2),
        ("brain_member", "ich_small"),
        ("mask_threshold", 0.0),
        ("brain_threshold", 1.0),
        ("brain_threshold", NAN),
        ("members", []),
        ("members", None),
        ("members.1.name", "ich_any"),
        ("members.1.name", "../ich_any"),
        ("members.1.name", ""),
        ("members.1.name", "ich_\u00e4ny"),
        ("members.1.name", 7),
        ("members.0.score_weight", 0.6),
        ("members.0.mask_weight", 0.6),
        ("members.0.score_weight", NAN),
        ("members.0.score_weight", -0.1),
        ("members.0.mask_weight", "0.5"),
        ("members.0.weights_sha256", "abc"),
        ("members.0.weights_sha256", "z" * 64),
        ("members.0.calibration", None),
        ("members.0.calibration.slope", 0.0),
        ("members.0.calibration.slope", -1.0),
        ("members.0.calibration.intercept", NAN),
        ("members.0.extra", 1),
        ("operating_points", []),
        ("operating_points.1.name", "sensitive"),
        ("operating_points.0.threshold", NAN),
        ("operating_points.0.threshold", 1.2),
        ("operating_points.0.sensitivity", -0.1),
        ("study_rule.name", "maximum"),
        ("study_rule.name", None),
        ("study_rule.name", ["top_mean"]),
        ("study_rule.top_mean_slices", 0),
        ("study_rule.top_mean_slices", 2.5),
        ("study_rule.half_volume_ml", 0.0),
        ("study_rule.half_volume_ml", NAN),
        ("study_rule.volume_weight", 1.1),
        ("study_rule.volume_weight", NAN),
        ("study_rule.nominal_extent_mm", 0.0),
        ("study_rule.minimum_brain_share", -0.1),
        ("study_rule.minimum_brain_share", 1.1),
        ("study_rule.minimum_brain_share", "0.5"),
        ("study_rule.neighbour_weights", [0.5, 0.5]),
        ("study_rule.neighbour_weights", [0.5, 0.5, 0.5]),
        ("study_rule.neighbour_weights", [-0.5, 1.0, 0.5]),
        ("study_rule.neighbour_weights", [NAN, 0.5, 0.5]),
        ("study_rule.minimum_slices", 0),
        ("study_rule.top_slices", 0),
        ("study_rule.minimum_coverage_mm", -1.0),
        ("study_rule.minimum_coverage_mm", NAN),
        ("study_rule.minimum_brain_mm2", -1.0),
        ("study_rule.minimum_brain_mm2", NAN),
        ("study_rule.maximum_gap_mm", 0.0),
        ("unknown", 1),
    ],
)
def test_a_spec_that_cannot_be_meant_is_refused(make_spec: MakeSpec, path: str, value: Any) -> None:
    with pytest.raises(SpecError):
        spec_from_json(edited(make_spec(), path, value))


@pytest.mark.parametrize(("path", "value"), [("grid.rows", 100), ("grid.mask_stride", 0)])
def test_a_grid_that_cannot_be_is_refused(make_spec: MakeSpec, path: str, value: Any) -> None:
    with pytest.raises(ContractError):
        spec_from_json(edited(make_spec(), path, value))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"spec"', "{}"])
def test_text_that_is_no_spec_is_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(SpecError, match="Write it again with ichtrain"):
        spec_from_json(text)


@pytest.mark.parametrize(
    "path",
    [
        "contract_version",
        "provenance",
        "grid.rows",
        "grid.pixel_spacing_mm",
        "study_rule.name",
        "study_rule.minimum_brain_share",
        "study_rule.minimum_coverage_mm",
        "members.0.calibration.slope",
    ],
)
def test_a_field_left_out_is_refused_and_never_filled_with_a_default(
    make_spec: MakeSpec, path: str
) -> None:
    fields = json.loads(spec_to_json(make_spec()))
    *parents, last = path.split(".")
    node = fields
    for key in parents:
        node = node[int(key) if isinstance(node, list) else key]
    del node[last]
    with pytest.raises(SpecError):
        spec_from_json(json.dumps(fields))


@pytest.mark.parametrize("value", [Calibration(), OperatingPoint("p", 0.5, 0.9, 0.9), StudyRule()])
def test_values_are_frozen(value: Any) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, dataclasses.fields(value)[0].name, None)


def test_weights_that_miss_1_by_rounding_alone_are_taken(make_spec: MakeSpec) -> None:
    thirds = tuple(
        MemberSpec(name, name, 1 / 3, 1 / 3, Calibration(), "b" * 64)
        for name in ("ich_any", "ich_sdh", "ich_sah")
    )
    assert make_spec(members=thirds).members == thirds
