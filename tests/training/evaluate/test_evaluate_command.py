"""`ichtrain evaluate` writes everything or refuses with one sentence and nothing written."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from ichcore import EnsembleSpec, spec_to_json
from ichexport.members import Member, options_from_encoder
from ichexport.weights import released_from_trained, weights_to_file
from ichtrain.cli import main
from ichtrain.data import LabelledSeries
from ichtrain.errors import DataError, EvaluationError, SplitLeak
from ichtrain.evaluate import (
    Bundle,
    EvaluateOptions,
    bundle_from_run,
    evaluate,
    outcome_from_series,
    record_from_outcomes,
)
from ichtrain.evaluate.chain import prepared_from_folders
from ichtrain.evaluate.record import record_from_file, record_to_json
from ichtrain.evaluate.shown import write_shown

from .conftest import GRID, drawn, spec_of_two

Write = Callable[..., Path]
FILES = {"evaluation.json", "evaluation.md", "roc.png", "reliability.png", "weights.png",
         "volume.png"}  # fmt: skip


def test_everything_is_written_and_every_series_of_the_split_judged(
    bundle: Bundle, cohort: Sequence[LabelledSeries], prepared: Write, tmp_path: Path
) -> None:
    folder = prepared("data", *cohort, drawn(30, split="train"))
    told: list[tuple[int, int]] = []
    record = evaluate([folder], bundle, tmp_path / "out", None, lambda *done: told.append(done))
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    assert record_from_file(tmp_path / "out" / "evaluation.json") == record
    assert [one["SeriesInstanceUID"] for one in record["series"]] == [
        series.SeriesInstanceUID for series in cohort
    ]
    assert told == [(done, 12) for done in range(13)]
    assert record["conditions"]["data"][0]["folder"] == "data"
    assert str(tmp_path) not in json.dumps(record)


def test_a_patient_of_train_in_any_folder_is_refused(
    bundle: Bundle, prepared: Write, tmp_path: Path
) -> None:
    again = replace(drawn(31, split="train"), patient="P1")
    folders = [prepared("test", drawn(1)), prepared("train", again)]
    with pytest.raises(SplitLeak, match="P1"):
        evaluate(folders, bundle, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_split_without_series_is_refused(bundle: Bundle, prepared: Write, tmp_path: Path) -> None:
    folder = prepared("data", drawn(1))
    with pytest.raises(EvaluationError, match="no series of split 'validation'"):
        evaluate([folder], bundle, tmp_path / "out", EvaluateOptions("validation"))
    assert not (tmp_path / "out").exists()


def test_a_series_in_two_folders_is_refused(
    bundle: Bundle, prepared: Write, tmp_path: Path
) -> None:
    folders = [prepared("one", drawn(1)), prepared("two", drawn(1))]
    with pytest.raises(EvaluationError, match=r"1\.2\.826\.0\.1\.1 .* another folder"):
        evaluate(folders, bundle, tmp_path / "out")


def test_another_grid_is_refused_but_not_for_the_neighbours_of_an_item(
    bundle: Bundle, prepared: Write
) -> None:
    three = prepared("three", drawn(1), grid=replace(GRID, slices_per_item=3))
    assert len(prepared_from_folders([three], bundle)) == 1
    coarse = prepared("coarse", drawn(2), grid=replace(GRID, pixel_spacing_mm=4.0))
    with pytest.raises(EvaluationError, match="another grid"):
        prepared_from_folders([coarse], bundle)


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(EvaluationError, match="train, validation, test"):
        EvaluateOptions("dev")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of two members with weights that nobody trained."""
    folder = tmp_path_factory.mktemp("run")
    options = options_from_encoder("mobilenet_v2", with_brain=True, grid=GRID)
    member = released_from_trained(Member(options))
    spec = replace(spec_of_two(), provenance={"data": "synthetic phantoms; no patient data"})
    hashes = {
        name: weights_to_file(member, folder / f"{name}.safetensors") for name in spec.member_names
    }
    write_spec(folder, spec, hashes)
    return folder


def write_spec(folder: Path, spec: EnsembleSpec, hashes: dict[str, str]) -> None:
    members = tuple(replace(one, weights_sha256=hashes[one.name]) for one in spec.members)
    (folder / "ensemble.json").write_text(spec_to_json(replace(spec, members=members)))


def test_a_run_is_judged_before_its_release(run: Path, prepared: Write, tmp_path: Path) -> None:
    folder = prepared("data", drawn(1, site="phantom"), drawn(2, ("sdh",), site="phantom"))
    command = ["evaluate", str(folder), "--run", str(run), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(main, [*command, "--card", str(tmp_path / "card.md")])
    assert result.exit_code == 0, result.output
    assert "not a medical device" in result.stdout
    record = record_from_file(tmp_path / "out" / "evaluation.json")
    assert record["conditions"]["engine"].startswith("torch")
    assert record["conditions"]["networks"]["sharp"].startswith("U-Net on mobilenet_v2")
    assert "`sharp`" in (tmp_path / "card.md").read_text()


@pytest.mark.parametrize(
    ("site", "made_of"), [("phantom", "sites A, B"), ("A", "phantoms; no patient data")]
)
def test_the_words_on_phantoms_are_not_put_on_other_data(
    site: str, made_of: str, bundle: Bundle, tmp_path: Path
) -> None:
    spec = replace(bundle.spec, provenance={"data": made_of})
    record = record_from_outcomes([outcome_from_series(drawn(1, site=site), bundle)], spec, {})
    readme = tmp_path / "README.md"
    readme.write_text("<!-- evaluation -->\n<!-- /evaluation -->\n")
    with pytest.raises(EvaluationError, match="card of your own"):
        write_shown(record, tmp_path / "card.md", readme)
    assert not (tmp_path / "card.md").exists()
    assert "series" not in readme.read_text()


def test_weights_of_another_fit_are_refused(run: Path, tmp_path: Path) -> None:
    for path in run.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    write_spec(tmp_path, spec_of_two(), {"sharp": "1" * 64, "dull": "2" * 64})
    with pytest.raises(EvaluationError, match=r"sharp\.safetensors holds other weights"):
        bundle_from_run(tmp_path)


def test_a_folder_without_a_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="ichtrain ensemble"):
        bundle_from_run(tmp_path)


def test_a_mistake_ends_the_command_with_one_sentence(run: Path, tmp_path: Path) -> None:
    command = ["evaluate", str(tmp_path), "--run", str(run), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == DataError.exit_code
    assert "is no prepared folder" in result.stderr.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_pages_can_be_written_again_without_judging_again(
    bundle: Bundle, cohort: Sequence[LabelledSeries], prepared: Write, tmp_path: Path
) -> None:
    out, readme = tmp_path / "out", tmp_path / "README.md"
    evaluate([prepared("data", *cohort)], bundle, out)
    (out / "evaluation.md").unlink()
    readme.write_text("before\n<!-- evaluation -->\nold\n<!-- /evaluation -->\nafter\n")
    command = ["card", str(out / "evaluation.json"), "--readme", str(readme)]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    assert {path.name for path in out.iterdir()} == FILES
    text = readme.read_text()
    assert text.startswith("before\n<!-- evaluation -->\n| series |")
    assert text.endswith("|\n<!-- /evaluation -->\nafter\n")
    assert "old" not in text


def test_a_readme_without_its_marks_is_refused_and_nothing_written(
    bundle: Bundle, tmp_path: Path
) -> None:
    outcomes = [outcome_from_series(drawn(1), bundle)]
    stored, readme = tmp_path / "out" / "evaluation.json", tmp_path / "README.md"
    stored.parent.mkdir()
    stored.write_text(record_to_json(record_from_outcomes(outcomes, bundle.spec, {})))
    readme.write_text("no marks\n")
    command = ["card", str(stored), "--readme", str(readme)]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == EvaluationError.exit_code
    assert "<!-- evaluation -->" in result.stderr
    assert readme.read_text() == "no marks\n"
    assert list(stored.parent.iterdir()) == [stored]
