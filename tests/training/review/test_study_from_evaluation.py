"""What `ichtrain evaluate` writes becomes a study, and what does not fit is refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from ichcore import EnsembleSpec
from ichtrain.errors import ReviewError
from ichtrain.evaluate.outcome import Outcome
from ichtrain.evaluate.record import record_from_outcomes, record_to_json
from ichtrain.review.evaluation import Evaluation, Judged, evaluation_from_file
from ichtrain.review.key import key_from_pack
from ichtrain.review.study import StudyOptions, pack_from_options
from ichtrain.review_cli import review

from .conftest import HOSTILE_SITE, SCORES, SERIES, is_bleed, uid

POINT = "balanced"


def outcome(number: int, spec: EnsembleSpec, **changed: object) -> Outcome:
    """What an evaluation would hold of a drawn series with the score of `SCORES`."""
    score = SCORES[number]
    facts: dict[str, object] = {
        "SeriesInstanceUID": uid(number),
        "patient": f"Patient^{number}",
        "site": HOSTILE_SITE,
        "annotation": "mask",
        "truth": is_bleed(number),
        "subtypes": ("iph",) if is_bleed(number) else (),
        "lesion_ml": 4.5 if is_bleed(number) else 0.0,
        "baseline_ml": 1.0,
        "score": score,
        "member_scores": dict.fromkeys(spec.member_names, score),
        "decisions": {
            point.name: "positive" if score >= point.threshold else "negative"
            for point in spec.operating_points
        },
    }
    return Outcome(**{**facts, **changed})  # type: ignore[arg-type]


@pytest.fixture
def evaluated(tmp_path: Path, released_spec: EnsembleSpec) -> Callable[..., Path]:
    """The file that `ichtrain evaluate` would write of the drawn series."""

    def written(changes: dict[int, dict[str, object]] | None = None) -> Path:
        outcomes = [
            outcome(number, released_spec, **(changes or {}).get(number, {}))
            for number in range(SERIES)
        ]
        path = tmp_path / "evaluation.json"
        path.write_text(record_to_json(record_from_outcomes(outcomes, released_spec, {})))
        return path

    return written


def options(path: Path, prepared: Path, **changed: object) -> StudyOptions:
    return StudyOptions(**{"evaluation": path, "data": (prepared,), **changed})  # type: ignore[arg-type]


def test_an_evaluation_is_read_as_it_was_written(
    evaluated: Callable[..., Path], released_spec: EnsembleSpec
) -> None:
    found = evaluation_from_file(evaluated(), POINT)
    threshold = next(p.threshold for p in released_spec.operating_points if p.name == POINT)
    assert found.threshold == pytest.approx(threshold, rel=1e-5)
    assert found.spec_sha256 == released_spec.sha256
    assert set(found.judged) == {uid(number) for number in range(SERIES)}
    assert found.judged[uid(1)].positive
    assert found.judged[uid(1)].score == SCORES[1]


def test_series_without_truth_or_score_are_left_out_and_counted(
    evaluated: Callable[..., Path],
) -> None:
    refused = {"score": None, "decisions": {}, "member_scores": {}, "refusal": "too few slices"}
    found = evaluation_from_file(evaluated({0: {"truth": None}, 1: refused}), POINT)
    assert len(found.judged) == SERIES - 2
    assert found.left_out == 2


def test_the_margin_is_the_distance_on_the_right_side_in_logits() -> None:
    judged = {
        "bleed": Judged("bleed", True, 0.9, "positive"),
        "normal": Judged("normal", False, 0.9, "positive"),
        "certain": Judged("certain", False, 1.0, "positive"),
    }
    one = Evaluation("ensemble", POINT, 0.5, judged)
    assert one.margin("bleed") == pytest.approx(2.1972, abs=1e-4)
    assert one.margin("normal") == -one.margin("bleed")
    assert -20 < one.margin("certain") < -10, "a score of 1 is no infinite distance"


def test_an_operating_point_that_is_absent_is_refused_with_those_there_are(
    evaluated: Callable[..., Path],
) -> None:
    with pytest.raises(ReviewError, match=r"no operating point 'middle'; choose one of .*balanced"):
        evaluation_from_file(evaluated(), "middle")


@pytest.mark.parametrize("field", ["SeriesInstanceUID", "truth", "score", "decisions"])
def test_a_missing_field_is_named(evaluated: Callable[..., Path], field: str) -> None:
    path = evaluated()
    record = json.loads(path.read_text())
    del record["series"][3][field]
    path.write_text(json.dumps(record))
    with pytest.raises(ReviewError, match=f"lacks the field '{field}'"):
        evaluation_from_file(path, POINT)


def test_a_score_that_is_no_probability_is_refused(evaluated: Callable[..., Path]) -> None:
    path = evaluated()
    record = json.loads(path.read_text())
    record["series"][0]["score"] = 1.5
    path.write_text(json.dumps(record))
    with pytest.raises(ReviewError, match=r"evaluation\.json: Series .* has the score 1\.5"):
        evaluation_from_file(path, POINT)


def test_truth_that_differs_from_the_prepared_folder_is_refused(
    evaluated: Callable[..., Path], prepared: Path, tmp_path: Path
) -> None:
    path = evaluated({1: {"truth": False}})
    with pytest.raises(ReviewError, match=rf"{uid(1)} is negative in .* not in the prepared"):
        pack_from_options(tmp_path / "PACK", options(path, prepared))
    assert not (tmp_path / "PACK").exists()


def test_one_evaluation_cannot_be_its_own_comparator(
    evaluated: Callable[..., Path], prepared: Path, tmp_path: Path
) -> None:
    path = evaluated()
    with pytest.raises(ReviewError, match="have one name"):
        pack_from_options(tmp_path / "PACK", options(path, prepared, comparators=(path,)))


def test_marks_on_another_grid_than_the_data_are_refused(
    evaluated: Callable[..., Path], prepared: Path, tmp_path: Path, bundle: Path
) -> None:
    with pytest.raises(ReviewError, match="another grid"):
        pack_from_options(tmp_path / "PACK", options(evaluated(), prepared, repository=bundle))


def test_marks_of_another_ensemble_are_refused(
    evaluated: Callable[..., Path], prepared: Path, tmp_path: Path, bundle: Path
) -> None:
    path = evaluated()
    record = json.loads(path.read_text())
    record["spec_sha256"] = "0" * 64
    path.write_text(json.dumps(record))
    with pytest.raises(ReviewError, match="another ensemble"):
        pack_from_options(tmp_path / "PACK", options(path, prepared, repository=bundle))


def test_the_commands_make_and_score_a_pack(
    evaluated: Callable[..., Path], prepared: Path, tmp_path: Path
) -> None:
    pack = tmp_path / "PACK"
    arguments = ["make", str(evaluated()), str(prepared), "--out", str(pack), "--readers", "2"]
    made = CliRunner().invoke(review, [*arguments, "--cases", "6", "--margin", "3"])
    assert made.exit_code == 0, made.output
    assert "6 cases for 2 readers" in made.output
    key = key_from_pack(pack)
    for reader in key.readers:
        form = pack / f"reader-{reader}" / "answers.csv"
        lines = form.read_text().splitlines()
        filled = [line.replace("_ai,", "_ai,positive", 1) for line in lines[1:]]
        form.write_text("\n".join([lines[0], *filled]) + "\n")
    scored = CliRunner().invoke(review, ["score", str(pack)])
    assert scored.exit_code == 0, scored.output
    assert "without AI: sensitivity 1.000, specificity 0.000, kappa none" in scored.output
    assert "not a medical device" in scored.output
    assert (pack / "review.md").is_file()
