"""Committed repository = generated repository; any byte that differs is found."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ichcore import IchError
from ichexport.errors import DriftError
from ichexport.repository import check_repository, spec_of_repository, write_repository

PIN = Path("client") / "ichclient" / "model_repository.sha256"


def test_the_committed_repository_is_what_its_spec_generates(bundle: Path, checkout: Path) -> None:
    assert check_repository(bundle, checkout / PIN) == spec_of_repository(bundle)


@pytest.mark.parametrize("where", ["first", "middle", "last"])
@pytest.mark.parametrize(
    "name",
    [
        "ich_any/config.pbtxt",
        "ich_sdh/configs/cpu.pbtxt",
        "ich_ensemble/config.pbtxt",
        "ich_any/1/model.py",
        "ich_combine/1/model.py",
        "ich_study/1/model.py",
        "ich_combine/1/ensemble.json",
        "ich_study/1/ensemble.json",
        "ich_any/1/model.onnx",
        "ich_small/1/model.onnx.build.json",
        "golden.npz",
        "MANIFEST.sha256",
    ],
)
def test_one_changed_byte_is_found(copy: Path, name: str, where: str) -> None:
    content = bytearray((copy / name).read_bytes())
    content[{"first": 0, "middle": len(content) // 2, "last": -1}[where]] ^= 0x80
    (copy / name).write_bytes(content)
    with pytest.raises(IchError):
        check_repository(copy)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda copy: (copy / "ich_study" / "config.pbtxt").unlink(),
        lambda copy: (copy / "golden.npz").unlink(),
        lambda copy: (copy / "MANIFEST.sha256").unlink(),
        lambda copy: (copy / "ich_ensemble" / "1" / ".gitkeep").unlink(),
        lambda copy: (copy / "ich_any" / "1" / "model.onnx").unlink(),
        lambda copy: (copy / "ich_combine" / "1" / "ensemble.json").unlink(),
        lambda copy: (copy / "ich_any" / "notes.txt").write_text("a file nobody generated"),
        lambda copy: (copy / "ich_any" / "1" / "model.onnx.build.json").write_text("{}"),
        lambda copy: (copy / "ich_any" / "config.pbtxt").write_bytes(
            (copy / "ich_any" / "config.pbtxt").read_bytes().replace(b"\n", b"\r\n")
        ),
    ],
    ids=["config", "golden", "manifest", "gitkeep", "graph", "spec", "stray", "record", "crlf"],
)
def test_absent_and_stray_files_are_found(copy: Path, spoil: Callable[[Path], object]) -> None:
    spoil(copy)
    with pytest.raises(IchError):
        check_repository(copy)


def test_bytecode_of_a_running_server_is_no_drift(copy: Path) -> None:
    cache = copy / "ich_any" / "1" / "__pycache__"
    cache.mkdir()
    (cache / "model.cpython-311.pyc").write_bytes(b"cache")
    check_repository(copy)


@pytest.mark.parametrize("pinned", [None, "", "0" * 64])
def test_another_pin_is_drift(copy: Path, tmp_path: Path, pinned: str | None) -> None:
    pin = tmp_path / "pin.sha256"
    if pinned is not None:
        pin.write_text(f"{pinned}\n")
    with pytest.raises(DriftError, match=r"pin\.sha256 differs"):
        check_repository(copy, pin)


def test_a_spec_with_other_weights_is_refused_with_its_member(copy: Path) -> None:
    path = copy / "ich_combine" / "1" / "ensemble.json"
    fields = json.loads(path.read_text())
    fields["members"][1]["weights_sha256"] = "0" * 64
    path.write_text(json.dumps(fields, indent=2, sort_keys=True) + "\n")
    with pytest.raises(IchError, match=r"ich_sdh.*release them together"):
        check_repository(copy)


@pytest.fixture
def small_copy(released: tuple[Path, str], tmp_path: Path) -> Path:
    """A released repository of one small member, free to be written again."""
    return shutil.copytree(released[0], tmp_path / "small")


def test_generating_again_changes_nothing(small_copy: Path, released: tuple[Path, str]) -> None:
    assert write_repository(small_copy, spec_of_repository(small_copy)) == released[1]
    for path in small_copy.rglob("*"):
        name = os.path.relpath(path, small_copy)
        assert path.is_dir() or path.read_bytes() == (released[0] / name).read_bytes(), name


def test_golden_slices_that_prove_nothing_are_refused_before_anything_is_written(
    small_copy: Path, small_hu: NDArray[np.float16]
) -> None:
    (small_copy / "ich_any" / "config.pbtxt").write_text("left as it is")
    same = np.repeat(small_hu[:1], 4, axis=0)
    with pytest.raises(IchError, match="spans only"):
        write_repository(small_copy, spec_of_repository(small_copy), same)
    assert (small_copy / "ich_any" / "config.pbtxt").read_text() == "left as it is"
