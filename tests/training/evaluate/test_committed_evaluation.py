"""What the repository says of its weights is what was recorded of these very weights."""

from __future__ import annotations

from pathlib import Path

import pytest

from ichexport.manifest import sha256_from_file
from ichexport.repository import spec_of_repository
from ichexport.targets import ONNX_FILE
from ichtrain.evaluate.record import Record, record_from_file, record_to_json
from ichtrain.evaluate.shown import card_from_record, readme_with_table
from ichtrain.evaluate.tables import page_from_record

ROOT = Path(__file__).parents[3]
REPOSITORY = ROOT / "model_repository"
EVALUATION = ROOT / "docs" / "evaluation"
AGAIN = "ichtrain card docs/evaluation/evaluation.json --card docs/model-card.md --readme README.md"


@pytest.fixture(scope="module")
def record() -> Record:
    return record_from_file(EVALUATION / "evaluation.json")


def test_the_figures_are_of_the_released_spec_and_graphs(record: Record) -> None:
    spec = spec_of_repository(REPOSITORY)
    assert record["spec_sha256"] == spec.sha256
    assert record["conditions"]["files_sha256"] == {
        name: sha256_from_file(REPOSITORY / name / "1" / ONNX_FILE) for name in spec.member_names
    }


def test_the_figures_are_of_enough_unseen_phantoms_of_every_subtype(record: Record) -> None:
    assert record["conditions"]["split"] == "test"
    assert record["counts"]["bleeds"] >= 60
    assert record["counts"]["clean"] >= 12
    by_name = {one["name"]: one["bleeds"] for one in (*record["subtypes"], *record["bands"])}
    for name in ("sdh", "sah", "edh", "iph", "ivh", "two or more", "5 mL or less"):
        assert by_name[name] >= 5, name


def test_the_record_is_as_it_was_written(record: Record) -> None:
    text = (EVALUATION / "evaluation.json").read_text(encoding="utf-8")
    assert record_to_json(record) == text


def test_the_page_beside_the_record_shows_it(record: Record) -> None:
    page = (EVALUATION / "evaluation.md").read_text(encoding="utf-8")
    assert page == page_from_record(record), AGAIN
    for line in page.splitlines():
        if line.startswith("!["):
            assert (EVALUATION / line.partition("(")[2].rstrip(")")).is_file(), line


def test_the_model_card_is_generated_from_the_record(record: Record) -> None:
    card = (ROOT / "docs" / "model-card.md").read_text(encoding="utf-8")
    assert card == card_from_record(record), AGAIN


def test_the_readme_shows_the_record(record: Record) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme == readme_with_table(readme, record), AGAIN
