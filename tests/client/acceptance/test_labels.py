"""A table of labels is understood whole, or the line that is not is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from ichclient.acceptance.labels import labels_from_file
from ichclient.errors import BadLabels


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    return tmp_path


def labels(folder: Path, text: str) -> Path:
    (folder / "labels.csv").write_text(text, encoding="utf-8")
    return folder / "labels.csv"


def test_what_is_known_is_read(folder: Path) -> None:
    text = "haemorrhage,study,volume_ml,subtypes,case\nYes,a,3.5,sdh; iph,x-1\n0,b,,,\n"
    found = labels_from_file(labels(folder, "\ufeff" + text))
    first, second = found.cases
    assert (first.name, first.haemorrhage, first.subtypes) == ("x-1", True, ("sdh", "iph"))
    assert (first.volume_ml, first.folder) == (3.5, "cases/0001")
    assert (second.name, second.haemorrhage, second.volume_ml) == ("case 2", False, None)
    assert found.studies == (str(folder / "a"), str(folder / "b"))


def test_an_address_of_a_pacs_is_left_as_it_is(folder: Path) -> None:
    address = "dicomweb:https://pacs.example.org/rs?AccessionNumber=7"
    found = labels_from_file(labels(folder, f"study,haemorrhage\n{address},no\n"))
    assert found.studies == (address,)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("study\na\n", "lacks haemorrhage"),
        ("study,haemorrhage,sex\na,yes,f\n", "has 'sex'"),
        ("study,haemorrhage,study\na,yes,b\n", "each once"),
        ("study,haemorrhage\na,perhaps\n", "line 2: haemorrhage is yes or no"),
        ("study,haemorrhage\na,yes\nc,no\n", "line 3: there is no"),
        ("study,haemorrhage\na,yes\n,no\n", "line 3 names no study"),
        ("study,haemorrhage\na,yes\n./a,no\n", "line 3: this study is there twice"),
        ("study,haemorrhage,case\na,yes,x\nb,no,x\n", "case 'x' is there twice"),
        ("study,haemorrhage,case\na,yes,../x\n", "named by letters"),
        ("study,haemorrhage,volume_ml\na,yes,nan\n", "volume_ml is a number"),
        ("study,haemorrhage,volume_ml\na,no,4\n", "no haemorrhage, but"),
        ("study,haemorrhage\na\n", "not as many values"),
        ("study,haemorrhage\na,yes,more\n", "not as many values"),
        ("study,haemorrhage\n", "names no study"),
        ("", "lacks study, haemorrhage"),
    ],
)
def test_what_is_not_understood_is_named(folder: Path, text: str, said: str) -> None:
    with pytest.raises(BadLabels, match=said):
        labels_from_file(labels(folder, text))


def test_a_file_that_is_none_is_one_sentence(folder: Path) -> None:
    with pytest.raises(BadLabels, match="cannot be read"):
        labels_from_file(folder / "absent.csv")
    (folder / "labels.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadLabels, match="no UTF-8"):
        labels_from_file(folder / "labels.csv")
