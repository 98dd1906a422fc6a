"""Figures are those a reader would count by hand, and an empty group says none."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import auc, roc_auc_score

from ichtrain.data import LabelledSeries
from ichtrain.errors import EvaluationError
from ichtrain.evaluate import Bundle, Outcome, outcome_from_series, record_from_outcomes
from ichtrain.evaluate.plots import pictures_from_record
from ichtrain.evaluate.record import BASELINE, Record, record_from_file, record_to_json
from ichtrain.evaluate.roc import MOST_POINTS, curve_from_scores
from ichtrain.evaluate.tables import page_from_record, readme_table

from .conftest import drawn, with_hu


@pytest.fixture(scope="module")
def outcomes(bundle: Bundle, cohort: Sequence[LabelledSeries]) -> list[Outcome]:
    return [outcome_from_series(series, bundle) for series in cohort]


@pytest.fixture(scope="module")
def record(bundle: Bundle, outcomes: list[Outcome]) -> Record:
    return record_from_outcomes(outcomes, bundle.spec, CONDITIONS)


CONDITIONS = {"command": "ichtrain evaluate made-up", "split": "test", "engine": "brightness",
              "data": [{"folder": "made-up", "series": 12}]}  # fmt: skip


def by_name(record: Record, table: str) -> dict[str, Record]:
    return {one["name"]: one for one in record[table]}


def test_sensitivity_and_specificity_count_by_hand(record: Record) -> None:
    balanced = record["whole"]["points"][1]
    assert balanced["bleeds"] == {"positive": 4, "negative": 2, "indeterminate": 0, "refused": 0}
    assert balanced["sensitivity"]["share"] == pytest.approx(4 / 6, abs=1e-6)
    assert balanced["specificity"]["share"] == 1.0
    assert balanced["predictive"][-1]["prevalence"] == 0.5
    assert balanced["predictive"][-1]["npv"] == pytest.approx(6 / 8, abs=1e-6)


def test_refused_and_indeterminate_count_against_both(
    bundle: Bundle, outcomes: list[Outcome]
) -> None:
    broken = drawn(20, ("sdh",))
    nowhere = with_hu(broken, np.full_like(broken.hu, np.nan))
    more = [nowhere, drawn(21, slices=7)]
    all_of_them = [*outcomes, *(outcome_from_series(series, bundle) for series in more)]
    record = record_from_outcomes(all_of_them, bundle.spec, CONDITIONS)
    balanced = record["whole"]["points"][1]
    assert balanced["bleeds"]["refused"] == 1
    assert balanced["clean"]["indeterminate"] == 1
    assert balanced["sensitivity"]["total"] == 7
    assert balanced["specificity"]["share"] == pytest.approx(6 / 7, abs=1e-6)
    assert record["counts"]["refused"] == 1
    assert record["counts"]["indeterminate"]["balanced"] == 1
    assert record["study"]["cases"] == 13  # the refused one has no score


def test_areas_are_those_of_the_stored_scores(record: Record) -> None:
    truth = [one["truth"] for one in record["series"]]
    score = [one["score"] for one in record["series"]]
    areas = record["study"]["areas"]
    assert areas["ensemble"]["area"] == pytest.approx(roc_auc_score(truth, score), abs=1e-5)
    assert set(areas["others"]) == {"sharp", "dull", BASELINE}
    assert {one["against"] for one in areas["tests"]} == set(areas["others"])
    slices = sum(len(one["decisions"]) > 0 for one in record["series"]) * 12
    assert record["slice"]["cases"] == slices


def test_a_second_series_of_every_patient_makes_nothing_surer(
    bundle: Bundle, outcomes: list[Outcome], record: Record
) -> None:
    again = [replace(one, SeriesInstanceUID=f"{one.SeriesInstanceUID}.2") for one in outcomes]
    twice = record_from_outcomes([*outcomes, *again], bundle.spec, CONDITIONS)
    for level in ("study", "slice"):
        once, more = (one[level]["areas"]["ensemble"] for one in (record, twice))
        assert more["standard_error"] == pytest.approx(once["standard_error"], rel=1e-4)


def test_every_bleed_is_in_its_subtypes_and_in_one_band(record: Record) -> None:
    subtypes, bands = by_name(record, "subtypes"), by_name(record, "bands")
    assert {name: one["bleeds"] for name, one in subtypes.items()} == {
        "sdh": 2, "sah": 2, "edh": 0, "iph": 2, "ivh": 1, "two or more": 1, "subtype unknown": 0,
    }  # fmt: skip
    assert sum(one["bleeds"] for one in bands.values()) == 6
    assert bands["5 mL or less"]["bleeds"] == 2
    assert bands["volume unknown"]["bleeds"] == 1
    assert all(one["clean"] == 6 for one in (*subtypes.values(), *bands.values()))


def test_an_empty_group_says_none(record: Record) -> None:
    assert by_name(record, "subtypes")["edh"]["area"] is None
    assert "| epidural | none | not defined | none | none | none |" in page_from_record(record)


def test_sites_are_held_against_their_own_clean_heads(record: Record) -> None:
    sites = by_name(record, "sites")
    assert {name: (one["bleeds"], one["clean"]) for name, one in sites.items()} == {
        "A": (4, 3),
        "B": (2, 3),
    }


@pytest.mark.parametrize("kept", [True, False])
def test_one_class_leaves_the_area_undefined_and_the_rest_stands(
    kept: bool, bundle: Bundle, outcomes: list[Outcome]
) -> None:
    record = record_from_outcomes(
        [one for one in outcomes if one.truth is kept], bundle.spec, CONDITIONS
    )
    page = page_from_record(record)
    assert "| study | ensemble | 6 (6 with blood) | not defined |" in page or not kept
    assert record["study"]["areas"]["ensemble"] is None
    balanced = record["whole"]["points"][1]
    assert (balanced["sensitivity"] is None) is not kept
    assert (balanced["specificity"] is None) is kept
    assert "none" in readme_table(record)


def test_only_unknown_truths_still_make_a_page(bundle: Bundle, outcomes: list[Outcome]) -> None:
    nobody = [replace(one, truth=None, slices=None) for one in outcomes]
    record = record_from_outcomes(nobody, bundle.spec, CONDITIONS)
    assert record["counts"]["truth_unknown"] == 12
    assert "not defined" in page_from_record(record)
    assert all(pictures_from_record(record).values())


def test_nothing_judged_is_an_error(bundle: Bundle) -> None:
    with pytest.raises(EvaluationError, match="no series"):
        record_from_outcomes([], bundle.spec, CONDITIONS)


def test_no_patient_is_named_in_the_record(record: Record) -> None:
    assert record["counts"]["patients"] == 12
    assert "P10" not in record_to_json(record)


def test_a_record_is_plain_json_and_comes_back_the_same(record: Record, tmp_path: Path) -> None:
    path = tmp_path / "evaluation.json"
    text = record_to_json(record)
    path.write_text(text)
    assert record_from_file(path) == record == json.loads(text)
    assert "NaN" not in text
    assert "Infinity" not in text
    lines = text.splitlines()
    assert sum("SeriesInstanceUID" in line for line in lines) == len(record["series"])


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 99}'])
def test_what_is_no_record_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "evaluation.json"
    path.write_text(text)
    with pytest.raises(EvaluationError, match="ichtrain evaluate"):
        record_from_file(path)


def test_pictures_and_page_say_that_it_is_no_medical_device(record: Record) -> None:
    assert "not a medical device" in page_from_record(record)
    pictures = pictures_from_record(record)
    assert set(pictures) == {"roc.png", "reliability.png", "weights.png", "volume.png"}
    assert all(content.startswith(b"\x89PNG") for content in pictures.values())


def test_a_stored_curve_is_short_and_keeps_its_ends() -> None:
    rng = np.random.default_rng(0)
    truth = np.arange(4000) % 2
    curve = curve_from_scores(truth, rng.normal(truth, 1.0))
    assert curve is not None
    assert len(curve.found) <= MOST_POINTS
    assert (curve.false_alarms[0], curve.found[0]) == (0.0, 0.0)
    assert (curve.false_alarms[-1], curve.found[-1]) == (1.0, 1.0)
    assert auc(curve.false_alarms, curve.found) == pytest.approx(0.76, abs=0.02)
    assert curve_from_scores([1, 1], [0.0, 1.0]) is None
