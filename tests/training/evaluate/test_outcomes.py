"""A series is judged as the server would, and what cannot be judged is refused, never negative."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ichcore import Grid, slices_from_combined, study_from_slices
from ichexport.golden import combined_from_runners
from ichtrain.data import LabelledSeries
from ichtrain.data.items import items_hu
from ichtrain.errors import EvaluationError
from ichtrain.evaluate import Bundle, outcome_from_series

from .conftest import drawn, spec_of_two, with_hu


def test_a_series_gets_the_servers_own_score_whatever_the_chunks(bundle: Bundle) -> None:
    series = drawn(1, ("sdh",))
    whole = combined_from_runners(bundle.runners, items_hu(series, 1), bundle.spec)
    study = study_from_slices(
        slices_from_combined([whole], series.position_mm, "once"), bundle.spec
    )
    found = outcome_from_series(series, bundle)
    assert found.score == study.score
    assert tuple(found.member_scores.values()) == study.member_scores
    assert found.found_ml == study.lesion_volume_ml
    assert found.decisions == {"high_sensitivity": "positive", "balanced": "positive"}


def test_dice_and_volume_are_those_of_the_drawn_square(bundle: Bundle) -> None:
    found = outcome_from_series(drawn(2, ("iph",)), bundle)
    assert found.dice == pytest.approx(1.0)
    assert found.found_ml == pytest.approx(found.lesion_ml, rel=0.05)


def test_a_clean_head_has_no_dice(bundle: Bundle) -> None:
    found = outcome_from_series(drawn(3), bundle)
    assert (found.truth, found.dice) == (False, None)
    assert found.decisions["balanced"] == "negative"


def test_too_few_slices_are_indeterminate(bundle: Bundle) -> None:
    found = outcome_from_series(drawn(4, slices=7), bundle)
    assert set(found.decisions.values()) == {"indeterminate"}


def test_pixels_that_are_not_finite_are_refused(bundle: Bundle) -> None:
    series = drawn(5, ("sdh",))
    hu = np.array(series.hu)
    hu[0, 0, 0] = np.nan
    found = outcome_from_series(with_hu(series, hu), bundle)
    assert found.score is None
    assert found.slices is None
    assert "not finite" in str(found.refusal)
    assert found.decisions == {}


def test_a_bleed_that_shows_on_no_slice_is_neither_bleed_nor_clean(bundle: Bundle) -> None:
    assert outcome_from_series(replace(drawn(6), lesion_ml=0.2), bundle).truth is None


def unknown_labels(series: LabelledSeries) -> LabelledSeries:
    return replace(series, labels=np.full_like(series.labels, -1), annotation="slice", lesion=None)


def test_a_truth_that_nobody_knows_stays_unknown(bundle: Bundle) -> None:
    found = outcome_from_series(unknown_labels(drawn(7)), bundle)
    assert found.truth is None
    assert found.slices is not None
    assert (found.slices.truth == -1).all()


def test_a_label_of_the_study_says_nothing_of_its_slices(bundle: Bundle) -> None:
    bleed = outcome_from_series(drawn(8, ("sdh",), annotation="study"), bundle)
    clean = outcome_from_series(drawn(9, annotation="study"), bundle)
    assert bleed.slices is not None
    assert clean.slices is not None
    assert bleed.truth is True
    assert set(bleed.slices.truth) == {-1}
    assert set(clean.slices.truth) == {0}


def test_another_grid_is_named(bundle: Bundle) -> None:
    other = replace(bundle, spec=spec_of_two(Grid(rows=96, columns=96, pixel_spacing_mm=2.0)))
    with pytest.raises(EvaluationError, match=r"\(64, 64\).*\(96, 96\)"):
        outcome_from_series(drawn(1), other)


def test_members_that_take_neighbours_are_given_them(bundle: Bundle) -> None:
    grid = replace(bundle.spec.grid, slices_per_item=3)
    shapes = []

    def noting(hu: np.ndarray) -> dict[str, np.ndarray]:
        shapes.append(hu.shape)
        return bundle.runners["sharp"](hu)

    three = replace(
        bundle, spec=spec_of_two(grid), runners={"sharp": noting, "dull": bundle.runners["dull"]}
    )
    single, triple = (outcome_from_series(drawn(1, ("sdh",)), one) for one in (bundle, three))
    assert {shape[1:] for shape in shapes} == {(3, 64, 64)}
    assert triple.score == single.score  # these members look at the middle slice only
