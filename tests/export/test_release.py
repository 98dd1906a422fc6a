"""Run -> repository: released together, or nothing is touched."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from ichcore import IchError
from ichexport.engines import onnxruntime_from_onnx
from ichexport.golden import combined_from_runners
from ichexport.manifest import manifest_from_repository
from ichexport.release import repository_from_run
from ichexport.repository import check_repository

OLD = {"ich_any/1/model.onnx": b"old graph", "notes.txt": b"old notes"}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """An older repository that a failed release must leave as it is."""
    folder = tmp_path / "site" / "repository"
    for name, content in OLD.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def quick_exporter(small_graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Failures after the export need not wait for it: the small member's graph is at hand."""
    monkeypatch.setattr(
        "ichexport.build.onnx_from_member", lambda member, path: shutil.copy(small_graph, path)
    )


@pytest.fixture
def untouched(contents: Callable[[Path], dict[str, bytes]], repository: Path) -> Callable[[], None]:
    """Holds the older repository against what it was, and that nothing was left beside it."""

    def check() -> None:
        assert contents(repository) == OLD
        assert [path.name for path in repository.parent.iterdir()] == ["repository"]

    return check


def test_a_released_repository_is_whole(released: tuple[Path, str]) -> None:
    repository, digest = released
    spec = check_repository(repository)
    assert spec.name == "small"
    assert hashlib.sha256(manifest_from_repository(repository).encode()).hexdigest() == digest
    assert sorted(path.name for path in repository.parent.iterdir()) == ["repository", "run"]


def test_golden_answers_are_those_of_the_released_graph(released: tuple[Path, str]) -> None:
    repository, _ = released
    spec = check_repository(repository)
    graph = repository / "ich_any" / "1" / "model.onnx"
    with np.load(repository / "golden.npz") as golden:
        runners = {"ich_any": onnxruntime_from_onnx(graph)}
        combined = combined_from_runners(runners, golden["HU"], spec)
        np.testing.assert_array_equal(golden["SCORE"], combined.score)
        np.testing.assert_array_equal(golden["LESION_MM2"], combined.lesion_mm2)
        assert str(golden["SPEC_SHA256"]) == spec.sha256


def test_the_record_names_what_was_built(
    released: tuple[Path, str], record_of: Callable[[Path], dict[str, Any]]
) -> None:
    repository, _ = released
    record = record_of(repository)
    spec = check_repository(repository)
    graph = (repository / "ich_any" / "1" / "model.onnx").read_bytes()
    assert record["engine_sha256"] == hashlib.sha256(graph).hexdigest()
    assert record["weights_sha256"] == spec.members[0].weights_sha256
    assert record["batch_range"] == [1, 64]
    assert record["parity_against_torch"].keys() == {"onnxruntime", "openvino"}
    for figures in record["parity_against_torch"].values():
        assert 0 <= figures["largest_logit_difference"] <= figures["tolerance"] == 1e-3
        assert figures["slices"] == 5


@pytest.mark.usefixtures("quick_exporter")
def test_a_release_takes_the_place_of_the_old_one(run: Any, repository: Path) -> None:
    steps: list[str] = []
    repository_from_run(run.folder, repository, steps.append)
    assert check_repository(repository) == run.spec
    assert not (repository / "notes.txt").exists()
    assert [path.name for path in repository.parent.iterdir()] == ["repository"]
    assert steps[0] == "ich_any: graph and parity"
    assert steps[1] == "all members as one graph"
    assert steps[2].startswith("ich_any: onnxruntime in f32, ")
    assert steps[3].startswith("ich_fused_engine: onnxruntime in f32, ")
    assert steps[-1] == "configs, golden answers, manifest"


def without_spec(run: Any) -> None:
    (run.folder / "ensemble.json").unlink()


def broken_spec(run: Any) -> None:
    (run.folder / "ensemble.json").write_text("{")


def without_golden(run: Any) -> None:
    (run.folder / "golden_hu.npy").unlink()


def no_golden_slices(run: Any) -> None:
    np.save(run.folder / "golden_hu.npy", run.hu[:0])


def golden_with_nan(run: Any) -> None:
    hu = run.hu.copy()
    hu[0, 0, 30, 30] = np.nan
    np.save(run.folder / "golden_hu.npy", hu)


def broken_weights(run: Any) -> None:
    (run.folder / "ich_any.safetensors").write_bytes(b"no weights")


def weights_of_another_run(run: Any) -> None:
    path = run.folder / "ensemble.json"
    fields = json.loads(path.read_text())
    fields["members"][0]["weights_sha256"] = "0" * 64
    path.write_text(json.dumps(fields))


@pytest.mark.usefixtures("quick_exporter")
@pytest.mark.parametrize(
    "spoil",
    [
        without_spec,
        broken_spec,
        without_golden,
        no_golden_slices,
        golden_with_nan,
        broken_weights,
        weights_of_another_run,
    ],
)
def test_a_failed_release_leaves_the_old_repository_untouched(
    run: Any, repository: Path, untouched: Callable[[], None], spoil: Callable[[Any], None]
) -> None:
    spoil(run)
    with pytest.raises(IchError):
        repository_from_run(run.folder, repository)
    untouched()


def test_an_export_that_goes_wrong_is_never_released(
    run: Any,
    repository: Path,
    untouched: Callable[[], None],
    small_graph: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = onnx.load(small_graph)
    head = next(t for t in model.graph.initializer if t.name.startswith("head.weight"))
    head.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(head), head.name))
    monkeypatch.setattr(
        "ichexport.build.onnx_from_member", lambda member, path: onnx.save(model, path)
    )
    with pytest.raises(IchError, match="differs from its weights"):
        repository_from_run(run.folder, repository)
    untouched()


@pytest.mark.usefixtures("quick_exporter")
def test_a_disk_that_fails_at_the_last_step_leaves_the_old_repository(
    run: Any,
    repository: Path,
    untouched: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rename = Path.rename

    def failing(path: Path, target: Path) -> Path:
        if path.name == "fresh":
            raise OSError("no space left on device")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="no space left"):
        repository_from_run(run.folder, repository)
    untouched()
