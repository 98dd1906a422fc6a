"""The audit log as it is written: whole lines, one chain, whoever writes and whatever crashes."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ichclient.audit.chain import HEAD_FILE, LOG_FILE, START, TORN_FILE
from ichclient.audit.keyed import KEY_FILE, Pseudonyms
from ichclient.audit.log import AuditLog
from ichclient.audit.verify import verification_of_folder
from ichclient.errors import AuditBroken, BadAccess, CannotWrite


def lines_of(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / LOG_FILE).read_text().splitlines()]


def test_a_line_says_what_when_and_which_line_came_before(written: Path) -> None:
    first, second, *_ = lines_of(written)
    assert (first["n"], first["event"], first["previous"]) == (1, "started", START)
    assert second["previous"] == first["hash"]
    assert second["score"] == 0.25
    assert second["reason"] is None
    at = datetime.fromisoformat(str(second["at"]))
    assert at.tzinfo is not None
    assert abs((datetime.now(UTC) - at).total_seconds()) < 3600
    assert verification_of_folder(written).ok


def test_log_and_head_are_for_their_owner_alone(written: Path) -> None:
    for name in (LOG_FILE, HEAD_FILE):
        assert (written / name).stat().st_mode & 0o777 == 0o600


def test_a_uid_in_a_text_becomes_its_keyed_hash(tmp_path: Path) -> None:
    uid = "1.2.826.0.1.3680043.8.498.12345"
    AuditLog(tmp_path).write("refused", reason=f"CT.{uid}.dcm of {uid}, from 10.0.0.5, v1.2.3")
    (line,) = lines_of(tmp_path)
    key = Pseudonyms.read(tmp_path).of(uid)
    assert line["reason"] == f"CT.{key}.dcm of {key}, from 10.0.0.5, v1.2.3"


@pytest.mark.parametrize("name", ["n", "hash", "seal", "previous", "at", "a b", "", "ä"])
def test_a_name_that_would_break_the_form_is_refused(tmp_path: Path, name: str) -> None:
    log = AuditLog(tmp_path)
    with pytest.raises(ValueError, match="no name"):
        log.write("received", **{name: 1})
    assert (tmp_path / LOG_FILE).read_bytes() == b""


def test_control_characters_and_line_ends_stay_inside_their_line(tmp_path: Path) -> None:
    text = 'a\n{"n":2}\r\x00\u2028\ud800'
    AuditLog(tmp_path).write("refused", reason=text)
    assert lines_of(tmp_path)[0]["reason"] == text
    assert verification_of_folder(tmp_path).lines == 1


def test_a_number_that_is_none_is_refused_and_the_log_stays(tmp_path: Path) -> None:
    log = AuditLog(tmp_path)
    with pytest.raises(ValueError, match="JSON"):
        log.write("judged", score=float("nan"))
    assert (tmp_path / LOG_FILE).read_bytes() == b""


def test_writers_in_threads_and_processes_make_one_chain(tmp_path: Path) -> None:
    AuditLog(tmp_path)
    code = (
        "import sys; from pathlib import Path; from ichclient.audit.log import AuditLog\n"
        "log = AuditLog(Path(sys.argv[1]))\n"
        "for n in range(20): log.write('process', number=n)"
    )
    others = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)]) for _ in range(2)]
    log = AuditLog(tmp_path)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: log.write("thread", number=n), range(40)))
    assert [other.wait(120) for other in others] == [0, 0]
    found = verification_of_folder(tmp_path)
    assert (found.ok, found.lines) == (True, 80)
    assert sorted((str(line["event"]), line["number"]) for line in lines_of(tmp_path)) == sorted(
        [("thread", n) for n in range(40)] + [("process", n) for n in range(20)] * 2
    )


def test_it_can_be_read_while_it_is_written(tmp_path: Path) -> None:
    log = AuditLog(tmp_path)
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(lambda: [log.write("received", n_images=n) for n in range(60)])
        while not writing.done():
            assert verification_of_folder(tmp_path).ok
        writing.result()


@pytest.mark.parametrize("left", [1, 40, -1])
def test_a_torn_last_line_is_set_aside_and_told(copied: Callable[[], Path], left: int) -> None:
    folder = copied()
    whole = (folder / LOG_FILE).read_bytes()
    torn = whole.splitlines()[-1].replace(b'"n":12', b'"n":13')[:left]
    (folder / LOG_FILE).write_bytes(whole + torn)
    before = verification_of_folder(folder)
    assert (before.ok, before.torn_bytes, before.lines) == (True, len(torn), 12)
    AuditLog(folder).write("started")
    assert (folder / LOG_FILE).read_bytes().startswith(whole)
    assert (folder / TORN_FILE).read_bytes() == torn + b"\n"
    told, started = lines_of(folder)[12:]
    assert (told["event"], told["bytes"], started["event"]) == ("torn", len(torn), "started")
    assert verification_of_folder(folder).ok


def test_a_crash_between_line_and_head_is_no_damage(copied: Callable[[], Path]) -> None:
    folder = copied()
    head = (folder / HEAD_FILE).read_bytes()
    AuditLog(folder).write("judging")
    (folder / HEAD_FILE).write_bytes(head)
    assert verification_of_folder(folder).ok
    AuditLog(folder).write("judged")
    assert verification_of_folder(folder).ok


def test_killed_writers_leave_a_log_that_holds(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from ichclient.audit.log import AuditLog\n"
        "log = AuditLog(Path(sys.argv[1]))\n"
        "while True: log.write('received', images=1)"
    )
    for _ in range(4):
        begun = len((tmp_path / LOG_FILE).read_bytes()) if (tmp_path / LOG_FILE).exists() else 0
        process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)])
        while not (tmp_path / LOG_FILE).exists() or (tmp_path / LOG_FILE).stat().st_size < (
            begun + 3000
        ):
            assert process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait(60)
        assert verification_of_folder(tmp_path).ok
        AuditLog(tmp_path).write("started")
        assert verification_of_folder(tmp_path).ok


def test_a_full_disk_leaves_the_log_as_it_was(copied: Callable[[], Path]) -> None:
    folder = copied()
    log, whole = AuditLog(folder), (folder / LOG_FILE).read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 50, hard))
    try:
        with pytest.raises(CannotWrite, match=r"audit\.jsonl cannot be written"):
            log.write("received", images=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert (folder / LOG_FILE).read_bytes() == whole
    log.write("received", images=1)
    assert verification_of_folder(folder).ok


def cut(folder: Path) -> None:
    lines = (folder / LOG_FILE).read_bytes().splitlines(keepends=True)
    (folder / LOG_FILE).write_bytes(b"".join(lines[:-1]))


def changed(folder: Path) -> None:
    content = (folder / LOG_FILE).read_bytes()
    (folder / LOG_FILE).write_bytes(content[:-100] + b"x" + content[-99:])


def headless(folder: Path) -> None:
    (folder / HEAD_FILE).unlink()


def head_changed(folder: Path) -> None:
    (folder / HEAD_FILE).write_bytes(b"{}")


def log_removed(folder: Path) -> None:
    (folder / LOG_FILE).unlink()


@pytest.mark.parametrize("damage", [cut, changed, headless, head_changed, log_removed])
def test_nothing_is_written_behind_a_damaged_end(
    copied: Callable[[], Path], damage: Callable[[Path], None]
) -> None:
    folder = copied()
    log = AuditLog(folder)
    damage(folder)
    before = (folder / LOG_FILE).read_bytes() if (folder / LOG_FILE).exists() else b""
    with pytest.raises(AuditBroken, match="audit verify"):
        log.write("received")
    with pytest.raises(AuditBroken):
        AuditLog(folder)
    assert (folder / LOG_FILE).read_bytes() == before
    for name in (LOG_FILE, HEAD_FILE):
        (folder / name).unlink(missing_ok=True)
    AuditLog(folder).write("started")
    assert verification_of_folder(folder).lines == 1


def test_a_log_without_its_key_gets_no_other_one(copied: Callable[[], Path]) -> None:
    folder = copied()
    (folder / KEY_FILE).unlink()
    with pytest.raises(BadAccess, match="bring it back"):
        AuditLog(folder)
    assert not (folder / KEY_FILE).exists()


def test_no_file_stays_open(tmp_path: Path) -> None:
    log = AuditLog(tmp_path)
    log.write("started")
    held = {str(fd.resolve()) for fd in Path("/proc/self/fd").iterdir()}
    assert not [path for path in held if path.startswith(str(tmp_path.resolve()))]
