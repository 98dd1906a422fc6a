"""Promote and rollback: what must not be served is refused with its figures, and nothing moved."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from numpy.typing import NDArray
from onnx import load, numpy_helper, save

from ichcore import EnsembleSpec
from ichexport.errors import DriftError
from ichexport.members import Member
from ichexport.repository import write_manifest
from ichexport.versions import Versions, versions_of

Contents = Callable[[Path], dict[str, bytes]]
Run = Callable[..., Result]


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("promote",), "There is no candidate beside version 1; make one with"),
        (("rollback",), "There is no version before 1 to go back to"),
        (("rollback", "--candidate"), "There is no candidate beside version 1."),
    ],
)
def test_without_a_version_to_move_to_nothing_moves(
    ichexport: Run,
    released: tuple[Path, str],
    site: Callable[[Path], Path],
    contents: Contents,
    untouched: Any,
    command: tuple[str, ...],
    said: str,
) -> None:
    repository = site(released[0])
    before = contents(repository)
    answer = ichexport(*command, "--repository", repository)
    assert (answer.exit_code, answer.stderr.count("\n")) == (1, 1)
    assert said in answer.stderr
    untouched(repository, before)


def one_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def an_altered_engine(repository: Path) -> None:
    one_byte(repository / "ich_any" / "2" / "model.onnx")


def without_a_record(repository: Path) -> None:
    (repository / "ich_any" / "2" / "model.onnx.build.json").unlink()
    write_manifest(repository)


def other_answers(repository: Path) -> None:
    """A graph that says something else, with a record and a manifest that say that it is right."""
    path = repository / "ich_any" / "2" / "model.onnx"
    model = load(path)
    head = next(t for t in model.graph.initializer if t.name.startswith("head.bias"))
    head.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(head) + np.float16(1), head.name))
    save(model, path)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    for record in (path.with_name("model.onnx.build.json"),):
        fields = json.loads(record.read_text())
        record.write_text(json.dumps({**fields, "engine_sha256": sha256, "graph_sha256": sha256}))
    fused = repository / "ich_fused_engine" / "2" / "model.onnx.build.json"
    fields = json.loads(fused.read_text())
    fused.write_text(json.dumps({**fields, "member_graphs_sha256": [sha256]}))
    write_manifest(repository)


def never_run(repository: Path) -> None:
    change_proofs(repository, "passed", "not_run")


def refused(repository: Path) -> None:
    change_proofs(repository, "passed", "refused")


def change_proofs(repository: Path, old: str, new: str) -> None:
    record = repository / "ich_any" / "2" / "model.onnx.build.json"
    record.write_text(record.read_text().replace(f'"engine": "{old}"', f'"engine": "{new}"'))
    write_manifest(repository)


def with_a_plan_that_never_ran(repository: Path) -> None:
    for model in ("ich_any", "ich_fused_engine"):
        graph = repository / model / "2" / "model.onnx"
        record = json.loads(graph.with_name("model.onnx.build.json").read_text())
        proof = {"engine": "not_run", "why_not": "no GPU", "difference": None}
        plan = graph.with_name("model.plan")
        plan.write_bytes(b"a plan")
        fields = {
            "engine_sha256": hashlib.sha256(b"a plan").hexdigest(),
            "target": "tensorrt",
            "precision": "f16",
            "parity": proof,
        }
        text = json.dumps({**record, **fields})
        plan.with_name("model.plan.build.json").write_text(text)
    write_manifest(repository)


def other_golden_answers(repository: Path) -> None:
    path = repository / "golden.2.npz"
    with np.load(path) as golden:
        arrays = dict(golden)
    np.savez_compressed(path, **{**arrays, "SCORE": arrays["SCORE"] * 0.5})
    write_manifest(repository)


@pytest.mark.parametrize(
    ("spoil", "exit_code", "said"),
    [
        (an_altered_engine, 10, "ich_any/2/model.onnx is altered"),
        (without_a_record, 10, "model.onnx.build.json is missing"),
        (other_answers, 8, "the ensemble changes a score by 0."),
        (other_golden_answers, 8, "differ from its golden answers by 0."),
        (never_run, 8, "ich_any: model.onnx not run"),
        (refused, 8, "ich_any: model.onnx refused"),
        (with_a_plan_that_never_ran, 8, "must not serve the target tensorrt. ich_any: model.plan"),
    ],
)
def test_a_bad_version_never_replaces_a_good_one(
    ichexport: Run,
    with_candidate: Path,
    site: Callable[[Path], Path],
    contents: Contents,
    untouched: Any,
    spoil: Callable[[Path], None],
    exit_code: int,
    said: str,
) -> None:
    repository = site(with_candidate)
    spoil(repository)
    before = contents(repository)
    answer = ichexport("promote", "--repository", repository)
    assert answer.exit_code == exit_code, answer.output
    assert said in answer.stderr.splitlines()[-1]
    untouched(repository, before)


@pytest.mark.usefixtures("graphs_at_hand")
def test_a_version_without_an_engine_that_the_former_has_is_refused(
    done: Run,
    ichexport: Run,
    released: tuple[Path, str],
    second_run: Path,
    site: Callable[[Path], Path],
) -> None:
    repository = site(released[0])
    options = ("--precision", "f32", "--model", "ich_any", "--repository", repository)
    done("build", "--target", "tensorrt-rtx", "--no-cache", *options)
    done("release", second_run, "--candidate", "--repository", repository)
    answer = ichexport("promote", "--repository", repository)
    assert answer.exit_code == 8
    assert "no engine for the target tensorrt-rtx of ich_any, and version 1 has" in answer.stderr


@pytest.mark.usefixtures("graphs_at_hand")
def test_a_candidate_of_other_tensors_is_refused(
    ichexport: Run,
    small_member: Member,
    small_hu: NDArray[np.float16],
    released_spec: EnsembleSpec,
    released: tuple[Path, str],
    write_run: Callable[..., Any],
    tmp_path: Path,
    site: Callable[[Path], Path],
    contents: Contents,
    untouched: Any,
) -> None:
    fewer = replace(released_spec, operating_points=released_spec.operating_points[:1])
    write_run(tmp_path / "run", small_member, small_hu, fewer)
    repository = site(released[0])
    before = contents(repository)
    answer = ichexport("release", tmp_path / "run", "--candidate", "--repository", repository)
    assert answer.exit_code == 1
    assert "another number of operating points" in answer.stderr.splitlines()[-1]
    untouched(repository, before)


def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not one more byte goes to any file of the copy; what the disk holds can be read."""

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(shutil, "copyfile", full)


def full_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The manifest, the last of all files, finds no space."""

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)


def not_replaceable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that is a mount cannot be renamed."""
    true = Path.rename

    def busy(path: Path, target: Path) -> Path:
        if path.name == "repository":
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        return true(path, target)

    monkeypatch.setattr(Path, "rename", busy)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (full_disk, "No space left on device"),
        (full_at_the_end, "No space left on device"),
        (not_replaceable, "Device or resource busy"),
    ],
)
@pytest.mark.parametrize("command", ["promote", "rollback"])
def test_a_disk_that_fails_leaves_what_was_there(
    ichexport: Run,
    with_candidate: Path,
    promoted: Path,
    site: Callable[[Path], Path],
    contents: Contents,
    untouched: Any,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    fault: Callable[[pytest.MonkeyPatch], None],
    said: str,
) -> None:
    repository = site(with_candidate if command == "promote" else promoted)
    before = contents(repository)
    with monkeypatch.context() as patched:
        fault(patched)
        answer = ichexport(command, "--repository", repository)
    assert answer.exit_code == 1, answer.output
    assert said in answer.stderr
    untouched(repository, before)


def test_going_back_needs_nothing_of_what_is_left(
    done: Run, promoted: Path, site: Callable[[Path], Path]
) -> None:
    repository = site(promoted)
    one_byte(repository / "ich_any" / "2" / "model.onnx")
    (repository / "ich_combine" / "2" / "ensemble.json").write_text("{")
    (repository / "golden.npz").unlink()
    one_byte(repository / "ich_ensemble" / "config.pbtxt")
    answer = done("rollback", "--repository", repository)
    assert "Version 2 had altered files and was removed." in answer.stderr
    assert versions_of(repository) == Versions(current=1, newest=2)
    done("verify", "--repository", repository)


@pytest.mark.parametrize(
    "name", ["ich_any/1/model.onnx", "golden.1.npz", "versions.json", "ich_study/1/ensemble.json"]
)
def test_nothing_goes_back_to_a_version_that_is_not_whole(
    ichexport: Run,
    promoted: Path,
    site: Callable[[Path], Path],
    contents: Contents,
    untouched: Any,
    name: str,
) -> None:
    repository = site(promoted)
    one_byte(repository / name)
    before = contents(repository)
    answer = ichexport("rollback", "--repository", repository)
    assert (answer.exit_code, answer.stderr.count("\n")) == (10, 1), answer.output
    assert name.split("/")[-1] in answer.stderr
    untouched(repository, before)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[1]",
        '{"current": 0}',
        '{"current": "1"}',
        '{"current": 1, "candidate": 1, "newest": 2}',
        '{"current": 3, "newest": 2}',
        '{"current": 1, "other": 2}',
    ],
)
def test_a_file_that_names_no_versions_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "versions.json").write_text(text)
    with pytest.raises(DriftError, match=r"versions\.json cannot be read"):
        versions_of(tmp_path)
