"""Labelled studies become a record that counts every one of them, however often it is started."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ichclient.acceptance.record import Acceptance, acceptance_bytes, acceptance_from_bytes
from ichclient.acceptance.run import Asked
from ichclient.cli import main
from ichclient.errors import BadLabels, BadRules, RefusedInput, ServerUnreachable
from ichclient.rules import DEFAULT_BOOK
from ichclient.site import Site, SitePoint
from ichcore import Decision


def test_every_study_is_counted_the_refused_one_too(
    accept: Callable[..., Acceptance], table: Path, tmp_path: Path
) -> None:
    acceptance = accept(table, tmp_path / "out")
    names = [outcome.case.name for outcome in acceptance.outcomes]
    assert names == ["case 1", "M-1", "case 3", "lost-1"]
    low, middle, high, lost = acceptance.outcomes
    assert low.score is not None
    assert middle.score is not None
    assert high.score is not None
    assert low.score < middle.score < high.score
    assert (lost.score, lost.refusal, lost.report) == (None, "nothing_found", None)
    (point,) = acceptance.points
    assert point.bleeds.total == 3
    assert point.bleeds.refused == 1
    assert point.sensitivity is not None
    assert point.sensitivity.total == 3
    assert acceptance.card is not None
    assert acceptance.card.points[0].bleeds.positive == 2
    assert (tmp_path / "out" / str(high.report)).is_file()


def test_nothing_repeats_a_path_that_may_hold_a_name(accepted: Path) -> None:
    told = [path for path in accepted.rglob("*") if path.is_file()]
    assert len(told) > 10
    assert [p for p in told if b"Doe" in p.read_bytes() or "Doe" in str(p)] == []


def test_the_record_reads_back_and_is_held_to_its_cases(accepted: Path) -> None:
    content = acceptance_bytes(accepted)
    acceptance = acceptance_from_bytes(content, accepted)
    assert len(acceptance.outcomes) == 4
    changed = json.loads(content)
    changed["points"][0]["bleeds"]["positive"] += 1
    with pytest.raises(RefusedInput, match="do not follow from its cases"):
        acceptance_from_bytes(json.dumps(changed).encode(), accepted)
    for spoil in (b"", b"[]", content[:-9], content.replace(b'"format": 1', b'"format": 2')):
        with pytest.raises(RefusedInput):
            acceptance_from_bytes(spoil, accepted)


def test_a_run_that_was_ended_goes_on(
    accept: Callable[..., Acceptance], table: Path, tmp_path: Path, fake_transport: Any
) -> None:
    def pull_the_plug(done: int, _: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        accept(table, tmp_path / "out", heard=pull_the_plug)
    assert not (tmp_path / "out" / "acceptance.json").exists()
    before = len(fake_transport.chunks)
    again = accept(table, tmp_path / "out")
    judged_again = sum(len(chunk) for chunk in fake_transport.chunks[before:]) - 1
    assert judged_again == 20  # the third study alone, and one golden slice
    whole = accept(table, tmp_path / "other")
    assert again.outcomes == tuple(
        replace(outcome, result_sha256=mine.result_sha256)
        for outcome, mine in zip(whole.outcomes, again.outcomes, strict=True)
    )


def test_a_server_that_fails_is_no_refused_study(
    accept: Callable[..., Acceptance], table: Path, tmp_path: Path, fake_transport: Any
) -> None:
    def no_answer() -> None:
        if len(fake_transport.chunks) > 1:
            raise ServerUnreachable("No answer.")

    fake_transport.on_infer = no_answer
    with pytest.raises(ServerUnreachable):
        accept(table, tmp_path / "out")
    fake_transport.on_infer = lambda: None
    assert len(accept(table, tmp_path / "out").refused) == 1


def test_another_table_or_other_rules_need_another_folder(
    accept: Callable[..., Acceptance], table: Path, accepted: Path
) -> None:
    with pytest.raises(BadLabels, match="other allowed"):
        accept(table, accepted, Asked(book=DEFAULT_BOOK.allowing(["gap"])))
    table.write_text(table.read_text().replace("low,no", "low,yes"))
    with pytest.raises(BadLabels, match="other labels"):
        accept(table, accepted)


def test_one_series_cannot_count_twice(
    accept: Callable[..., Acceptance], table: Path, tmp_path: Path, make_series: Callable[..., Path]
) -> None:
    make_series(table.parent / "twin", SeriesInstanceUID="1.2.3.4.0", StudyInstanceUID="1.2.0")
    table.write_text(table.read_text() + "twin,no,,,\n")
    with pytest.raises(RefusedInput, match="same series"):
        accept(table, tmp_path / "out")


def test_an_acceptance_measures_the_bundle_and_no_site_point(
    accept: Callable[..., Acceptance], table: Path, tmp_path: Path
) -> None:
    book = replace(DEFAULT_BOOK, site=Site(point=SitePoint("site", 0.5, "a" * 64)))
    with pytest.raises(BadRules, match="leave"):
        accept(table, tmp_path / "out", Asked(book=book))


def test_a_spec_that_is_not_at_hand_gives_no_figures(
    accept: Callable[..., Acceptance], table: Path, tmp_path: Path, server: Any
) -> None:
    (tmp_path / "repository" / "ich_study" / "1" / "ensemble.json").unlink()
    with pytest.raises(BadLabels, match="--repository"):
        accept(table, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.triton
def test_on_a_real_server_by_the_command(served: Any, checkout: Path, tmp_path: Path) -> None:
    study = checkout / "examples" / "phantom-sdh"
    (tmp_path / "labels.csv").write_text(f"study,haemorrhage,subtypes\n{study},yes,sdh\n")
    command = ["accept", str(tmp_path / "labels.csv"), "--out", str(tmp_path / "out")]
    ended = CliRunner().invoke(main, [*command, "--url", served.url, "--json"])
    assert ended.exit_code == 0, ended.output
    acceptance = acceptance_from_bytes(acceptance_bytes(tmp_path / "out"), tmp_path)
    (outcome,) = acceptance.outcomes
    assert set(outcome.decisions.values()) == {Decision.POSITIVE}
    assert acceptance.card is not None
    assert acceptance.card.about.startswith("138 series")
    assert acceptance.roc.area is None
    assert (
        json.loads(ended.stdout)["conditions"]
        == json.loads((tmp_path / "out" / "acceptance.json").read_text())["conditions"]
    )
