"""A patient is in one split, ever, and the assignment is a function of patients and seed."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import chain
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ichtrain.data.rows import SliceRow, checked, split_rows
from ichtrain.data.series import SPLITS
from ichtrain.data.splits import SplitOptions, refuse_leak, refuse_one_class, splits_from_patients
from ichtrain.errors import DataError, OneClass, SplitLeak

PATIENTS = st.dictionaries(st.text(min_size=1, max_size=6), st.booleans(), max_size=40)
SHARES = st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(1, 9)).map(
    lambda parts: tuple(part / sum(parts) for part in parts)
)


def rows_of(slices: list[tuple[str, int]]) -> list[SliceRow]:
    """A row for each (patient, label), every one a series of its own."""
    return [
        SliceRow(Path(f"/s{number}"), "1.2", f"1.2.{number}", f"1.2.{number}.1", (label,) * 6,
                 patient, "slice")
        for number, (patient, label) in enumerate(slices)
    ]  # fmt: skip


@given(
    st.lists(st.tuples(st.sampled_from("abcdefghij"), st.integers(0, 1)), min_size=1, max_size=60),
    SHARES,
    st.integers(0, 5),
)
def test_no_patient_is_ever_in_two_splits(
    slices: list[tuple[str, int]], shares: tuple[float, ...], seed: int
) -> None:
    rows = split_rows(rows_of(slices), SplitOptions(shares, seed))
    assert len(rows) == len(slices)
    by_patient = {row.patient: row.split for row in rows}
    assert all(row.split == by_patient[row.patient] for row in rows)
    assert set(by_patient.values()) <= set(SPLITS)
    checked(rows)


@given(PATIENTS, SHARES, st.integers(0, 5))
def test_the_order_of_patients_means_nothing(
    positive: dict[str, bool], shares: tuple[float, ...], seed: int
) -> None:
    options = SplitOptions(shares, seed)
    backwards = dict(reversed(positive.items()))
    assert splits_from_patients(positive, options) == splits_from_patients(backwards, options)


@given(PATIENTS, SHARES)
def test_positives_and_negatives_get_their_shares(
    positive: dict[str, bool], shares: tuple[float, ...]
) -> None:
    assigned = splits_from_patients(positive, SplitOptions(shares))
    for stratum in (True, False):
        patients = [patient for patient in positive if positive[patient] is stratum]
        counts = Counter(assigned[patient] for patient in patients)
        for split, share in zip(SPLITS, shares, strict=True):
            assert abs(counts[split] - share * len(patients)) < 1


@given(PATIENTS, PATIENTS)
def test_added_patients_move_nobody(before: dict[str, bool], added: dict[str, bool]) -> None:
    first = splits_from_patients(before, SplitOptions())
    together = splits_from_patients({**added, **before}, SplitOptions(), first)
    assert {patient: together[patient] for patient in before} == first
    assert set(together) == {*before, *added}


def test_a_seed_gives_another_assignment_and_an_assignment_is_kept_unless_anew() -> None:
    rows = split_rows(rows_of([(f"p{number}", number % 2) for number in range(20)]), SplitOptions())
    other = SplitOptions(seed=1)
    assert split_rows(rows, other) == rows
    assert split_rows(rows, replace(other, anew=True)) != rows


@pytest.mark.parametrize("shares", [(0.5, 0.5, 0.5), (1.2, -0.2, 0.0), (0.5, 0.5)])
def test_shares_that_are_none_are_refused(shares: tuple[float, ...]) -> None:
    with pytest.raises(DataError, match="sum to 1"):
        SplitOptions(shares)


def test_a_leak_between_two_sources_is_found() -> None:
    one, other = [("a", "train"), ("b", "test")], [("c", "train"), ("b", "validation")]
    refuse_leak(one)
    refuse_leak(other)
    with pytest.raises(SplitLeak, match="Patient b is in test and in validation"):
        refuse_leak(chain(one, other))


def test_an_empty_split_is_no_leak() -> None:
    refuse_leak([("a", ""), ("a", "train"), ("a", "")])


@pytest.mark.parametrize(("positives", "lacking"), [([True], "negative"), ([], "positive")])
def test_data_of_one_class_are_refused(positives: list[bool], lacking: str) -> None:
    refuse_one_class([True, False], "train")
    with pytest.raises(OneClass, match=f"no {lacking} among the {len(positives)} series of train"):
        refuse_one_class(positives, "train")
