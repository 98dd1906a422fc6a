"""acceptance.html: drawn from the record alone, whole in itself, and it says what it must."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from ichclient.acceptance.page import page_from_acceptance
from ichclient.acceptance.point import acceptance_of, point_by_sensitivity
from ichclient.acceptance.record import Acceptance


@pytest.fixture
def acceptance(accepted: Path) -> Acceptance:
    return acceptance_of(accepted)


def test_it_stands_for_itself(acceptance: Acceptance) -> None:
    page = page_from_acceptance(acceptance)
    assert re.findall(r'(?:src|href)="(?!data:|cases/)([^"]+)', page) == []
    assert "http:" not in page
    assert "https:" not in page
    assert page.count("Research demonstration, not a medical device.") >= 3
    assert "default-src &#39;none&#39;" in page


def test_it_shows_the_site_beside_the_card(acceptance: Acceptance) -> None:
    page = page_from_acceptance(acceptance)
    assert "4 studies, 3 with haemorrhage and 1 without" in page
    assert "0.67 (0.09 to 0.99), 2 of 3" in page  # the card's sensitivity
    assert "5 series of elsewhere" in page
    assert 'href="cases/0001/report.html"' in page
    assert "<bdi>lost-1</bdi>" in page


def test_missed_and_refused_stand_apart(acceptance: Acceptance) -> None:
    site = point_by_sensitivity(acceptance, 1 / 3)
    page = page_from_acceptance(replace(acceptance, site=site))
    missed = page[page.index(">Missed: ") : page.index(">Not cleared: ")]
    assert "M-1" in missed
    assert "lost-1" not in missed
    assert "Refused: 1" in page
    assert "flatter" in page


def test_without_a_card_it_says_so(acceptance: Acceptance) -> None:
    page = page_from_acceptance(replace(acceptance, card=None))
    assert "No figures of a model card came with the bundle" in page
    assert "on the model card" not in page


def test_words_of_the_labels_stay_words(acceptance: Acceptance) -> None:
    outcome = acceptance.outcomes[3]
    case = replace(outcome.case, subtypes=("<script>x</script>",))
    spoilt = (*acceptance.outcomes[:3], replace(outcome, case=case, sentence="\u202e<b>"))
    page = page_from_acceptance(replace(acceptance, outcomes=spoilt))
    assert "<script>" not in page
    assert "\u202e" not in page
