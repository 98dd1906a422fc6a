"""A signed acceptance: who signed is known, and a changed byte anywhere is found."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from ichclient.acceptance.point import acceptance_of, point_by_name, set_point
from ichclient.acceptance.signature import sign, verify
from ichclient.cli import main
from ichclient.errors import BadAccess, NotAsSigned, NothingFound


def openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two Ed25519 keys and one of another kind, made by openssl."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("ours", "theirs"):
        openssl("genpkey", "-algorithm", "ed25519", "-out", f"{folder}/{name}.key")
        openssl("pkey", "-in", f"{folder}/{name}.key", "-pubout", "-out", f"{folder}/{name}.pub")
    openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", f"{folder}/other.key")
    return folder


@pytest.fixture
def signed(accepted: Path, keys: Path) -> Path:
    acceptance = acceptance_of(accepted)
    set_point(accepted, acceptance, point_by_name(acceptance, "balanced"))
    sign(accepted, keys / "ours.key", "A. Physicist")
    return accepted


def test_it_says_who_signed(signed: Path, keys: Path) -> None:
    found = verify(signed, keys / "ours.pub")
    assert found.name == "A. Physicist"
    assert set(found.files) == {"acceptance.json", "acceptance.html", "site.toml"}
    assert found.absent_results == ()


def test_other_programs_can_verify_it(signed: Path, keys: Path) -> None:
    statement, signature = signed / "acceptance.signed.txt", signed / "acceptance.sig"
    openssl("pkeyutl", "-verify", "-pubin", "-inkey", str(keys / "ours.pub"), "-rawin",
            "-in", str(statement), "-sigfile", str(signature))  # fmt: skip
    lines = statement.read_text().splitlines(keepends=True)[2:]
    subprocess.run(["sha256sum", "--check", "--strict"], input="".join(lines), text=True,
                   cwd=signed, check=True, capture_output=True)  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [
        "acceptance.json",
        "acceptance.html",
        "site.toml",
        "acceptance.signed.txt",
        "acceptance.sig",
        "cases/0002/result.json",
    ],
)
def test_a_changed_byte_is_found(signed: Path, keys: Path, name: str) -> None:
    content = bytearray((signed / name).read_bytes())
    content[len(content) // 2] ^= 1
    (signed / name).write_bytes(content)
    with pytest.raises(NotAsSigned):
        verify(signed, keys / "ours.pub")


def test_another_key_and_a_statement_of_another_folder_are_found(
    signed: Path, keys: Path, tmp_path: Path
) -> None:
    with pytest.raises(NotAsSigned, match="signed by another key"):
        verify(signed, keys / "theirs.pub")
    other = tmp_path / "other"
    shutil.copytree(signed, other)
    acceptance = acceptance_of(other)
    set_point(other, acceptance, point_by_name(acceptance, "balanced"))
    with pytest.raises(NothingFound, match="sign it"):
        verify(other, keys / "ours.pub")
    sign(other, keys / "theirs.key", "B")
    for name in ("acceptance.signed.txt", "acceptance.sig"):
        shutil.copy(signed / name, other / name)
    (other / "acceptance.html").write_text("other")
    with pytest.raises(NotAsSigned, match="not the file that was signed"):
        verify(other, keys / "ours.pub")


def test_results_that_were_taken_away_are_named(signed: Path, keys: Path) -> None:
    shutil.rmtree(signed / "cases" / "0002")
    assert verify(signed, keys / "ours.pub").absent_results == ("M-1",)


def test_what_does_not_agree_is_not_signed(accepted: Path, keys: Path) -> None:
    with (accepted / "cases" / "0001" / "result.json").open("a") as file:
        file.write(" ")
    with pytest.raises(NotAsSigned, match="not the result"):
        sign(accepted, keys / "ours.key", "A")
    assert not (accepted / "acceptance.sig").exists()


def test_keys_and_names_that_are_none_are_refused(accepted: Path, keys: Path) -> None:
    for key in ("other.key", "ours.pub", "absent.key"):
        with pytest.raises(BadAccess):
            sign(accepted, keys / key, "A")
    for key in ("ours.key", "other.key"):
        with pytest.raises(BadAccess):
            verify(accepted, keys / key)
    for name in ("", "  ", "A\nSigned by B"):
        with pytest.raises(BadAccess, match="on one line"):
            sign(accepted, keys / "ours.key", name)


def test_the_commands_end_with_their_codes(signed: Path, keys: Path) -> None:
    command = ["accept", "verify", str(signed), "--key", str(keys / "ours.pub")]
    ended = CliRunner().invoke(main, command)
    assert (ended.exit_code, ended.output.startswith("Signed by A. Physicist")) == (0, True)
    (signed / "acceptance.html").write_text("")
    assert CliRunner().invoke(main, command).exit_code == NotAsSigned.exit_code
    again = ["accept", "sign", str(signed), "--key", str(keys / "ours.key"), "--name", "B"]
    assert CliRunner().invoke(main, again).exit_code == 0
