"""The station's key: made once, read by nobody else, and nothing can be read back from a hash."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ichclient.audit.keyed import KEY_FILE, Pseudonyms
from ichclient.errors import BadAccess, CannotWrite

UID = "1.2.826.0.1.3680043.8.498.1"


def test_a_key_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    first, second = Pseudonyms.of_folder(tmp_path), Pseudonyms.of_folder(tmp_path)
    assert first == second
    assert (tmp_path / KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [KEY_FILE]
    assert repr(first.key) not in repr(first)


def test_many_that_begin_at_once_get_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        keys = set(pool.map(Pseudonyms.of_folder, [tmp_path] * 64))
    assert len(keys) == 1


def test_a_hash_tells_the_same_study_and_depends_on_the_key(tmp_path: Path) -> None:
    one, other = Pseudonyms(b"a" * 32), Pseudonyms(b"b" * 32)
    assert one.of(UID) == one.of(UID)
    assert len({one.of(UID), other.of(UID), one.of(UID + "1")}) == 3
    assert len(one.of(UID)) == 20
    assert int(one.of(UID), 16) >= 0


def test_a_seal_is_of_one_key_and_one_text_and_no_keyed_hash() -> None:
    one, other = Pseudonyms(b"a" * 32), Pseudonyms(b"b" * 32)
    seal = one.seal("text")
    assert one.is_seal(seal, "text")
    assert not other.is_seal(seal, "text")
    assert not one.is_seal(seal, "texts")
    assert not one.is_seal("ä", "text")
    assert not seal.startswith(one.of("text"))


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 33])
def test_a_file_that_is_no_key_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / KEY_FILE).write_bytes(content)
    (tmp_path / KEY_FILE).chmod(0o600)
    with pytest.raises(BadAccess, match="32 bytes"):
        Pseudonyms.of_folder(tmp_path)
    assert (tmp_path / KEY_FILE).read_bytes() == content


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    Pseudonyms.of_folder(tmp_path)
    (tmp_path / KEY_FILE).chmod(0o644)
    with pytest.raises(BadAccess, match="chmod 600"):
        Pseudonyms.of_folder(tmp_path)


def test_no_folder_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(CannotWrite, match="cannot be made"):
        Pseudonyms.of_folder(tmp_path / "absent")
