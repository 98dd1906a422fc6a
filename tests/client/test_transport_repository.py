"""A repository is used only where every file of it is listed and unaltered."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from ichclient.errors import RepositoryError
from ichclient.repository import (
    MANIFEST,
    default_repository,
    verified_by_manifest,
    verified_repository,
)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    files = {"ich_any/1/model.onnx": b"engine", "golden.npz": b"golden"}
    lines = []
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
        lines.append(f"{hashlib.sha256(content).hexdigest()}  {name}\n")
    (tmp_path / MANIFEST).write_text("".join(lines))
    return tmp_path


def test_a_repository_as_it_was_listed_is_returned(repository: Path) -> None:
    assert verified_by_manifest(repository) == repository


@pytest.mark.parametrize("name", ["golden.npz", "ich_any/1/model.onnx"])
def test_a_missing_file_is_named(repository: Path, name: str) -> None:
    (repository / name).unlink()
    with pytest.raises(RepositoryError, match=f"{name} is missing"):
        verified_by_manifest(repository)


def test_an_altered_file_is_named(repository: Path) -> None:
    (repository / "ich_any/1/model.onnx").write_bytes(b"Engine")
    with pytest.raises(RepositoryError, match=r"model\.onnx was altered"):
        verified_by_manifest(repository)


def test_a_file_that_is_not_listed_is_named(repository: Path) -> None:
    (repository / "ich_any/1/model.py").write_text("")
    with pytest.raises(RepositoryError, match=r"model\.py is not listed"):
        verified_by_manifest(repository)


def test_bytecode_that_an_installation_leaves_is_no_alteration(repository: Path) -> None:
    cache = repository / "ich_any/1/__pycache__"
    cache.mkdir()
    (cache / "model.cpython-311.pyc").write_bytes(b"")
    verified_by_manifest(repository)


@pytest.mark.parametrize("line", ["", "abc  golden.npz", "golden.npz"])
def test_a_manifest_line_that_cannot_be_read_is_numbered(repository: Path, line: str) -> None:
    (repository / MANIFEST).write_text(line + "\n")
    with pytest.raises(RepositoryError, match="Line 1"):
        verified_by_manifest(repository)


def test_a_folder_without_manifest_is_no_repository(tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match=MANIFEST):
        verified_by_manifest(tmp_path)


def test_another_manifest_than_the_pinned_one_is_refused(repository: Path) -> None:
    with pytest.raises(RepositoryError, match="manifest"):
        verified_by_manifest(repository, "0" * 64)


def test_the_default_repository_is_the_one_that_was_pinned() -> None:
    assert verified_repository() == default_repository()
