"""A run that was cut short goes on where it was, and judges anew what is not the same any more."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ichclient.connect import ServerOptions
from ichclient.errors import RefusedInput
from ichclient.rules import DEFAULT_BOOK
from ichclient.several.run import Judged, Wishes, judged_studies
from ichclient.several.summary import rows_from_folder
from ichcore.wire import provenance_from_hashes


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def studies(add_study: Callable[..., Path], tmp_path: Path) -> Path:
    for number in (1, 2, 3):
        add_study(tmp_path / "archive" / str(number), number)
    return tmp_path / "archive"


def run(studies: Path, out: Path, **options: Any) -> list[tuple[str, bool]]:
    """The folders of a run with `--resume`, and which of them were skipped."""
    heard: list[Judged] = []
    judged_studies(
        [str(studies)], ServerOptions(), each=True, out=out, resume=True,
        heard=heard.append, **options,
    )  # fmt: skip
    assert all(done.row.exit_code == 0 for done in heard)
    return [(done.row.folder, done.skipped) for done in heard]


def skipped(studies: Path, out: Path, **options: Any) -> list[bool]:
    return [skip for _, skip in run(studies, out, **options)]


def test_a_run_that_was_cut_short_goes_on(
    studies: Path, out: Path, starts: Any, fake_transport: Any
) -> None:
    def interrupted(done: Judged) -> None:
        if done.number == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        judged_studies([str(studies)], ServerOptions(), each=True, out=out, heard=interrupted)
    kept = {row.folder: row for row in rows_from_folder(out)}
    assert len(kept) == 2
    assert [path.name for path in out.glob(".*")] == []
    before = {name: (out / name / "result.json").read_bytes() for name in kept}

    told = run(studies, out)
    assert [skip for _, skip in told] == [True, True, False]
    assert {row.folder: row for row in rows_from_folder(out) if row.folder in kept} == kept
    assert {name: (out / name / "result.json").read_bytes() for name in kept} == before
    assert skipped(studies, out) == [True, True, True]


def test_a_run_that_is_cut_again_still_knows_what_it_had(
    studies: Path, out: Path, starts: Any
) -> None:
    run(studies, out)

    def interrupted(_: Judged) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        judged_studies(
            [str(studies)], ServerOptions(), each=True, out=out, resume=True, heard=interrupted
        )
    assert len(rows_from_folder(out)) == 3


def test_without_the_wish_to_go_on_everything_is_judged_anew(
    studies: Path, out: Path, starts: Any
) -> None:
    first = run(studies, out)
    heard: list[Judged] = []
    judged_studies([str(studies)], ServerOptions(), each=True, out=out, heard=heard.append)
    assert [(done.row.folder, done.skipped) for done in heard] == [
        (name, False) for name, _ in first
    ]


def test_a_study_that_is_new_takes_nobodys_folder(
    studies: Path, out: Path, starts: Any, add_study: Callable[..., Path]
) -> None:
    first = [name for name, _ in run(studies, out)]
    add_study(studies / "0", 9)
    told = run(studies, out)
    assert [skip for _, skip in told] == [False, True, True, True]
    assert [name for name, _ in told[1:]] == first
    assert told[0][0].startswith("0004-")


def changed_file(studies: Path, _: Path, __: Any) -> None:
    file = studies / "1" / "003.dcm"
    file.write_bytes(file.read_bytes() + b"\0\0")


def absent_result(_: Path, folder: Path, __: Any) -> None:
    (folder / "result.json").unlink()


def altered_result(_: Path, folder: Path, __: Any) -> None:
    file = folder / "result.json"
    file.write_text(file.read_text().replace('"study_score": 0', '"study_score": 7'))


def result_of_another(_: Path, folder: Path, __: Any) -> None:
    file = folder / "result.json"
    told = json.loads(file.read_text())
    told["study"]["StudyInstanceUID"] = "1.2.99"
    file.write_text(json.dumps(told))


@pytest.mark.parametrize("change", [changed_file, absent_result, altered_result, result_of_another])
def test_a_study_that_is_not_the_same_is_judged_anew(
    studies: Path, out: Path, starts: Any, change: Callable[..., None]
) -> None:
    name = run(studies, out)[0][0]
    change(studies, out / name, starts)
    assert skipped(studies, out) == [False, True, True]
    assert skipped(studies, out) == [True, True, True]


def test_the_same_files_elsewhere_are_the_same_study(
    studies: Path, out: Path, starts: Any, tmp_path: Path
) -> None:
    run(studies, out)
    moved = studies.rename(tmp_path / "moved")
    for number, file in enumerate(sorted((moved / "1").iterdir())):
        file.rename(moved / "1" / f"IM{number}")
    assert skipped(moved, out) == [True, True, True]


def test_other_rules_and_options_are_another_judgement(
    studies: Path, out: Path, starts: Any
) -> None:
    run(studies, out)
    allowing = Wishes(book=DEFAULT_BOOK.allowing(["gap"]))
    assert skipped(studies, out, wishes=allowing) == [False] * 3
    assert skipped(studies, out, wishes=allowing) == [True] * 3
    assert skipped(studies, out, wishes=Wishes(slab_mm=10.0)) == [False] * 3


def test_another_bundle_judges_everything_anew(
    studies: Path, out: Path, starts: Any, fake_transport: Any
) -> None:
    run(studies, out)
    fake_transport.provenance = provenance_from_hashes(fake_transport.spec.sha256, "f" * 64)
    assert skipped(studies, out) == [False] * 3


@pytest.mark.parametrize("text", ["{", "[]", '{"schema_version": 2, "studies": []}', "null"])
def test_a_summary_that_is_none_is_not_gone_on_from(
    studies: Path, out: Path, starts: Any, text: str
) -> None:
    out.mkdir()
    (out / "summary.json").write_text(text)
    with pytest.raises(RefusedInput, match="--resume"):
        run(studies, out)
    assert (out / "summary.json").read_text() == text


def test_rows_come_back_as_they_were_written(studies: Path, out: Path, starts: Any) -> None:
    rows = judged_studies([str(studies), str(out)], ServerOptions(), out=out)
    assert rows_from_folder(out) == rows
    assert {row.exit_code for row in rows} == {4, 3}
    assert dataclasses.asdict(rows[0])["code"] == "mixed_studies"
