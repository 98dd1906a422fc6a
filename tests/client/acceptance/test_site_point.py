"""A site's operating point comes into force beside the server's decisions, for one spec alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ichclient.acceptance.figures import threshold_for_sensitivity
from ichclient.acceptance.point import (
    acceptance_of,
    point_by_name,
    point_by_sensitivity,
    point_by_threshold,
    set_point,
)
from ichclient.cli import main
from ichclient.connect import ProvenServer
from ichclient.errors import BadRules, RefusedInput
from ichclient.infer import result_from_study, study_from_path
from ichclient.report.page import page_from_result
from ichclient.result import Result, result_to_json
from ichclient.rules_file import book_from_options
from ichclient.saved import result_from_json
from ichcore import Decision


def judged(folder: Path, server: ProvenServer, rules: Path) -> Result:
    study = study_from_path(folder, book=book_from_options(rules))
    return result_from_study(study, server, lambda *_: None, time.monotonic())[0]


def test_the_highest_threshold_that_finds_enough(accepted: Path) -> None:
    acceptance = acceptance_of(accepted)
    middle, high = (o.score for o in acceptance.outcomes[1:3])
    assert threshold_for_sensitivity(0.3, acceptance.outcomes) == high
    assert threshold_for_sensitivity(1 / 3, acceptance.outcomes) == high
    assert threshold_for_sensitivity(0.5, acceptance.outcomes) == middle
    assert threshold_for_sensitivity(0.7, acceptance.outcomes) is None
    with pytest.raises(RefusedInput, match=r"No threshold finds 70\.0%"):
        point_by_sensitivity(acceptance, 0.7)
    with pytest.raises(RefusedInput, match="it has balanced"):
        point_by_name(acceptance, "other")


def test_it_is_told_beside_the_servers_decision(
    accepted: Path, studies: Path, server: ProvenServer
) -> None:
    acceptance = acceptance_of(accepted)
    site = point_by_sensitivity(acceptance, 0.5)
    assert site.chosen_on_these
    point = set_point(accepted, acceptance, site)
    assert "chosen on these very studies" in (accepted / "acceptance.html").read_text()
    assert acceptance_of(accepted).site == site
    for name, called in (("low", Decision.NEGATIVE), ("middle", Decision.POSITIVE)):
        result = judged(studies / name, server, accepted / "site.toml")
        plain = next(o for o in acceptance.outcomes if o.score == result.study_score)
        assert result.decisions == plain.decisions
        assert result.site is not None
        assert result.site.decision == called
        assert result.site.acceptance_sha256 == point.acceptance_sha256
        assert result_from_json(result_to_json(result)).site == result.site
        assert "this site&#39;s own" in page_from_result(result)


def test_too_little_head_is_no_negative_at_it_either(
    accepted: Path, make_series: Callable[..., Path], server: ProvenServer, tmp_path: Path
) -> None:
    acceptance = acceptance_of(accepted)
    set_point(accepted, acceptance, point_by_threshold(acceptance, 0.999))
    text = (accepted / "site.toml").read_text()
    (tmp_path / "rules.toml").write_text(text + "[limits]\nmin_slices = 5\nmin_coverage_mm = 20\n")
    short = make_series(tmp_path / "short", [5.0 * index for index in range(8)])
    result = judged(short, server, tmp_path / "rules.toml")
    assert result.site is not None
    assert result.site.decision == Decision.INDETERMINATE


def test_another_spec_is_refused_before_anything_is_judged(
    accepted: Path, studies: Path, server: ProvenServer, fake_transport: Any
) -> None:
    acceptance = acceptance_of(accepted)
    set_point(accepted, acceptance, point_by_name(acceptance, "balanced"))
    fake_transport.spec = replace(fake_transport.spec, version="2")
    fake_transport.chunks.clear()
    with pytest.raises(BadRules, match="accept this bundle first"):
        judged(studies / "low", server, accepted / "site.toml")
    assert fake_transport.chunks == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('threshold = "0.5"', "must be a number"),
        ("threshold = 1.5", "between 0 and 1"),
        ("threshold = nan", "between 0 and 1"),
        ('name = "a b"', "small letters"),
        ('spec_sha256 = "abc"', "no SHA-256"),
        ('colour = "red"', "unknown key operating_point.colour"),
    ],
)
def test_a_point_that_is_none_is_named(tmp_path: Path, line: str, said: str) -> None:
    values = {"name": '"site"', "threshold": "0.5", "spec_sha256": f'"{"a" * 64}"'}
    key, _, value = line.partition(" = ")
    text = "\n".join(f"{k} = {v}" for k, v in {**values, key: value}.items())
    (tmp_path / "rules.toml").write_text(f"[operating_point]\n{text}\n")
    with pytest.raises(BadRules, match=said):
        book_from_options(tmp_path / "rules.toml")


def test_a_point_needs_its_spec_and_threshold(tmp_path: Path) -> None:
    (tmp_path / "rules.toml").write_text('[operating_point]\nname = "site"\n')
    with pytest.raises(BadRules, match="needs spec_sha256, threshold"):
        book_from_options(tmp_path / "rules.toml")


def test_the_command_takes_one_way_to_choose(accepted: Path) -> None:
    ended = CliRunner().invoke(main, ["accept", "set", str(accepted)])
    assert ended.exit_code == 2
    both = ["accept", "set", str(accepted), "--threshold", "0.4", "--point", "balanced"]
    assert CliRunner().invoke(main, both).exit_code == 2
    ended = CliRunner().invoke(main, both[:-2])
    assert ended.exit_code == 0, ended.output
    assert "threshold = 0.4\n" in (accepted / "site.toml").read_text()
