"""Result files -> the page, the tables of the documents, and a check that they have not drifted."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from benchmarks.errors import BenchmarkError
from benchmarks.page import html_from_documents, write_page
from benchmarks.tables import TABLES, drifted, speed_table, write_tables
from benchmarks.targets import NAMES, documents_from_folder, targets_from_documents

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture
def documents() -> dict[str, dict[str, Any]]:
    """The committed results."""
    return documents_from_folder()


@pytest.fixture
def copies(tmp_path: Path) -> Path:
    """The documents that hold tables, elsewhere."""
    for name, _ in TABLES.values():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text((CHECKOUT / name).read_text())
    return tmp_path


def test_the_tables_are_those_of_the_result_files(documents: dict[str, Any]) -> None:
    names = [path.name for path in drifted(documents)]
    assert names == [], "run: python -m benchmarks.tables"


def test_a_number_that_moved_is_noticed_and_written(
    documents: dict[str, Any], copies: Path
) -> None:
    share = documents["throughput"]["ways"]["ich_fused, gRPC"]["8 slices, 2 in flight"]["share"]
    share |= {"median": 0.98, "low": 0.975, "high": 0.985}
    assert [path.name for path in drifted(documents, copies)] == ["README.md"]
    write_tables(documents, copies)
    assert "| 0.98 (0.97 to 0.98) | yes |" in (copies / "README.md").read_text()
    assert drifted(documents, copies) == {}


def test_a_document_without_its_markers_is_named(documents: dict[str, Any], copies: Path) -> None:
    readme = copies / "README.md"
    readme.write_text(readme.read_text().replace("<!-- /speed -->", ""))
    with pytest.raises(BenchmarkError, match=r"README\.md has no"):
        drifted(documents, copies)


def test_what_was_not_measured_says_so() -> None:
    assert {row.reached for row in targets_from_documents({})} == {None}
    assert "not measured" in speed_table({})
    assert html_from_documents({}).count("Not measured") == len(NAMES)


def test_the_page_holds_every_plot_and_needs_no_network(documents: dict[str, Any]) -> None:
    page = html_from_documents(documents)
    drawings = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(drawings) == len(documents) > 0
    for drawing in drawings:
        ElementTree.fromstring(drawing)
    assert "not a medical device" in page
    assert not re.search(r'(?:src|href)="(?!#)', re.sub(r"xlink:href", "href", page))


def test_a_result_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "scale.json").write_text("{")
    with pytest.raises(BenchmarkError, match=r"scale\.json is no result"):
        documents_from_folder(tmp_path)


def test_a_page_of_some_results_is_written_whole(documents: dict[str, Any], tmp_path: Path) -> None:
    some = {name: documents[name] for name in ("startup",) if name in documents}
    page = write_page(some, tmp_path / "new").read_text()
    assert page.count("<svg") == len(some)
