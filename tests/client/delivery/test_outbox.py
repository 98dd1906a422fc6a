"""The queue: nothing in it is lost or doubled, whoever dies when and whatever is added again."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ichclient.delivery.outbox import Added, Outbox, opened_outbox
from ichclient.errors import CannotWrite, DeliveryError

TARGET, GROUP = "stow:https://pacs.example/dicom-web", "study"
Write = Callable[..., list[Path]]


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    with opened_outbox(tmp_path / "outbox.sqlite3") as one:
        yield one


@pytest.fixture
def files(write_objects: Write, tmp_path: Path) -> list[Path]:
    return write_objects(tmp_path / "dicom", "1.2.3.1", "1.2.3.2")


def states(outbox: Outbox) -> dict[str, str]:
    return {row.SOPInstanceUID: row.state for row in outbox.rows()}


def test_what_is_added_is_due_and_names_its_objects(outbox: Outbox, files: list[Path]) -> None:
    assert outbox.add(TARGET, files, GROUP) == Added(2, 0, 0)
    first, second = outbox.due(0.0)
    assert (first.SOPInstanceUID, second.SOPInstanceUID) == ("1.2.3.1", "1.2.3.2")
    assert first.SOPClassUID == "1.2.840.10008.5.1.4.1.1.7"
    assert (first.StudyInstanceUID, first.SeriesInstanceUID) == ("1.2.3", "1.2.3.9")
    assert (first.state, first.attempts, first.group) == ("waiting", 0, GROUP)
    assert [outbox.path(row) for row in (first, second)] == files
    assert outbox.due(0.0, "dimse:OTHER@host:104") == ()
    assert outbox.due(0.0, TARGET) == (first, second)


def test_adding_again_adds_nothing(outbox: Outbox, files: list[Path]) -> None:
    outbox.add(TARGET, files, GROUP)
    first, second = outbox.due(0.0)
    outbox.sending(first)
    outbox.sent(first, 5.0)
    outbox.refused(second, "no")
    before = outbox.rows()
    assert outbox.add(TARGET, files, GROUP) == Added(0, 2, 0)
    assert outbox.rows() == before
    assert outbox.add("dimse:OTHER@host:104", files, GROUP) == Added(2, 0, 0)


def test_a_new_generation_takes_the_place_of_what_waits(
    outbox: Outbox, write_objects: Write, tmp_path: Path
) -> None:
    outbox.add(TARGET, write_objects(tmp_path / "old", "1.1", "1.2", "1.3", "1.4"), GROUP)
    outbox.add(TARGET, write_objects(tmp_path / "other", "1.5"), "another study")
    sent, refused, unsure, _ = outbox.due(0.0)[1:]
    for row in (sent, unsure):
        outbox.sending(row)
    outbox.sent(sent, 5.0)
    outbox.refused(refused, "no")
    new = write_objects(tmp_path / "new", "1.4", "1.6")
    assert outbox.add(TARGET, new, GROUP) == Added(1, 1, 2)
    assert states(outbox) == {
        "1.1": "sent", "1.3": "sending", "1.4": "waiting", "1.5": "waiting", "1.6": "waiting",
    }  # fmt: skip
    # Of the one that may be there already it is found out, but it is never sent.
    (old,) = [row for row in outbox.due(0.0) if row.replaced]
    assert old.SOPInstanceUID == "1.3"
    assert not outbox.sending(old)
    # The file of the one that stays may have another place and other bytes.
    (kept,) = [row for row in outbox.due(0.0) if row.SOPInstanceUID == "1.4"]
    assert outbox.path(kept) == new[0]
    # The first generation comes back: what was sent stays sent.
    outbox.add(TARGET, write_objects(tmp_path / "old", "1.1", "1.3"), GROUP)
    assert states(outbox)["1.1"] == "sent"
    assert [row.replaced for row in outbox.rows() if row.SOPInstanceUID == "1.3"] == [False]


def test_a_pause_is_kept_and_can_be_cut_short(outbox: Outbox, files: list[Path]) -> None:
    outbox.add(TARGET, files, GROUP)
    first, second = outbox.due(0.0)
    assert outbox.sending(first)
    outbox.later(first, "no answer", 10.0, unsure=False)
    outbox.sending(second)
    outbox.later(second, "broke off", 20.0, unsure=True)
    assert outbox.due(9.9) == ()
    assert outbox.summary().next_attempt_at == 10.0
    (row,) = outbox.due(10.0)
    assert (row.state, row.attempts, row.reason) == ("waiting", 1, "no answer")
    assert [row.state for row in outbox.due(20.0)] == ["waiting", "sending"]
    assert outbox.hasten("another study") == 0
    assert outbox.hasten(GROUP) == 2
    assert len(outbox.due(0.0)) == 2


def test_a_refusal_is_final_until_it_is_asked_for_again(outbox: Outbox, files: list[Path]) -> None:
    outbox.add(TARGET, files, GROUP)
    row = outbox.due(0.0)[0]
    outbox.sending(row)
    outbox.refused(row, "SOP class not supported")
    assert len(outbox.due(1e12)) == 1
    summary = outbox.summary(GROUP)
    assert (summary.waiting, summary.sending, summary.sent, summary.refused) == (1, 0, 0, 1)
    assert [each.reason for each in summary.refusals] == ["SOP class not supported"]
    assert summary.unsent == 1
    assert outbox.again("another study") == 0
    assert outbox.again() == 1
    assert [row.attempts for row in outbox.due(0.0)] == [0, 0]


def test_a_row_that_changed_since_it_was_read_is_not_sent(
    outbox: Outbox, write_objects: Write, tmp_path: Path
) -> None:
    outbox.add(TARGET, write_objects(tmp_path / "a", "1.1", "1.2"), GROUP)
    first, second = outbox.due(0.0)
    outbox.add(TARGET, write_objects(tmp_path / "a", "1.1", remark="other bytes"), GROUP)
    assert not outbox.sending(first)
    assert not outbox.sending(second)
    assert outbox.sending(outbox.due(0.0)[0])


KILLED = """
import os, signal, sys
from pathlib import Path
from ichclient.delivery.outbox import opened_outbox
folder = Path(sys.argv[1])
with opened_outbox(folder / "outbox.sqlite3") as outbox:
    outbox.add("stow:x", sorted((folder / "dicom").iterdir()), "study")
    first, second = outbox.due(0.0)
    outbox.sending(first)
    if sys.argv[2] != "sending":
        outbox.sent(first, 5.0) if sys.argv[2] == "sent" else outbox.refused(first, "no")
        outbox.sending(second)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(
    ("when", "left"),
    [
        ("sending", ["sending", "waiting"]),
        ("sent", ["sent", "sending"]),
        ("refused", ["refused", "sending"]),
    ],
)
def test_every_state_outlives_a_kill(
    when: str, left: list[str], files: list[Path], tmp_path: Path
) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path), when]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    with opened_outbox(tmp_path / "outbox.sqlite3") as outbox:
        assert [row.state for row in outbox.rows()] == left
        assert [row.state for row in outbox.due(0.0)] == [
            state for state in left if state in ("sending", "waiting")
        ]
        assert [outbox.path(row) for row in outbox.rows()] == files


def test_a_folder_that_was_moved_keeps_its_queue(files: list[Path], tmp_path: Path) -> None:
    results = tmp_path / "results"
    results.mkdir()
    (tmp_path / "dicom").rename(results / "dicom")
    moved = [results / "dicom" / file.name for file in files]
    with opened_outbox(results / "outbox.sqlite3") as outbox:
        outbox.add(TARGET, moved, GROUP)
    results.rename(tmp_path / "elsewhere")
    with opened_outbox(tmp_path / "elsewhere" / "outbox.sqlite3") as outbox:
        assert all(outbox.path(row).is_file() for row in outbox.rows())


def test_a_change_is_part_of_the_transaction_of_the_caller(
    files: list[Path], tmp_path: Path
) -> None:
    connection = sqlite3.connect(tmp_path / "station.sqlite3", isolation_level=None)
    outbox = Outbox(connection, tmp_path)
    outbox.prepare()
    connection.execute("BEGIN")
    outbox.add(TARGET, files, GROUP)
    connection.execute("ROLLBACK")
    assert outbox.rows() == ()
    connection.execute("BEGIN")
    outbox.add(TARGET, files, GROUP)
    connection.execute("COMMIT")
    connection.close()
    with opened_outbox(tmp_path / "station.sqlite3") as again:
        assert len(again.rows()) == 2


def test_files_that_are_no_objects_leave_the_queue_as_it_was(
    outbox: Outbox, files: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "text.dcm").write_text("no DICOM")
    with pytest.raises(DeliveryError, match=r"text\.dcm cannot be delivered .it is no DICOM"):
        outbox.add(TARGET, [*files, tmp_path / "text.dcm"], GROUP)
    with pytest.raises(DeliveryError, match="No such file"):
        outbox.add(TARGET, [*files, tmp_path / "absent.dcm"], GROUP)
    assert outbox.rows() == ()


def test_a_database_that_is_none_or_does_not_grow_is_told(
    write_objects: Write, tmp_path: Path
) -> None:
    (tmp_path / "outbox.sqlite3").write_text("no database " * 100)
    with (
        pytest.raises(CannotWrite, match=r"not a database.*\[outbox\]"),
        opened_outbox(tmp_path / "outbox.sqlite3"),
    ):
        pass
    connection = sqlite3.connect(tmp_path / "small.sqlite3", isolation_level=None)
    outbox = Outbox(connection, tmp_path)
    outbox.prepare()
    connection.execute("PRAGMA max_page_count = 6")
    files = write_objects(tmp_path / "many", *(f"1.2.{number}" for number in range(200)))
    with pytest.raises(CannotWrite, match="full"):
        outbox.add(TARGET, files, GROUP)
    assert outbox.rows() == ()
    connection.close()
