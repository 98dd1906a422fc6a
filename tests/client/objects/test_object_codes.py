"""Codes are those of the verified table: check digits hold, and known wrong ones never appear."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydicom.sr._concepts_dict import concepts

import ichclient.objects
from ichclient.objects import codes
from ichcore import Decision

# Seen in public software for this very task: what they mean, or that they are no code at all.
WRONG = {
    "95455008": "thrombosis of cerebral veins, taken for subdural",
    "71186008": "croup, taken for intraventricular",
    "83329005": "no SNOMED CT identifier",
    "262052002": "no SNOMED CT identifier",
    "75063001": "no SNOMED CT identifier",
    "111047": "probability of cancer, taken for any probability",
    "2667000": "not the Absent that DICOM uses",
    "82999001": "epidural, of one source only",
    "450410005": "a cause (injury) that a detector cannot know",
    "450418003": "a cause (injury) that a detector cannot know",
}

PINNED = {
    "1386000", "274100004", "21454007", "23276006", "35486000", "705057003", "52101004",
    "272519000", "82334004", "12738006", "303653007", "49755003", "260753009",
}  # fmt: skip


def holds_verhoeff(number: str) -> bool:
    """Whether the last digit is the check digit of SNOMED CT: the dihedral group of order 10."""

    def times(a: int, b: int) -> int:
        if a < 5:
            return (a + b) % 5 if b < 5 else 5 + (a + b - 5) % 5
        return 5 + (a - 5 - b) % 5 if b < 5 else (a - b) % 5

    def moved(digit: int, place: int) -> int:
        for _ in range(place % 8):
            digit = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)[digit]
        return digit

    check = 0
    for place, digit in enumerate(reversed(number)):
        check = times(check, moved(int(digit), place))
    return check == 0


def test_the_table_is_the_verified_one() -> None:
    assert {row.value for row in codes.ALL_ROWS if row.scheme == "SCT"} == PINNED
    assert len({(row.scheme, row.value) for row in codes.ALL_ROWS}) == len(codes.ALL_ROWS)
    assert all(row.source and row.meaning for row in codes.ALL_ROWS)


@pytest.mark.parametrize("code", sorted(PINNED))
def test_check_digits_hold(code: str) -> None:
    assert holds_verhoeff(code)


def test_check_digits_are_really_checked() -> None:
    assert not holds_verhoeff("1386001")
    assert not holds_verhoeff("3186000")  # two digits changed places
    assert not any(map(holds_verhoeff, ("83329005", "262052002", "75063001")))


@pytest.mark.parametrize(
    "row",
    [row for row in codes.ALL_ROWS if row.source.startswith("DICOM")],
    ids=lambda row: row.meaning,
)
def test_codes_of_dicom_are_in_its_dictionary(row: codes.CodeRow) -> None:
    meanings = {
        entry[row.value][0].lower() for entry in concepts[row.scheme].values() if row.value in entry
    }
    assert any(meaning.startswith(row.meaning.lower()) for meaning in meanings)


def test_no_wrong_code_is_written_anywhere() -> None:
    (folder,) = ichclient.objects.__path__
    for path in Path(folder).glob("*.py"):
        assert not set(re.findall(r"\b\d{5,}\b", path.read_text())) & set(WRONG), path.name


def test_codes_are_written_in_the_table_alone() -> None:
    (folder,) = ichclient.objects.__path__
    texts = {path.name: path.read_text() for path in Path(folder).glob("*.py")}
    holders = {name for name, text in texts.items() if re.search(r'"\d{6,}"', text)}
    assert holders == {"codes.py"}


def test_decisions_have_the_presence_that_dicom_means() -> None:
    written = {key: row.value for key, row in codes.PRESENCE_OF_DECISION.items()}
    assert written == {
        Decision.POSITIVE: "52101004",
        Decision.NEGATIVE: "272519000",
        Decision.INDETERMINATE: "82334004",
    }


def test_members_without_a_verified_code_are_haemorrhages() -> None:
    assert codes.finding_of_member("ich_edh") == codes.INTRACRANIAL
    assert codes.finding_of_member("ich_sdh") == codes.SUBDURAL
