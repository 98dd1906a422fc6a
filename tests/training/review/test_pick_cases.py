"""Which cases a study takes: what the ensemble or most comparators get wrong or nearly wrong."""

from __future__ import annotations

import pytest

from ichtrain.errors import ReviewError
from ichtrain.review.pick import CONTROL, DIFFICULT, Picked, PickOptions, picked_from_evaluations

from .conftest import SCORES, evaluation, is_bleed, uid

PATIENTS = {uid(number): f"patient {number}" for number in range(12)}


def numbers(picked: tuple[Picked, ...], kind: str) -> set[int]:
    return {int(one.SeriesInstanceUID.rsplit(".", 1)[1]) for one in picked if one.kind == kind}


def picked(options: PickOptions, *scores: dict[int, float]) -> tuple[Picked, ...]:
    evaluations = [evaluation(each, f"model {index}") for index, each in enumerate(scores)]
    return picked_from_evaluations(evaluations, PATIENTS, options)


def test_wrong_and_nearly_wrong_cases_are_difficult_and_controls_are_easy() -> None:
    found = picked(PickOptions(cases=12, controls_share=4 / 12), SCORES)
    assert numbers(found, DIFFICULT) == set(range(8))
    assert numbers(found, CONTROL) == {8, 9, 10, 11}


def test_the_hardest_come_first_when_there_are_too_many() -> None:
    found = picked(PickOptions(cases=2, controls_share=0), SCORES)
    assert numbers(found, DIFFICULT) == {0, 1}


def test_nearly_wrong_is_measured_in_logits() -> None:
    # 0.55 is 0.2 logits right of a threshold of 0.5, 0.9 is 2.2
    scores = {1: 0.55, 3: 0.9, 0: 0.01}
    assert numbers(picked(PickOptions(4, 0, margin=0.3), scores), DIFFICULT) == {1}
    assert numbers(picked(PickOptions(4, 0, margin=0.1), scores), DIFFICULT) == set()
    assert numbers(picked(PickOptions(4, 0, margin=2.5), scores), DIFFICULT) == {1, 3}


def test_most_comparators_make_a_case_difficult_and_half_of_them_do_not() -> None:
    sure = {1: 0.99, 3: 0.99, 0: 0.01}
    missed_one, missed_both = {**sure, 1: 0.1}, {**sure, 1: 0.1, 3: 0.1}
    found = picked(PickOptions(4, 0), sure, missed_one, missed_both, missed_one, sure)
    assert numbers(found, DIFFICULT) == {1}
    assert found[0].reason.endswith("3 of 4 comparators are wrong or nearly wrong")
    half = picked(PickOptions(4, 0), sure, missed_one, missed_one, sure, sure)
    assert numbers(half, DIFFICULT) == set()


@pytest.mark.parametrize(("share", "normals"), [(0.0, 0), (0.5, 2), (1.0, 4)])
def test_the_share_of_normals_is_kept(share: float, normals: int) -> None:
    found = picked(PickOptions(cases=4, controls_share=0.5, normals_share=share), SCORES)
    everyone = numbers(found, DIFFICULT) | numbers(found, CONTROL)
    assert sum(not is_bleed(number) for number in everyone) == normals
    assert len(everyone) == 4


def test_too_few_normals_are_made_up_by_bleeds() -> None:
    scores = {1: 0.1, 3: 0.1, 5: 0.1, 0: 0.9}
    assert len(picked(PickOptions(cases=4, controls_share=0), scores)) == 4


def test_no_patient_is_read_twice() -> None:
    patients = dict.fromkeys(PATIENTS, "the same")
    found = picked_from_evaluations([evaluation(SCORES)], patients, PickOptions(12, 0.5))
    assert len(found) == 1


def test_controls_are_drawn_by_the_seed() -> None:
    easy = {number: 0.99 if is_bleed(number) else 0.01 for number in range(12)}
    drawn = [numbers(picked(PickOptions(4, 1, seed=seed), easy), CONTROL) for seed in (0, 0, 1, 2)]
    assert drawn[0] == drawn[1]
    assert len({frozenset(one) for one in drawn}) > 1


def test_a_series_without_images_is_named() -> None:
    with pytest.raises(ReviewError, match=r"1 of the 1 series .* 1\.2\.826\.0\.1\.99\.77 "):
        picked_from_evaluations([evaluation({77: 0.5})], PATIENTS, PickOptions())


def test_a_comparator_that_did_not_judge_a_series_is_named() -> None:
    with pytest.raises(ReviewError, match=r"model 1 did not judge 1 of the 2 series"):
        picked(PickOptions(), {1: 0.5, 2: 0.5}, {1: 0.5})


@pytest.mark.parametrize(
    "wrong", [{"cases": 0}, {"controls_share": 1.1}, {"normals_share": -0.1}, {"margin": -1}]
)
def test_options_that_no_study_can_have_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ReviewError):
        PickOptions(**wrong)  # type: ignore[arg-type]
