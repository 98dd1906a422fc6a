"""Known answers give known figures, whoever did not finish is told, and text stays text."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from ichtrain.errors import ReviewError
from ichtrain.review.answers import Answer, form_from_key
from ichtrain.review.key import ROUNDS, WITH_AI, WITHOUT_AI, Key, text_from_key
from ichtrain.review.report import markdown_from_score, plain, summary_from_score
from ichtrain.review.score import Change, Reading, Score, score_from_answers
from ichtrain.review.study import report_from_pack

HOSTILE = "<script>alert(1)</script> | **bold** ![x](http://a.b) `c`\n# head"


def answer(reader: int, case: int, name: str, positive: bool, **rest: object) -> Answer:
    facts: dict[str, object] = {"confidence": 3, "location": "", "causes": (), "comment": ""}
    return Answer(reader, case, name, positive, **{**facts, **rest})  # type: ignore[arg-type]


def right_answers(key: Key, but: Iterable[tuple[int, int, str]] = ()) -> list[Answer]:
    """Everybody is right on everything, but for these (reader, case, round)."""
    wrong = set(but)
    return [
        answer(reader, case.number, name, case.positive != ((reader, case.number, name) in wrong))
        for reader in key.readers
        for name in ROUNDS
        for case in key.cases
    ]


def reading(score: Score, who: str, name: str) -> Reading:
    return next(one for one in score.readings if (one.who, one.round) == (who, name))


def change(score: Score, who: str) -> Change:
    return next(one for one in score.changes if one.who == who)


@pytest.fixture
def bleeds(key: Key) -> list[int]:
    return [case.number for case in key.cases if case.positive]


def test_sensitivity_and_specificity_are_counted(key: Key, bleeds: list[int]) -> None:
    score = score_from_answers(key, right_answers(key, [(1, bleeds[0], WITHOUT_AI)]))
    first = reading(score, "reader 1", WITHOUT_AI)
    assert first.sensitivity is not None
    assert first.specificity is not None
    assert (first.sensitivity.count, first.sensitivity.total) == (5, 6)
    assert (first.specificity.count, first.specificity.total) == (6, 6)
    # Clopper-Pearson of 5 in 6 and of 6 in 6, from tables
    assert first.sensitivity.low == pytest.approx(0.3588, abs=5e-5)
    assert first.sensitivity.high == pytest.approx(0.9958, abs=5e-5)
    assert first.specificity.low == pytest.approx(0.5407, abs=5e-5)
    pooled = reading(score, "pooled", WITHOUT_AI)
    assert pooled.sensitivity is not None
    assert (pooled.sensitivity.count, pooled.sensitivity.total) == (17, 18)


def test_cases_and_not_answers_are_what_was_sampled(key: Key, bleeds: list[int]) -> None:
    # All three readers miss the same two: 12 of 18 answers right, but 4 of 6 cases.
    missed = [(reader, case, WITH_AI) for reader in (1, 2, 3) for case in bleeds[:2]]
    pooled = reading(score_from_answers(key, right_answers(key, missed)), "pooled", WITH_AI)
    assert pooled.sensitivity is not None
    assert pooled.sensitivity_over_cases is not None
    low, high = pooled.sensitivity_over_cases
    assert high - low > pooled.sensitivity.high - pooled.sensitivity.low


def test_what_ai_changed_is_tested_over_cases(key: Key, bleeds: list[int]) -> None:
    missed = [(reader, case, WITHOUT_AI) for reader in (1, 2) for case in bleeds[:5]]
    score = score_from_answers(key, right_answers(key, missed))
    first, third = change(score, "reader 1"), change(score, "reader 3")
    assert (first.cases, first.gained, first.lost) == (12, 5, 0)
    assert first.p == pytest.approx(2 / 2**5)
    assert first.p_holm == pytest.approx(3 * 2 / 2**5)
    assert (third.gained, third.lost, third.p) == (0, 0, 1.0)
    pooled = change(score, "pooled over cases")
    assert (pooled.gained, pooled.lost) == (5, 0), "two readers make one case, not two"
    assert change(score, "pooled, normals").gained == 0


def test_readers_whom_a_wrong_ai_misled_are_counted(key: Key) -> None:
    ai_wrong = next(c for c in key.cases if not key.ai_is_right(c))
    ai_right = next(c for c in key.cases if key.ai_is_right(c))
    lost = [(1, ai_wrong.number, WITH_AI), (1, ai_right.number, WITH_AI)]
    first = change(score_from_answers(key, right_answers(key, lost)), "reader 1")
    assert (first.lost, first.misled) == (2, 1)


def test_the_ais_own_figures_are_of_the_same_cases(key: Key) -> None:
    model = score_from_answers(key, right_answers(key)).models[0]
    # of the six bleeds the AI misses 1 and 3, of the six normals it calls 0 and 2
    assert model.sensitivity is not None
    assert model.specificity is not None
    assert (model.sensitivity.count, model.specificity.count) == (4, 4)


def test_kappa_is_over_the_cases_that_all_readers_of_the_round_answered(key: Key) -> None:
    answers = right_answers(key)
    partly = [one for one in answers if not (one.reader == 2 and one.case == 1)]
    without_third = [one for one in partly if one.reader != 3]
    agreement = score_from_answers(key, without_third).agreement[WITH_AI]
    assert (agreement.cases, agreement.readers, agreement.kappa) == (11, 2, 1.0)


def test_unfinished_readers_are_told_and_still_counted(key: Key) -> None:
    answers = [one for one in right_answers(key) if not (one.reader == 2 and one.case > 3)]
    score = score_from_answers(key, answers)
    assert [(gap.reader, gap.round, gap.cases) for gap in score.gaps] == [
        (2, name, tuple(range(4, 13))) for name in ROUNDS
    ]
    assert reading(score, "reader 2", WITH_AI).answered == 3
    assert reading(score, "pooled", WITH_AI).answered == 27
    assert "9 not answered (case 4, 5" in markdown_from_score(score, key, "x.png")
    assert "Not read: reader 2, with AI, 9 cases" in summary_from_score(score)


def test_a_round_that_nobody_read_has_no_figures(key: Key) -> None:
    answers = [one for one in right_answers(key) if one.round == WITHOUT_AI]
    score = score_from_answers(key, answers)
    assert reading(score, "pooled", WITH_AI).sensitivity is None
    assert change(score, "pooled over cases").cases == 0
    assert score.agreement[WITH_AI].kappa is None
    assert "no answers" in markdown_from_score(score, key, "x.png")


def test_causes_are_counted_by_case_and_in_total(key: Key) -> None:
    answers = [
        answer(1, 1, WITHOUT_AI, True, causes=("small", "isodense")),
        answer(2, 1, WITHOUT_AI, True, causes=("small",)),
        answer(1, 2, WITH_AI, True, causes=("small",)),
    ]
    score = score_from_answers(key, answers)
    assert score.causes[WITHOUT_AI]["small"] == 2
    assert score.causes[WITH_AI]["small"] == 1
    assert score.outcomes[0].causes == {"small": 2, "isodense": 1}


def test_cases_that_most_missed_are_listed_and_half_is_not_most(
    key: Key, bleeds: list[int]
) -> None:
    missed = [(1, bleeds[0], WITH_AI), (2, bleeds[0], WITH_AI), (3, bleeds[1], WITH_AI)]
    score = score_from_answers(key, right_answers(key, missed))
    found = [one.case.number for one in score.outcomes if one.missed(WITH_AI)]
    assert found == [bleeds[0]]


def test_hostile_text_stays_text(key: Key, bleeds: list[int]) -> None:
    answers = [
        answer(reader, bleeds[0], WITH_AI, False, comment=HOSTILE, location=HOSTILE)
        for reader in (1, 2)
    ]
    text = markdown_from_score(score_from_answers(key, answers), key, "x.png")
    assert "<script" not in text
    assert plain(HOSTILE) in text
    row = next(line for line in text.splitlines() if plain(HOSTILE) in line)
    assert row.replace("\\|", "").count("|") == 8, "a bar in a comment ends no cell"
    assert "![x]" not in text
    assert "\n# head" not in text


def write_answers(pack: Path, key: Key, answers: list[Answer]) -> None:
    pack.mkdir()
    (pack / "key.json").write_text(text_from_key(key))
    for reader in key.readers:
        (pack / f"reader-{reader}").mkdir()
        rows = {(one.case, one.round): one for one in answers if one.reader == reader}
        lines = form_from_key(key, reader).splitlines()
        for index, line in enumerate(lines[1:], 1):
            number, name = line.split(",")[:2]
            if (one := rows.get((int(number), name))) is not None:
                word = "positive" if one.positive else "negative"
                lines[index] = line.replace(f"{name},", f"{name},{word}", 1)
        (pack / f"reader-{reader}" / "answers.csv").write_text("\n".join(lines) + "\n")


def test_a_pack_is_scored_into_three_files(tmp_path: Path, key: Key) -> None:
    pack = tmp_path / "PACK"
    write_answers(pack, key, right_answers(key))
    score = report_from_pack(pack, pack / "review.json")
    record = json.loads((pack / "review.json").read_text())
    assert record["readings"][0]["sensitivity"]["share"] == 1.0
    text = (pack / "review.md").read_text()
    assert "not a medical device" in text
    assert "(review.png)" in text
    assert (pack / "review.png").read_bytes().startswith(b"\x89PNG")
    assert score.gaps == ()


def test_a_pack_without_answers_is_refused(tmp_path: Path, key: Key) -> None:
    write_answers(tmp_path / "PACK", key, [])
    with pytest.raises(ReviewError, match="holds no answers"):
        report_from_pack(tmp_path / "PACK", tmp_path / "review.json")
    assert not (tmp_path / "review.json").exists()


def test_a_folder_that_is_no_pack_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReviewError, match=r"key\.json cannot be read"):
        report_from_pack(tmp_path, tmp_path / "review.json")
