"""Many studies in turn: each gets its result or its reason, and none stands in another's way."""

from __future__ import annotations

import csv
import gc
import json
import weakref
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ichclient.connect import ServerOptions
from ichclient.errors import (
    EmbeddedServerError,
    NothingFound,
    ServerUnreachable,
)
from ichclient.several.rows import StudyRow, exit_code_of_rows
from ichclient.several.run import Judged, judged_studies

SERVER = ServerOptions()


def judge(*studies: Path, out: Path | None = None, **options: Any) -> tuple[StudyRow, ...]:
    return judged_studies([str(study) for study in studies], SERVER, out=out, **options)


def table(out: Path) -> list[dict[str, str]]:
    with (out / "summary.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_each_study_of_an_archive_has_its_result_or_its_reason(
    archive: Path, starts: Any, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    rows = judge(archive, each=True, out=out)
    assert [row.StudyInstanceUID for row in rows] == ["1.2.1", "1.2.2", "1.2.3"]
    assert [row.exit_code for row in rows] == [0, 4, 0]
    assert rows[1].code == "insufficient_coverage"
    assert "insufficient_coverage" in str(rows[1].reason)
    assert exit_code_of_rows(rows) == 4
    for row in (rows[0], rows[2]):
        written = json.loads((out / row.folder / "result.json").read_text())
        assert written["study"]["StudyInstanceUID"] == row.StudyInstanceUID
        assert written["study_score"] == row.study_score
        assert written["masks_sha256"]
    told = table(out)
    assert [row["folder"] for row in told] == [row.folder for row in rows]
    assert [row["decision_balanced"] for row in told] == ["negative", "", "negative"]
    assert float(told[0]["score_ich_sdh"]) == rows[0].member_scores["ich_sdh"]
    assert told[1]["study_score"] == ""


def test_no_patient_is_named_by_folders_or_summaries(
    archive: Path, starts: Any, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    judge(archive, each=True, out=out)
    names = [str(path.relative_to(out)) for path in out.rglob("*")]
    texts = [(out / name).read_text() for name in ("summary.csv", "summary.json")]
    assert len(names) > 10
    assert not [text for text in (*names, *texts) if "DOE" in text or "MRN" in text]


def test_studies_that_were_named_keep_their_names(
    archive: Path, add_study: Callable[..., Path], starts: Any, tmp_path: Path
) -> None:
    other = add_study(tmp_path / "elsewhere" / "case_7", 8)
    packed = tmp_path / "case_9.zip"
    with zipfile.ZipFile(packed, "w") as file:
        for path in add_study(tmp_path / "case_7", 9).iterdir():
            file.write(path, path.name)
    rows = judge(other, tmp_path / "case_7", packed, tmp_path / "absent", archive, out=tmp_path)
    folders = [(row.folder, row.exit_code) for row in rows]
    assert folders == [
        ("case_7", 0), ("case_7-2", 0), ("case_9", 0), ("absent", 3), ("archive", 4),
    ]  # fmt: skip
    assert rows[4].code == "mixed_studies", "without --each a folder is one study"
    assert "--each" in str(rows[4].reason)
    assert exit_code_of_rows(rows) == 3, "the first, where all failures are the studies' own"


def test_an_archive_that_is_packed_is_judged_study_by_study(
    archive: Path, starts: Any, tmp_path: Path
) -> None:
    packed = tmp_path / "packed.zip"
    with zipfile.ZipFile(packed, "w") as file:
        for path in archive.rglob("*.dcm"):
            file.write(path, path.relative_to(archive))
    rows = judge(packed, each=True)
    assert [row.exit_code for row in rows] == [0, 4, 0]
    assert rows[0].input_sha256 is None, "nothing was written that could be gone on from"


def test_a_broken_file_is_told_beside_the_study_of_its_folder(
    archive: Path, starts: Any, tmp_path: Path
) -> None:
    (archive / "DOE^JANE^1" / "011.dcm").write_bytes(b"\0" * 128 + b"DICM\2")
    (archive / "readme.txt").write_text("no study")
    heard: list[Judged] = []
    judge(archive, each=True, out=tmp_path / "out", heard=heard.append)
    result = heard[0].result
    assert result is not None
    assert [(item.code, item.path) for item in result.skipped_files] == [
        ("truncated_header", "DOE^JANE^1/011.dcm")
    ]
    assert [done.lost for done in heard] == [1, 0, 0]


def test_an_archive_without_studies_is_told_like_a_study_without_images(
    starts: Any, archive: Path, tmp_path: Path
) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "readme.txt").write_text("no study")
    with pytest.raises(NothingFound, match="names its study"):
        judge(tmp_path / "texts", each=True, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    rows = judge(tmp_path / "texts", archive, each=True)
    assert [row.exit_code for row in rows] == [3, 0, 4, 0]


def test_one_server_judges_all(archive: Path, starts: Any) -> None:
    judge(archive, each=True)
    assert starts.count == 1


def test_a_study_under_which_the_server_ended_is_judged_again(
    archive: Path, starts: Any, fake_transport: Any
) -> None:
    def gone() -> None:
        if starts.count == 1:
            raise ServerUnreachable("gone")

    fake_transport.on_infer = gone
    rows = judge(archive, each=True)
    assert [row.exit_code for row in rows] == [0, 4, 0]
    assert starts.count == 2


def test_a_study_that_ends_every_server_stops_no_other(
    archive: Path, starts: Any, fake_transport: Any
) -> None:
    def gone() -> None:
        if starts.count <= 2:
            raise ServerUnreachable("gone")

    fake_transport.on_infer = gone
    rows = judge(archive, each=True)
    assert [row.exit_code for row in rows] == [6, 4, 0]
    assert exit_code_of_rows(rows) == 6


def test_where_no_server_can_be_had_the_run_ends_and_keeps_what_is_done(
    archive: Path, starts: Any, fake_transport: Any, tmp_path: Path
) -> None:
    heard: list[Judged] = []

    def once(done: Judged) -> None:
        heard.append(done)
        starts.failures.append(EmbeddedServerError("no server here"))

    def gone() -> None:
        if heard:
            raise ServerUnreachable("gone")

    fake_transport.on_infer = gone
    with pytest.raises(EmbeddedServerError):
        judge(archive, each=True, out=tmp_path / "out", heard=once)
    assert [done.row.folder for done in heard] == [row["folder"] for row in table(tmp_path / "out")]
    assert [done.row.exit_code for done in heard] == [0, 4]


def test_an_error_that_nobody_knows_is_a_row_that_names_no_patient(
    archive: Path, starts: Any, fake_transport: Any
) -> None:
    def unheard() -> None:
        raise KeyError("DOE^JANE")

    fake_transport.on_infer = unheard
    rows = judge(archive, each=True)
    assert [row.exit_code for row in rows] == [1, 4, 1]
    assert "KeyError" in str(rows[0].reason)
    assert "DOE" not in str(rows[0].reason)


def test_nothing_of_a_study_stays_in_memory(
    make_series: Callable[..., Path], starts: Any, add_study: Callable[..., Path], tmp_path: Path
) -> None:
    for number in range(4):
        add_study(tmp_path / "archive" / str(number), number)
    kept: list[weakref.ref[Any]] = []
    alive: list[int] = []

    def heard(done: Judged) -> None:
        gc.collect()
        alive.append(sum(ref() is not None for ref in kept))
        assert done.result is not None
        kept.append(weakref.ref(done.result))

    judge(tmp_path / "archive", each=True, out=tmp_path / "out", heard=heard)
    assert alive == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("codes", "exit_code"),
    [((), 0), ((0, 0), 0), ((0, 4, 3), 4), ((3, 4), 3), ((4, 7, 6, 0), 7), ((12, 5), 12)],
)
def test_one_exit_code_speaks_for_all(codes: tuple[int, ...], exit_code: int) -> None:
    rows = [
        StudyRow("a", study_score=0.5) if not code else StudyRow("a", exit_code=code, reason="why")
        for code in codes
    ]
    assert exit_code_of_rows(rows) == exit_code


def test_a_row_without_result_and_reason_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="a result, or why"):
        StudyRow("a")
    with pytest.raises(ValueError, match="a result, or why"):
        StudyRow("a", exit_code=4, reason="why", study_score=0.5)
