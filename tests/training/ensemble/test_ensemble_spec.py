"""A validation split -> the spec: honest, reproducible, and refused where it cannot be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from ichcore import spec_from_json, spec_to_json
from ichtrain.ensemble import (
    EnsembleOptions,
    FittedEnsemble,
    Validation,
    spec_from_validation,
    validated_from_outputs,
)
from ichtrain.ensemble.folds import folds_from_series
from ichtrain.ensemble.golden import golden_places
from ichtrain.errors import EnsembleError, OneClass

from .conftest import GRID, NAMES, outputs_of, series_of

MakeValidation = Callable[..., Validation]


@pytest.fixture(scope="module")
def validation(make_validation: MakeValidation) -> Validation:
    return make_validation(30)


@pytest.fixture(scope="module")
def fitted(validation: Validation) -> FittedEnsemble:
    return spec_from_validation(validation, EnsembleOptions(folds=3), {"data": "made up"})


def test_a_fitted_spec_is_whole_and_says_how_it_came_to_be(fitted: FittedEnsemble) -> None:
    spec = fitted.spec
    assert spec_from_json(spec_to_json(spec)) == spec
    assert spec.member_names == NAMES
    assert spec.grid == GRID
    assert spec.provenance == {"data": "made up"}
    assert fitted.record["spec_sha256"] == spec.sha256
    assert fitted.record["folds"] == 3
    assert len(fitted.record["study_rule"]["cross_validated"]) > 10
    assert "not a medical device" in fitted.record["what"]


def test_members_with_skill_are_told_from_chance(fitted: FittedEnsemble) -> None:
    auc = fitted.record["fitted_study_auc"]
    assert auc["ensemble"] > 0.9
    assert auc["ensemble"] >= auc["ich_small"]


def test_the_same_split_in_another_order_gives_the_same_decisions(
    validation: Validation, fitted: FittedEnsemble
) -> None:
    turned = replace(validation, series=validation.series[::-1])
    again = spec_from_validation(turned, EnsembleOptions(folds=3), {"data": "made up"}).spec
    assert again.study_rule == fitted.spec.study_rule
    for one, other in zip(again.members, fitted.spec.members, strict=True):
        assert one.score_weight == pytest.approx(other.score_weight, abs=1e-3)
    for one, other in zip(again.operating_points, fitted.spec.operating_points, strict=True):
        assert one.threshold == pytest.approx(other.threshold, abs=0.01)


def test_folds_keep_a_patient_together_and_both_kinds_in_each(validation: Validation) -> None:
    folds = folds_from_series(validation.series, 4, seed=0)
    patients = [patient for fold in folds for patient in fold]
    assert sorted(patients) == sorted({one.patient for one in validation.series})
    for fold in folds:
        assert {one.study for one in validation.series if one.patient in fold} == {0, 1}


def test_too_few_patients_leave_equal_weights_and_a_note(make_validation: MakeValidation) -> None:
    fitted = spec_from_validation(make_validation(2), EnsembleOptions(), {})
    assert [member.score_weight for member in fitted.spec.members] == [0.25] * 4
    assert fitted.spec.study_rule.name == "smoothed_maximum"
    assert any("Too few patients" in note for note in fitted.record["notes"])


def test_a_weak_member_without_mask_is_allowed_and_weighs_in_scores_alone(
    make_validation: MakeValidation,
) -> None:
    fitted = spec_from_validation(
        make_validation(15, weak=("ich_small",)), EnsembleOptions(folds=2), {}
    )
    small = fitted.spec.members[3]
    assert small.mask_weight == 0
    assert sum(member.mask_weight for member in fitted.spec.members) == pytest.approx(1)


def test_labels_of_studies_alone_fit_an_ensemble_and_it_says_so(
    make_validation: MakeValidation,
) -> None:
    fitted = spec_from_validation(
        make_validation(10, annotation="study"), EnsembleOptions(folds=2), {}
    )
    assert fitted.record["mask"]["dice"] is None
    assert any("No slice is known" in note for note in fitted.record["notes"])
    assert any("No mask was drawn" in note for note in fitted.record["notes"])


@pytest.mark.parametrize(("kinds", "missing"), [(("normal",), "with blood"), (("sdh",), "without")])
def test_one_class_is_refused(
    make_validation: MakeValidation, kinds: tuple[str, ...], missing: str
) -> None:
    with pytest.raises(OneClass, match=missing):
        make_validation(3, kinds=kinds)


@pytest.mark.parametrize("tensor", ["logit", "mask", "brain"])
def test_outputs_that_are_not_finite_are_refused_by_member_and_series(tensor: str) -> None:
    outputs = outputs_of("sdh", 1)
    broken = np.array(getattr(outputs["ich_any"], tensor))
    broken.flat[0] = np.nan
    outputs["ich_any"] = replace(outputs["ich_any"], **{tensor: broken})
    with pytest.raises(EnsembleError, match=r"ich_any .*not finite on series 1\.2\.1;"):
        validated_from_outputs(series_of("sdh", 1), outputs, NAMES, "ich_any")


def test_a_member_that_should_give_brain_and_does_not_is_refused() -> None:
    with pytest.raises(EnsembleError, match="ich_sdh gives no BRAIN"):
        validated_from_outputs(series_of("sdh", 1), outputs_of("sdh", 1), NAMES, "ich_sdh")


def test_masks_on_another_raster_are_refused() -> None:
    series = series_of("sdh", 1)
    assert series.lesion is not None
    other = replace(series, lesion=series.lesion[:, ::2, ::2])
    with pytest.raises(EnsembleError, match="on the members' grid"):
        validated_from_outputs(other, outputs_of("sdh", 1), NAMES, "ich_any")


def test_golden_slices_differ_and_hold_every_subtype(
    validation: Validation, fitted: FittedEnsemble
) -> None:
    kinds = {one.uid: series_of_uid(one.uid) for one in validation.series}
    places = golden_places(validation, fitted.spec, kinds)
    assert len(places) == len(set(places)) >= 4
    assert {"sdh", "sah", "iph"} <= set().union(*(kinds[uid] for uid, _ in places))
    scores = {
        uid: validation.slices(one, fitted.spec).score
        for one in validation.series
        for uid in [one.uid]
    }
    golden = [float(scores[uid][index]) for uid, index in places]
    assert max(golden) - min(golden) > 0.5


def series_of_uid(uid: str) -> frozenset[str]:
    from .conftest import KINDS

    number = int(uid.rpartition(".")[2])
    return series_of(KINDS[number % len(KINDS)], number).subtypes


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"split": "holdout"}, "holdout"),
        ({"members": ()}, "at least one member"),
        ({"members": ("a", "a")}, "each named once"),
        ({"brain_member": "nobody"}, "nobody"),
        ({"prior_patients": float("nan")}, "nan patients"),
        ({"folds": 1}, "1 folds"),
        ({"sensitivity": 0.0}, "sensitivity"),
    ],
)
def test_options_that_mean_nothing_are_refused(changes: dict[str, object], named: str) -> None:
    with pytest.raises(EnsembleError, match=named):
        EnsembleOptions(**changes)  # type: ignore[arg-type]
