"""Whatever is done to the audit log without its key is found, and said of the right line."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ichclient.audit.chain import HEAD_FILE, LOG_FILE, canonical, hash_of
from ichclient.audit.keyed import KEY_FILE
from ichclient.audit.log import AuditLog
from ichclient.audit.verify import Verification, verification_of_folder
from ichclient.cli import main

LINES = 12
SAME_FOLDER = settings(
    deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def lines_of(folder: Path) -> list[bytes]:
    return (folder / LOG_FILE).read_bytes().splitlines(keepends=True)


def verified(folder: Path, lines: list[bytes]) -> Verification:
    (folder / LOG_FILE).write_bytes(b"".join(lines))
    return verification_of_folder(folder)


def told(found: Verification) -> list[tuple[str, int, int]]:
    return [(str(one.kind), one.first, one.last) for one in found.findings]


@pytest.fixture
def folder(copied: Callable[[], Path]) -> Path:
    return copied()


@given(data=st.data())
@SAME_FOLDER
def test_any_changed_byte_is_found(written: Path, folder: Path, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from([LOG_FILE, HEAD_FILE]))
    content = bytearray((written / name).read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    (folder / name).write_bytes(content)
    found = verification_of_folder(folder)
    (folder / name).write_bytes((written / name).read_bytes())
    assert not found.ok
    if name == LOG_FILE:
        line = bytes((written / name).read_bytes()[:place]).count(b"\n") + 1
        assert found.holds_until == line - 1
        assert line in [one.first for one in found.findings]


@given(number=st.integers(1, LINES), data=st.data())
@SAME_FOLDER
def test_any_removed_line_is_found(folder: Path, number: int, data: st.DataObject) -> None:
    lines = lines_of(folder)
    last = data.draw(st.integers(number, LINES))
    found = verified(folder, lines[: number - 1] + lines[last:])
    (folder / LOG_FILE).write_bytes(b"".join(lines))
    assert told(found) == [("removed", number, last)]
    assert found.holds_until == number - 1
    assert found.findings[0].sentence.endswith("at the end.") == (last == LINES)


@given(order=st.permutations(range(LINES)))
@SAME_FOLDER
def test_any_other_order_is_found(folder: Path, order: list[int]) -> None:
    lines = lines_of(folder)
    found = verified(folder, [lines[place] for place in order])
    (folder / LOG_FILE).write_bytes(b"".join(lines))
    moved = [place for place in range(LINES) if order[place] != place]
    assert found.ok == (not moved)
    assert {kind for kind, _, _ in told(found)} <= {"reordered"}
    named = {n for _, first, last in told(found) for n in range(first, last + 1)}
    assert named == {place + 1 for place in moved}


def test_a_copied_line_is_found(folder: Path) -> None:
    lines = lines_of(folder)
    found = verified(folder, [*lines[:6], lines[2], *lines[6:]])
    assert told(found) == [("added", 7, 7)]
    assert "copy of line 3" in found.findings[0].sentence


@pytest.mark.parametrize("text", [b"\n", b"{}\n", b"\xff\n", b'{"n":1}\n', b"[" * 100_000 + b"\n"])
def test_a_foreign_line_is_found(folder: Path, text: bytes) -> None:
    lines = lines_of(folder)
    assert told(verified(folder, [*lines[:6], text, *lines[6:]])) == [("added", 7, 7)]
    assert told(verified(folder, [*lines, text])) == [("added", 13, 13)]


def rewritten(lines: list[bytes], number: int, **changes: Any) -> list[bytes]:
    """What somebody without the key can do: change a line and calculate every hash anew."""
    made, previous = lines[: number - 1], json.loads(lines[number - 1])["previous"]
    for line in lines[number - 1 :]:
        values = {**json.loads(line), **changes, "previous": previous}
        changes = {}
        previous = values["hash"] = hash_of(values)
        made.append(canonical(values).encode() + b"\n")
    return made


def test_a_chain_that_was_calculated_anew_is_found_by_its_seals(folder: Path) -> None:
    lines = rewritten(lines_of(folder), 5, images=31)
    found = verified(folder, lines)
    assert told(found) == [("changed", n, n) for n in range(5, 13)]
    assert found.holds_until == 4
    without = verification_of_folder(folder, sealed=False)
    assert told(without) == [("changed", 12, 12)], "the head names another last line"
    (folder / HEAD_FILE).unlink()
    assert not verification_of_folder(folder).ok


def test_without_head_a_cut_log_is_found_too(folder: Path) -> None:
    (folder / HEAD_FILE).unlink()
    found = verified(folder, lines_of(folder)[:7])
    assert told(found) == [("changed", 1, 7)]
    assert HEAD_FILE in found.findings[0].sentence


def test_a_log_that_is_gone_is_found(folder: Path) -> None:
    (folder / LOG_FILE).unlink()
    assert told(verification_of_folder(folder)) == [("removed", 1, 12)]


def test_an_old_copy_of_everything_is_found_by_a_noted_hash(written: Path, folder: Path) -> None:
    AuditLog(folder).write("delivered")
    noted = verification_of_folder(folder).hash
    assert verification_of_folder(folder, expect=noted).ok
    assert verification_of_folder(written).ok, "by itself an old copy holds"
    found = verification_of_folder(written, expect=noted)
    assert told(found) == [("not_there", 0, 0)]
    AuditLog(folder).write("delivered")
    assert verification_of_folder(folder, expect=noted).ok, "later lines do not disturb"


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        (LOG_FILE, b'"images":32', b'"images": 32'),
        (LOG_FILE, b'"images":32', b'"images":9,"images":32'),
        (LOG_FILE, b'"score":0.25', b'"score":2.5e-1'),
        (HEAD_FILE, b" \n", b"\t\n"),
        (HEAD_FILE, b'"n":12', b'"n": 12'),
        (HEAD_FILE, b'"n":12', b'"n":12.0'),
    ],
)
def test_another_way_to_write_the_same_is_found(
    folder: Path, name: str, before: bytes, after: bytes
) -> None:
    content = (folder / name).read_bytes()
    assert before in content
    (folder / name).write_bytes(content.replace(before, after, 1))
    assert [kind for kind, _, _ in told(verification_of_folder(folder))] == ["changed"]


def test_several_wrongs_are_told_each(folder: Path) -> None:
    lines = lines_of(folder)
    lines[2] = lines[2].replace(b'"images":32', b'"images":33')
    lines[5], lines[6] = lines[6], lines[5]
    del lines[9]
    found = verified(folder, lines)
    assert told(found) == [("changed", 3, 3), ("reordered", 6, 7), ("removed", 10, 10)]
    assert found.holds_until == 2


def test_random_damage_never_ends_in_a_traceback(written: Path, folder: Path) -> None:
    source = random.Random(7)
    whole = (written / LOG_FILE).read_bytes()
    for _ in range(200):
        content = bytearray(whole)
        for _ in range(source.randint(1, 5)):
            start = source.randrange(len(content))
            content[start : start + source.randint(0, 500)] = source.randbytes(source.randint(0, 9))
        (folder / LOG_FILE).write_bytes(content)
        found = verification_of_folder(folder)
        assert found.ok == (bytes(content) == whole)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["audit", "verify", *map(str, arguments)])


def test_the_command_prints_the_newest_hash(folder: Path) -> None:
    last = json.loads(lines_of(folder)[-1])
    answer = run("--state", folder)
    assert answer.exit_code == 0
    assert last["hash"] in answer.stdout
    assert "holds until line 12" in answer.stdout
    values = json.loads(run("--state", folder, "--json").stdout)
    assert (values["ok"], values["hash"], values["lines"]) == (True, last["hash"], 12)
    assert run("--state", folder, "--expect", last["hash"]).exit_code == 0


def test_the_command_names_the_changed_line_and_has_a_code_of_its_own(folder: Path) -> None:
    lines = lines_of(folder)
    verified(folder, [*lines[:6], lines[6].replace(b"32", b"33"), *lines[7:]])
    answer = run("--state", folder)
    assert answer.exit_code == 15
    assert "Line 7 was changed." in answer.stdout
    assert "holds until line 6" in answer.stdout
    values = json.loads(run("--state", folder, "--json").stdout)
    assert values["findings"][0] == {
        "kind": "changed", "first": 7, "last": 7, "sentence": "Line 7 was changed.",
    }  # fmt: skip
    assert values["holds_until"] == 6


def test_the_command_without_a_key_or_a_log_is_one_sentence(folder: Path, tmp_path: Path) -> None:
    answer = run("--state", tmp_path / "nothing")
    assert (answer.exit_code, answer.stderr.count("\n")) == (3, 1)
    (folder / KEY_FILE).unlink()
    assert run("--state", folder).exit_code == 2
    assert run("--state", folder, "--without-key").exit_code == 0
    if os.geteuid():
        (folder / LOG_FILE).chmod(0)
        assert run("--state", folder, "--without-key").exit_code == 2
