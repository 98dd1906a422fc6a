"""Versions of one bundle: a candidate beside what is served, promoted with proof, rolled back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from ichexport.repository import check_repository, spec_of_repository, write_manifest
from ichexport.versions import Versions, versions_of

Contents = Callable[[Path], dict[str, bytes]]
Run = Callable[..., Result]

WITH_FOLDERS = ("ich_any", "ich_combine", "ich_fused_engine", "ich_provenance", "ich_study")


def served(repository: Path, model: str, config: str = "config.pbtxt") -> list[int]:
    return list(read(repository / model / config).version_policy.specific.versions)


def steps(repository: Path, model: str) -> set[int]:
    config = read(repository / model / "config.pbtxt")
    return {step.model_version for step in config.ensemble_scheduling.step}


def read(path: Path) -> Any:
    return text_format.Parse(path.read_text(), model_config_pb2.ModelConfig())


def told(repository: Path, model: str) -> str:
    parameters = read(repository / model / "config.pbtxt").parameters
    return str(parameters["spec_sha256"].string_value)


def test_a_candidate_stands_beside_what_is_served(with_candidate: Path) -> None:
    assert versions_of(with_candidate) == Versions(current=1, candidate=2, newest=2)
    check_repository(with_candidate)
    old, new = (spec_of_repository(with_candidate, number) for number in (1, 2))
    assert old.members[0].weights_sha256 != new.members[0].weights_sha256
    assert (told(with_candidate, "ich_ensemble"), told(with_candidate, "ich_canary")) == (
        old.sha256,
        new.sha256,
    )
    assert steps(with_candidate, "ich_ensemble") == steps(with_candidate, "ich_fused") == {1}
    assert steps(with_candidate, "ich_canary") == {2}
    for target in ("config.pbtxt", "configs/cpu.pbtxt", "configs/rtx.pbtxt"):
        assert served(with_candidate, "ich_any", target) == [1, 2]
        assert served(with_candidate, "ich_combine", target) == [1, 2]
        # No client can reach the candidate by leaving the version open.
        assert served(with_candidate, "ich_fused_engine", target) == [1]
    assert served(with_candidate, "ich_ensemble") == served(with_candidate, "ich_study") == [1]
    assert served(with_candidate, "ich_canary") == [2]


def test_the_canary_has_the_tensors_of_the_ensemble(with_candidate: Path) -> None:
    ensemble, canary = (
        read(with_candidate / model / "config.pbtxt") for model in ("ich_ensemble", "ich_canary")
    )
    assert list(canary.input) == list(ensemble.input)
    assert list(canary.output) == list(ensemble.output)
    assert canary.max_batch_size == ensemble.max_batch_size


def test_what_is_served_is_not_altered_by_a_candidate(
    released: tuple[Path, str], with_candidate: Path
) -> None:
    before, after = released[0], with_candidate
    for path in before.glob("*/1/*"):
        assert (after / path.relative_to(before)).read_bytes() == path.read_bytes()
    assert (after / "golden.npz").read_bytes() == (before / "golden.npz").read_bytes()


def test_promote_moves_every_ensemble_and_rollback_moves_it_back(
    done: Run,
    with_candidate: Path,
    site: Callable[[Path], Path],
    contents: Contents,
    tmp_path: Path,
) -> None:
    repository, pin = site(with_candidate), tmp_path / "pin.sha256"
    pin.write_text(f"{write_manifest(repository)}\n")
    arguments = ("--repository", repository, "--pin", pin)
    answer = done("promote", *arguments)
    assert "ich_any/2/model.onnx (openvino f32): agrees with torch" in answer.stderr
    assert "from version 1 to 2" in answer.stderr
    assert "Version 2 is served; before it 1, candidate none." in answer.stdout
    assert versions_of(repository) == Versions(current=2, former=1, newest=2)
    check_repository(repository, pin)
    for model in ("ich_ensemble", "ich_fused"):
        assert (served(repository, model), steps(repository, model)) == ([2], {2})
    assert all(served(repository, model) == [2] for model in WITH_FOLDERS)
    assert not (repository / "ich_canary").exists()
    second = contents(repository)
    assert second["golden.npz"] == contents(with_candidate)["golden.2.npz"]

    done("rollback", *arguments)
    assert versions_of(repository) == Versions(current=1, former=2, newest=2)
    check_repository(repository, pin)
    assert steps(repository, "ich_ensemble") == steps(repository, "ich_fused") == {1}
    assert all(served(repository, model) == [1] for model in WITH_FOLDERS)
    done("rollback", *arguments)
    assert contents(repository) == second


def test_every_promotion_keeps_one_former_version(
    done: Run, promoted: Path, site: Callable[[Path], Path]
) -> None:
    repository = site(promoted)
    done("build", "--target", "onnxruntime", "--candidate", "--repository", repository)
    assert versions_of(repository) == Versions(current=2, candidate=3, former=1, newest=3)
    assert spec_of_repository(repository, 3) == spec_of_repository(repository, 2)
    done("verify", "--repository", repository)
    answer = done("promote", "--repository", repository)
    assert "a score moves by 0 at most" in answer.stderr
    assert versions_of(repository) == Versions(current=3, former=2, newest=3)
    folders = {path.name for path in repository.glob("*/[0-9]*")}
    assert folders == {"2", "3"}
    assert sorted(path.name for path in repository.glob("golden*")) == [
        "golden.2.npz",
        "golden.npz",
    ]


def test_a_build_goes_into_the_candidate_there_is(
    done: Run, with_candidate: Path, site: Callable[[Path], Path], contents: Contents
) -> None:
    repository = site(with_candidate)
    options = ("--precision", "f32", "--model", "ich_any", "--no-cache", "--candidate")
    done("build", "--target", "tensorrt-rtx", *options, "--repository", repository)
    assert versions_of(repository) == versions_of(with_candidate)
    new = contents(repository).keys() - contents(with_candidate).keys()
    assert new == {"ich_any/2/model.rtx", "ich_any/2/model.rtx.build.json"}
    check_repository(repository)


@pytest.mark.usefixtures("graphs_at_hand")
def test_a_candidate_can_be_replaced_and_withdrawn(
    done: Run,
    with_candidate: Path,
    second_run: Path,
    released: tuple[Path, str],
    site: Callable[[Path], Path],
    contents: Contents,
) -> None:
    repository = site(with_candidate)
    done("release", second_run, "--candidate", "--repository", repository)
    assert versions_of(repository) == Versions(current=1, candidate=3, newest=3)
    assert {path.name for path in repository.glob("*/[0-9]*")} == {"1", "3"}
    done("rollback", "--candidate", "--repository", repository)
    assert versions_of(repository) == Versions(newest=3)
    both = contents(repository), contents(released[0])
    differ = {
        name for name in both[0].keys() | both[1].keys() if both[0].get(name) != both[1].get(name)
    }
    assert differ == {"versions.json", "MANIFEST.sha256"}
