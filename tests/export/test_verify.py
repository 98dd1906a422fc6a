"""`ichexport verify` and `inspect`: engines are as recorded, or one sentence says why not."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray

from ichexport.cli import main
from ichexport.engines import onnxruntime_from_onnx
from ichexport.repository import check_repository, write_manifest
from ichexport.routes import tensorrt_rtx

Contents = Callable[[Path], dict[str, bytes]]

RTX = Path("ich_any") / "1" / "model.rtx"
FUSED_RTX = Path("ich_fused_engine") / "1" / "model.rtx"


def ichexport(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def built(released: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small repository with engines that could be built, and not run, without a GPU."""
    folder = tmp_path_factory.mktemp("built") / "repository"
    shutil.copytree(released[0], folder)
    answer = ichexport("build", "--target", "tensorrt-rtx", "--no-cache", "--repository", folder)
    assert answer.exit_code == 0, answer.stderr
    return folder


@pytest.fixture
def built_copy(built: Path, tmp_path: Path) -> Path:
    """The same, alone in its folder and free to be spoilt."""
    return shutil.copytree(built, tmp_path / "site" / "repository")


def pinned(repository: Path) -> Path:
    pin = repository.parent.parent / "pin.sha256"
    pin.write_text(f"{write_manifest(repository)}\n")
    return pin


def test_verify_lists_what_ran_and_what_did_not(built_copy: Path) -> None:
    answer = ichexport("verify", "--repository", built_copy, "--pin", pinned(built_copy))
    assert answer.exit_code == 0, answer.stderr
    rows = [line.split() for line in answer.stdout.splitlines()]
    assert ["ich_any", "1", "model.rtx", "tensorrt-rtx", "f16", "not", "run"] in [
        row[:7] for row in rows
    ]
    assert ["ich_any", "1", "model.onnx", "onnxruntime", "f32", "passed"] in [r[:6] for r in rows]
    assert "Not run, only their graphs were compared: " in answer.stdout


@pytest.mark.parametrize(
    ("target", "exit_code", "said"),
    [
        ("onnxruntime", 0, "as recorded"),
        ("tensorrt-rtx", 8, "ich_any: model.rtx not run"),
        ("tensorrt", 8, "ich_any: no engine was built; ich_fused_engine: no engine was built"),
    ],
)
def test_a_target_serves_only_what_ran(
    built_copy: Path, target: str, exit_code: int, said: str
) -> None:
    answer = ichexport("verify", "--repository", built_copy, "--target", target)
    assert answer.exit_code == exit_code
    assert said in answer.output


def one_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def without_record(path: Path) -> None:
    path.with_name(f"{path.name}.build.json").unlink()


def record_of_another(path: Path) -> None:
    record = path.with_name(f"{path.name}.build.json")
    shutil.copy(path.parents[2] / FUSED_RTX.with_name("model.rtx.build.json"), record)


def other_weights(path: Path) -> None:
    change(path, weights_sha256="0" * 64)


def other_graph(path: Path) -> None:
    change(path, graph_sha256="0" * 64)


def record_of_nothing(path: Path) -> None:
    path.with_name(f"{path.name}.build.json").write_text("{}")


def no_record_at_all(path: Path) -> None:
    path.with_name(f"{path.name}.build.json").write_text("[")


def change(engine: Path, **fields: Any) -> None:
    path = engine.with_name(f"{engine.name}.build.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (one_byte, "model.rtx is not the file that its record names"),
        (cut, "bytes, its record"),
        (without_record, "model.rtx.build.json is missing"),
        (record_of_another, "bytes, its record"),
        (other_weights, "was made of other weights than the spec names"),
        (other_graph, "was not built of the graph beside it"),
        (record_of_nothing, "names no 'engine_sha256'"),
        (no_record_at_all, "is no build record"),
    ],
)
@pytest.mark.parametrize("whole_manifest", [False, True], ids=["as found", "hashed again"])
def test_an_altered_engine_is_found_and_left_alone(
    built_copy: Path,
    contents: Contents,
    spoil: Callable[[Path], None],
    said: str,
    whole_manifest: bool,
) -> None:
    """By the manifest; and by the record where somebody hashed everything again."""
    pin = pinned(built_copy)
    spoil(built_copy / RTX)
    if whole_manifest:
        write_manifest(built_copy)
    before = contents(built_copy)
    answer = ichexport("verify", "--repository", built_copy)
    assert (answer.exit_code, answer.stderr.count("\n")) == (10, 1), answer.output
    assert (said if whole_manifest else str(RTX)) in answer.stderr
    assert ichexport("verify", "--repository", built_copy, "--pin", pin).exit_code == 10
    assert contents(built_copy) == before


@pytest.mark.parametrize("name", ["golden.npz", "ich_study/config.pbtxt", "ich_combine/1/model.py"])
def test_any_altered_file_is_named(built_copy: Path, name: str) -> None:
    one_byte(built_copy / name)
    (built_copy / "ich_any" / "notes.txt").write_text("a file nobody listed")
    answer = ichexport("verify", "--repository", built_copy)
    assert answer.exit_code == 10
    assert f"{name} is altered" in answer.stderr
    assert "ich_any/notes.txt is not listed" in answer.stderr


def test_an_engine_that_cannot_run_here_stays_not_run(built_copy: Path, contents: Contents) -> None:
    before = contents(built_copy)
    answer = ichexport("verify", "--on-gpu", "--repository", built_copy)
    assert answer.exit_code == 0, answer.stderr
    assert "still not run" in answer.stderr
    assert contents(built_copy) == before


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """A machine on which RTX engines run: as their graphs, the fused one shifted if so asked."""

    def run(engine: Path, options: tensorrt_rtx.Options) -> Any:
        assert options.precision == "f16"
        assert options.batch == (1, 8, 64)
        true, wrong = onnxruntime_from_onnx(engine.with_name("model.onnx")), request.param

        def answers(hu: NDArray[np.float16]) -> dict[str, NDArray[np.generic]]:
            found = true(hu)
            if wrong and "SCORE" in found:
                found["SCORE"] = np.clip(np.asarray(found["SCORE"], np.float32) + 0.3, 0, 1)
            return found

        return answers

    monkeypatch.setattr(tensorrt_rtx, "run", run)


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize("runs", [False], indirect=True)
def test_an_engine_that_runs_and_agrees_is_noted_as_passed(built_copy: Path) -> None:
    pin = pinned(built_copy)
    arguments = ("--repository", built_copy, "--pin", pin)
    assert ichexport("verify", "--on-gpu", *arguments).exit_code == 0
    answer = ichexport("verify", "--target", "tensorrt-rtx", *arguments)
    assert answer.exit_code == 0, answer.stderr
    check_repository(built_copy, pin)


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize("runs", [True], indirect=True)
def test_one_engine_that_disagrees_leaves_every_record_as_it_was(
    built_copy: Path, contents: Contents
) -> None:
    before = contents(built_copy)
    answer = ichexport("verify", "--on-gpu", "--repository", built_copy)
    assert answer.exit_code == 8
    assert "ich_fused_engine/1/model.rtx (tensorrt-rtx f16): " in answer.stderr
    assert "a score by 0." in answer.stderr
    assert contents(built_copy) == before
    assert [path.name for path in built_copy.parent.iterdir()] == ["repository"]


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize("runs", [False], indirect=True)
def test_a_full_disk_leaves_every_record_as_it_was(
    built_copy: Path, contents: Contents, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, true = contents(built_copy), os.fsync

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    answer = ichexport("verify", "--on-gpu", "--repository", built_copy)
    monkeypatch.setattr(os, "fsync", true)
    assert answer.exit_code == 1
    assert "No space left on device" in answer.stderr
    assert contents(built_copy) == before
    assert [path.name for path in built_copy.parent.iterdir()] == ["repository"]


def inspected(repository: Path, name: object) -> list[dict[str, Any]]:
    answer = ichexport("inspect", name, "--json", "--repository", repository)
    assert answer.exit_code == 0, answer.stderr
    return list(json.loads(answer.stdout))


def test_inspect_reads_a_graph(built: Path) -> None:
    graph, rtx = inspected(built, "ich_any")
    assert graph["engine_bytes"] == (built / "ich_any" / "1" / "model.onnx").stat().st_size
    assert graph["read_from"] == "the graph itself"
    assert set(graph["layers"]) == {"f32"}
    assert graph["layers"]["f32"] == graph["graph"]["operations"]["Conv"]
    assert graph["graph"]["inputs"] == [
        {"name": "HU", "data_type": "FP16", "shape": ["N", 1, 64, 64]}
    ]
    names = [output["name"] for output in graph["graph"]["outputs"]]
    assert names == ["LOGIT", "MASK", "BRAIN"]
    assert 0 < graph["graph"]["weight_bytes"] < graph["engine_bytes"]
    # Two f32 channels of a 64 x 64 slice are alive somewhere, and never a hundred.
    assert 2 * 4 * 64**2 < graph["graph"]["activation_bytes"] < 100 * 4 * 64**2
    assert rtx["layers"] == {"f16": graph["layers"]["f32"]}
    assert rtx["read_from"] == "the parsed network, at the build"
    assert rtx["graph"] == graph["graph"]
    assert rtx["device"]["compute_capabilities"][0] == "7.5"
    assert [proof["state"] for proof in rtx["proofs"]] == ["not_run"]


def test_inspect_takes_a_path_and_speaks_to_people(built: Path) -> None:
    answer = ichexport("inspect", built / FUSED_RTX, "--repository", built)
    assert answer.exit_code == 0, answer.stderr
    for text in ("in f16, 100%", "output     ", "SCORE FP32 [N, 1]", "not run", "7.5, 8.6"):
        assert text in " ".join(answer.stdout.split("  ")) or text in answer.stdout, text


@pytest.mark.parametrize(("spoil", "exit_code"), [(cut, 10), (one_byte, 10), (without_record, 10)])
@pytest.mark.parametrize("engine", ["model.onnx", "model.rtx"])
def test_inspect_refuses_a_spoilt_engine(
    built_copy: Path, engine: str, spoil: Callable[[Path], None], exit_code: int
) -> None:
    spoil(built_copy / "ich_any" / "1" / engine)
    answer = ichexport("inspect", built_copy / "ich_any" / "1" / engine)
    assert (answer.exit_code, answer.stderr.count("\n")) == (exit_code, 1), answer.output


def test_inspect_names_the_models_there_are(built: Path) -> None:
    answer = ichexport("inspect", "ich_other", "--repository", built)
    assert answer.exit_code == 1
    assert "it has ich_any, ich_fused_engine" in answer.stderr
