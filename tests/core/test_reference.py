"""What travels with a bundle about its model card: read as it was written, or refused."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from ichcore import ContractError
from ichcore.reference import (
    SCORE_EDGES,
    Calls,
    PointCalls,
    Reference,
    reference_from_json,
    reference_to_json,
    score_bin,
    shares_below,
)

ONE = Reference(
    name="fake 1",
    spec_sha256="a" * 64,
    about="4 series",
    evaluation_sha256="b" * 64,
    points=(PointCalls("balanced", 0.5, Calls(1, 1, 0, 0), Calls(0, 1, 1, 0)),),
    bleeds=(0.05, 0.9),
    clean=(0.051, 0.2),
)


def test_it_comes_back_as_it_was() -> None:
    assert reference_from_json(reference_to_json(ONE)) == ONE


@pytest.mark.parametrize(
    "spoil",
    [
        lambda found: found.update(format=2),
        lambda found: found.pop("about"),
        lambda found: found["points"][0]["bleeds"].update(positive=-1),
        lambda found: found["bleeds"].reverse(),
        lambda found: found["clean"].append(1.5),
        lambda found: found.update(points=[]),
    ],
)
def test_what_is_none_is_refused(spoil: Any) -> None:
    found = json.loads(reference_to_json(ONE))
    spoil(found)
    with pytest.raises(ContractError):
        reference_from_json(json.dumps(found))


def test_bins_end_at_their_edges() -> None:
    assert [score_bin(score) for score in (0.0, 0.05, 0.0501, 1.0)] == [0, 0, 1, 19]
    assert all(low < high for low, high in pairwise(SCORE_EDGES))
    assert SCORE_EDGES[-1] == 1.0
    for score in (-0.1, 1.1, float("nan")):
        with pytest.raises(ContractError):
            score_bin(score)


def test_shares_rise_to_all() -> None:
    assert shares_below(ONE.bleeds) == (0.5,) * 17 + (1.0,) * 3
    assert shares_below(replace(ONE, bleeds=()).bleeds) == ()
