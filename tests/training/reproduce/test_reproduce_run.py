"""`ichtrain reproduce` from seeds to page: everything there, everything from this run."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ichtrain.cli import main
from ichtrain.errors import ReproduceError
from ichtrain.reproduce import BUDGETS, PAGE_FILE, RECORD_FILE, page_from_record, reproduce

PUBLISHED = Path(__file__).parents[3] / "docs" / "reproduce"
PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Run:
    """A folder that `ichtrain reproduce` filled, and what the command said."""

    out: Path
    result: Result


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One run of the budget that tests have for themselves: two encoders, two steps each."""
    out = tmp_path_factory.mktemp("reproduce")
    command = ["reproduce", str(out), "--budget", "tiny", "--workers", "1"]
    return Run(out, CliRunner().invoke(main, command, catch_exceptions=False))


def numbers_of(value: Any) -> Iterator[float]:
    """Every number that a record holds, at whatever depth."""
    if isinstance(value, dict):
        for each in value.values():
            yield from numbers_of(each)
    elif isinstance(value, list):
        for each in value:
            yield from numbers_of(each)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield float(value)


@pytest.fixture(params=["tiny", "published"])
def record_and_page(request: pytest.FixtureRequest, tiny: Run) -> tuple[dict[str, Any], str]:
    """Record and page of the tiny run, and of the one that the documents show."""
    folder = tiny.out if request.param == "tiny" else PUBLISHED
    return json.loads((folder / RECORD_FILE).read_text()), (folder / PAGE_FILE).read_text()


def test_the_command_says_what_came_out(tiny: Run) -> None:
    assert tiny.result.exit_code == 0, tiny.result.output
    assert "strong_mobilenet_v2 better than weak_mobilenet_v2: " in tiny.result.output
    assert "ensemble better than strong_densenet121: " in tiny.result.output
    assert "not a medical device" in tiny.result.output
    for name in ("roc.png", "forest.png"):
        assert (tiny.out / name).read_bytes().startswith(PNG)


def test_the_page_is_made_of_its_record_alone(
    record_and_page: tuple[dict[str, Any], str],
) -> None:
    record, page = record_and_page
    assert page == page_from_record(record)


def test_every_area_and_probability_on_the_page_stands_in_the_record(
    record_and_page: tuple[dict[str, Any], str],
) -> None:
    record, page = record_and_page
    held = {f"{abs(number):.{digits}f}" for number in numbers_of(record) for digits in (3, 4)}
    shown = re.findall(r"(?<![\d./])\d\.\d{3,4}(?![\d.])", page.partition("## Conditions")[0])
    assert len(shown) > 12
    assert [number for number in shown if number not in held] == []


def test_the_page_shows_the_paper_and_never_a_network_that_did_not_train(
    record_and_page: tuple[dict[str, Any], str],
) -> None:
    record, page = record_and_page
    assert "0.953 (0.938 to 0.965)" in page  # the paper's ensemble
    assert "Research demonstration, not a medical device." in page
    for one in record["networks"]:
        assert one["trained"] is (one["validation_auc"] >= 0.6)
        assert (one["test"] is None) is (not one["trained"])
    out = {one["name"] for one in record["networks"] if not one["trained"]}
    for one in (*record["strong_beats_weak"], *record["ensemble_beats"]):
        assert (one["verdict"] == "not tested") is bool({one["first"], one["second"]} & out) or (
            "ensemble" in (one["first"], one["second"]) and not record["ensemble"]["trained"]
        )


def test_the_published_page_is_of_the_small_budget_and_every_network() -> None:
    record = json.loads((PUBLISHED / RECORD_FILE).read_text())
    budget = BUDGETS["small"]
    assert record["budget"]["name"] == "small"
    assert record["budget"]["series"] == dict(budget.series)
    names = [fit.name for fit in (*budget.comparators(), *budget.members())]
    assert [one["name"] for one in record["networks"]] == names
    assert len(names) == 12


def test_a_second_run_keeps_what_is_done(tiny: Run) -> None:
    before = {path: path.stat().st_mtime_ns for path in (tiny.out / "run").rglob("*")}
    record = (tiny.out / RECORD_FILE).read_text()
    again = CliRunner().invoke(main, ["reproduce", str(tiny.out), "--budget", "tiny"])
    assert again.exit_code == 0, again.output
    assert {path: path.stat().st_mtime_ns for path in (tiny.out / "run").rglob("*")} == before
    assert (tiny.out / RECORD_FILE).read_text() == record


def test_a_folder_of_another_budget_is_refused(tiny: Run) -> None:
    with pytest.raises(ReproduceError, match=r"budget\.json is of another budget .* another OUT"):
        reproduce(tiny.out, BUDGETS["small"])
    refused = CliRunner().invoke(main, ["reproduce", str(tiny.out), "--budget", "small"])
    assert refused.exit_code == ReproduceError.exit_code


def test_an_unknown_budget_is_refused(tmp_path: Path) -> None:
    refused = CliRunner().invoke(main, ["reproduce", str(tmp_path), "--budget", "huge"])
    assert refused.exit_code == 2
    assert "choose small or full" in refused.output
    assert not list(tmp_path.iterdir())
