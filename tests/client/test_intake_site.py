"""What a site may change: its rules file, and refusals that `--allow` lets through."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ichclient.cli import main
from ichclient.connect import ProvenServer
from ichclient.dicom import headers_from_path
from ichclient.errors import BadRules, RefusedInput
from ichclient.infer import result_from_study, study_from_path
from ichclient.rules import RULES, RuleBook
from ichclient.rules_file import book_from_options, site_from_file
from ichclient.series import Series, chosen_series, series_from_scan

Make = Callable[..., Path]
GAPPED = [5.0 * index + 10 * (index > 8) for index in range(20)]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def series_of(path: Path, book: RuleBook, uid: str | None = None) -> Series:
    return chosen_series(series_from_scan(headers_from_path(path, book), book), uid, book)


def book_from(path: Path, text: str) -> RuleBook:
    path.write_text(text)
    return book_from_options(path)


@pytest.mark.parametrize(
    ("tags", "file", "code"),
    [
        ({"SeriesDescription": "KOPF KM"}, "words.contrast = ['\\bKM\\b']", "contrast"),
        ({"SeriesDescription": "UEBERSICHT"}, "words.localizer = ['^uebersicht']", "localizer"),
        ({"SeriesDescription": "JODKARTE"}, "words.material_map = ['JODKARTE']", "material_map"),
        ({"SeriesDescription": "LEBER"}, "words.other_body = ['LEBER']", "not_head"),
        ({}, "limits.min_slices = 21", "insufficient_coverage"),
        ({}, "limits.min_coverage_mm = 120", "insufficient_coverage"),
        ({}, "limits.max_gap_mm = 4.5", "gap"),
    ],
)
def test_a_rules_file_refuses_what_the_defaults_accept(
    tmp_path: Path, make_series: Make, tags: dict[str, Any], file: str, code: str
) -> None:
    make_series(tmp_path / "study", BodyPartExamined=None, **tags)
    series_of(tmp_path / "study", RuleBook())
    with pytest.raises(RefusedInput, match=code):
        series_of(tmp_path / "study", book_from(tmp_path / "site.toml", file))


@pytest.mark.parametrize(
    ("tags", "file"),
    [
        ({"SeriesDescription": "CONTRAST NATIF"}, "words.no_contrast = ['NATIF']"),
        ({"BodyPartExamined": "NECK TETE"}, "words.head = ['TETE']"),
        ({"z_mm": [10.0 * index for index in range(8)]}, "limits.min_slices = 8"),
        ({"z_mm": GAPPED}, "limits.max_gap_mm = 15"),
    ],
)
def test_a_rules_file_accepts_what_the_defaults_refuse(
    tmp_path: Path, make_series: Make, tags: dict[str, Any], file: str
) -> None:
    make_series(tmp_path / "study", **tags)
    with pytest.raises(RefusedInput):
        series_of(tmp_path / "study", RuleBook())
    series_of(tmp_path / "study", book_from(tmp_path / "site.toml", file))


def test_a_sites_kernels_and_spacing_decide_the_ranking(tmp_path: Path, make_series: Make) -> None:
    make_series(tmp_path / "study" / "a", Manufacturer="ACME", ConvolutionKernel="K1")
    thin = [2.0 * index for index in range(50)]
    tags = {"Manufacturer": "ACME", "ConvolutionKernel": "K2", "SeriesInstanceUID": "1.9"}
    make_series(tmp_path / "study" / "b", thin, **tags)
    kernels = "[[kernels]]\nvendor = 'Acme'\ncharacter = 'soft'\npattern = 'k2'\n"
    for file, uid in (
        ("", "1.2.3.4"),
        ("limits.preferred_spacing_mm = 2", "1.9"),
        (kernels, "1.9"),
    ):
        book = book_from(tmp_path / "site.toml", file)
        assert series_of(tmp_path / "study", book).identity.SeriesInstanceUID == uid


def test_a_site_may_call_a_known_kernel_otherwise(tmp_path: Path) -> None:
    kernels = "[[kernels]]\nvendor = 'siemens'\ncharacter = 'sharp'\npattern = 'B30.*'\n"
    site = book_from(tmp_path / "site.toml", kernels).site
    assert site.kernel_character("SIEMENS", "B30s", None) == "sharp"
    assert site.kernel_character("SIEMENS", "B31s", None) == "soft"
    assert RuleBook().site.kernel_character("SIEMENS", "B30s", None) == "soft"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("words = [", "is no TOML"),
        ("wurds.contrast = []", "unknown key wurds"),
        ("words.kontrast = []", "unknown key words.kontrast"),
        ("words = 3", "words must be a table"),
        ("words.contrast = 'KM'", "words.contrast must be a list of strings"),
        ("words.contrast = ['(']", "words.contrast: '(' is no regular expression"),
        ("limits.min_slices = 'ten'", "limits.min_slices must be a whole number"),
        ("limits.min_slices = 1.5", "limits.min_slices must be a whole number"),
        ("limits.max_gap_mm = true", "limits.max_gap_mm must be a number"),
        ("limits.max_gap_mm = nan", "limits.max_gap_mm must be a number from 0 on"),
        ("limits.max_missing_percent = 101", "limits.max_missing_percent ends at 100"),
        ("kernels = 3", "kernels must be tables"),
        ("[[kernels]]\nvendor = 'A'", "kernels, number 1 needs the strings"),
        ("[[kernels]]\nvendor = 'A'\ncharacter = 'dull'\npattern = 'x'", "soft or sharp"),
        ("[[kernels]]\nvendor = 'A'\ncharacter = 'soft'\npattern = '['", "pattern '['"),
        ("[[kernels]]\nname = 'A'", "unknown key kernels, number 1: name"),
        ("a = " + "[" * 5000, "is nested too deeply"),
    ],
)
def test_a_rules_file_that_is_not_understood_is_one_error_naming_file_and_key(
    tmp_path: Path, text: str, said: str
) -> None:
    file = tmp_path / "site.toml"
    file.write_text(text)
    for command in ("infer", "series", "validate"):
        answer = run(command, tmp_path, "--rules", file)
        assert answer.exit_code == BadRules.exit_code == 2
        assert answer.stdout == ""
        assert str(file) in answer.stderr.replace("\n", "")
        assert said in answer.stderr


def test_a_rules_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    for path, said in ((tmp_path / "none.toml", "No such file"), (tmp_path, "directory")):
        with pytest.raises(BadRules, match=said):
            site_from_file(path)
    (tmp_path / "large.toml").write_bytes(b"#" * (1 << 20) + b"#")
    with pytest.raises(BadRules, match="larger than 1 MiB"):
        site_from_file(tmp_path / "large.toml")


@pytest.mark.parametrize(
    ("tags", "code"),
    [
        ({"z_mm": GAPPED}, "gap"),
        ({"z_mm": [5.0 * index for index in range(8)]}, "insufficient_coverage"),
        ({"z_mm": [4.0 * i for i in range(30) if i not in (5, 11, 17, 23)]}, "many_missing"),
        ({"ContrastBolusAgent": "Iohexol"}, "contrast"),
        ({"SeriesDescription": "HEAD VNC"}, "material_map"),
        ({"ImageType": ["DERIVED", "SECONDARY", "MPR"]}, "derived"),
        ({"BodyPartExamined": "CHEST"}, "not_head"),
    ],
)
def test_an_allowed_refusal_is_a_warning_and_is_told_among_the_considered(
    tmp_path: Path, make_series: Make, tags: dict[str, Any], code: str
) -> None:
    make_series(tmp_path, **tags)
    with pytest.raises(RefusedInput, match=code):
        series_of(tmp_path, RuleBook())
    series = series_of(tmp_path, book_from_options(allowed=[code]))
    assert code in [warning.code for warning in series.warnings]
    (candidate,) = series.considered
    assert candidate.verdict.facts["allowed"] == code
    assert "--allow" in candidate.verdict.sentence


def test_a_series_that_needs_no_permission_is_taken_first(
    tmp_path: Path, make_series: Make
) -> None:
    make_series(tmp_path / "a", SeriesInstanceUID="1.1", ContrastBolusAgent="Iohexol")
    make_series(tmp_path / "b", SeriesInstanceUID="1.2", ConvolutionKernel="BONE")
    book = book_from_options(allowed=["contrast"])
    assert series_of(tmp_path, book).identity.SeriesInstanceUID == "1.2"
    assert series_of(tmp_path, book, "1.1").identity.SeriesInstanceUID == "1.1"


def test_other_refusals_of_an_allowed_series_stand(tmp_path: Path, make_series: Make) -> None:
    make_series(tmp_path, GAPPED, ContrastBolusAgent="Iohexol")
    with pytest.raises(RefusedInput, match="contrast"):
        series_of(tmp_path, book_from_options(allowed=["gap"]))
    series_of(tmp_path, book_from_options(allowed=["gap", "contrast"]))


def test_what_makes_pixels_untrue_can_never_be_allowed(tmp_path: Path) -> None:
    never = [rule.code for rule in RULES if rule.passes == "never"]
    assert {"localizer", "not_ct_image", "patient_mismatch", "implausible_hu"} <= set(never)
    for code in never:
        answer = run("validate", tmp_path, "--allow", code)
        assert answer.exit_code == 2
        assert f"--allow {code}: it may never be allowed" in answer.stderr
        assert "contrast" in answer.stderr


def test_an_unknown_code_is_told_with_those_that_exist(tmp_path: Path) -> None:
    answer = run("series", tmp_path, "--allow", "gaps")
    assert answer.exit_code == 2
    assert "is no rule's code" in answer.stderr
    assert "gap, many_missing" in answer.stderr


def test_the_result_says_by_which_rules_the_study_was_let_in(
    tmp_path: Path, make_series: Make, proven: ProvenServer
) -> None:
    make_series(tmp_path / "study", GAPPED)
    file = tmp_path / "site.toml"
    file.write_text("limits.min_age_years = 16\n")
    study = study_from_path(tmp_path / "study", book=book_from_options(file, ["gap"]))
    result, _ = result_from_study(study, proven, lambda *_: None, time.monotonic())
    assert result.intake.rules_sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert result.intake.allowed == ("gap",)
    assert not result.intake.series_named
    assert "gap" in {warning.code for warning in result.warnings}
    listed = run("series", tmp_path / "study", "--allow", "gap", "--json")
    (only,) = json.loads(listed.stdout)
    assert (only["code"], only["facts"]["allowed"]) == ("chosen", "gap")
