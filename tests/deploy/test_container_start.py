"""The container's first process: what it refuses to become a server on, and what it becomes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ichclient.container import command_to_run
from ichclient.container_command import container_command
from ichclient.errors import FlagRefused, RepositoryError
from ichclient.flags import CLIENT_TOKEN_PLACEHOLDER, TOKEN_PLACEHOLDER
from ichclient.repository import pinned_sha256


def started(command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ichclient.container", *command],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_verified_repository_becomes_the_command_with_the_token(bundle: Path) -> None:
    command = ["echo", f"--model-repository={bundle}", f"--x=admin={TOKEN_PLACEHOLDER}"]
    told = started(command, ICH_ADMIN_TOKEN="the-token", ICH_MANIFEST_SHA256=pinned_sha256())
    assert told.stdout == f"--model-repository={bundle} --x=admin=the-token\n"
    assert told.returncode == 0


def test_without_a_token_nobody_can_guess_it(bundle: Path) -> None:
    command = container_command(model_repository=str(bundle))
    tokens = [
        part.rpartition("=")[2]
        for _ in range(2)
        for part in command_to_run(command, {})
        if part.startswith("--grpc-restricted-protocol")
    ]
    assert len(set(tokens)) == 2
    assert all(len(token) >= 32 and TOKEN_PLACEHOLDER not in token for token in tokens)


def test_one_changed_byte_keeps_the_server_from_starting(bundle: Path, tmp_path: Path) -> None:
    altered = tmp_path / "model_repository"
    shutil.copytree(bundle, altered)
    with (altered / "ich_any" / "1" / "model.onnx").open("r+b") as file:
        file.seek(1000)
        byte = file.read(1)
        file.seek(1000)
        file.write(bytes([byte[0] ^ 1]))
    told = started(["echo", f"--model-repository={altered}"])
    assert told.returncode == RepositoryError.exit_code
    assert "model.onnx was altered" in told.stderr
    assert told.stdout == ""


def test_another_manifest_than_the_pinned_one_is_refused(bundle: Path) -> None:
    with pytest.raises(RepositoryError, match="is not the manifest"):
        command_to_run([f"--model-repository={bundle}"], {"ICH_MANIFEST_SHA256": "0" * 64})


def test_a_command_without_a_repository_or_with_a_bad_token_is_refused(bundle: Path) -> None:
    with pytest.raises(FlagRefused, match="and 0 were given"):
        command_to_run(["tritonserver"], {})
    with pytest.raises(FlagRefused, match="A token is not empty"):
        command_to_run(container_command(model_repository=str(bundle)), {"ICH_ADMIN_TOKEN": "a:b"})


def test_a_token_that_clients_are_asked_for_has_to_be_set(bundle: Path) -> None:
    command = [f"--model-repository={bundle}", f"--x=client={CLIENT_TOKEN_PLACEHOLDER}"]
    assert command_to_run(command, {"ICH_CLIENT_TOKEN": "one"})[1] == "--x=client=one"
    with pytest.raises(FlagRefused, match="A token is not empty"):
        command_to_run(command, {})


def test_a_program_that_is_not_there_is_named(bundle: Path) -> None:
    told = started(["no-such-server", f"--model-repository={bundle}"])
    assert told.returncode == 9
    assert told.stderr == "Error: no-such-server cannot be run (No such file or directory).\n"
