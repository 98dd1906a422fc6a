"""`ichexport build`: every engine proven and placed, or the repository as it was."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray

from ichexport.build_cli import TARGETS
from ichexport.cli import main
from ichexport.engines import Runner
from ichexport.errors import ParityError, PrecisionError
from ichexport.repository import check_repository
from ichexport.routes import ROUTES, openvino
from ichexport.routes.route import Built

Contents = Callable[[Path], dict[str, bytes]]
Untouched = Callable[[dict[str, bytes]], None]

ENGINES = ("ich_any", "ich_fused_engine")


def built(repository: Path, target: str, *options: object) -> Result:
    command = ["build", "--target", target, "--repository", repository, *options]
    return CliRunner().invoke(main, [str(each) for each in command])


@pytest.fixture
def untouched(contents: Contents, small_copy: Path) -> Callable[[dict[str, bytes]], None]:
    """Holds the repository against what it was, and that nothing was left beside it."""

    def check(before: dict[str, bytes]) -> None:
        assert contents(small_copy) == before
        assert [path.name for path in small_copy.parent.iterdir()] == ["repository"]

    return check


def served(repository: Path, model: str, how: str) -> dict[str, Any]:
    record = json.loads((repository / model / "1" / "model.onnx.build.json").read_text())
    return dict(record["served"][how])


@pytest.mark.parametrize(("target", "how"), [("onnxruntime", "onnxruntime f32")])
def test_a_graph_that_serves_as_it_is_gets_a_proof(small_copy: Path, target: str, how: str) -> None:
    graphs = {model: (small_copy / model / "1" / "model.onnx").read_bytes() for model in ENGINES}
    answer = built(small_copy, target, "--no-cache")
    assert answer.exit_code == 0, answer.stderr
    check_repository(small_copy)
    for model in ENGINES:
        proof = served(small_copy, model, how)
        assert proof["parity"]["engine"] == "passed"
        assert proof["parity"]["difference"]["largest_score_difference"] <= 1e-3
        assert set(proof["layers"]["count"]) == {"f32"}
        assert (small_copy / model / "1" / "model.onnx").read_bytes() == graphs[model]


def test_an_engine_is_built_once_and_proven_each_time(
    small_copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    options = ("--precision", "f32", "--model", "ich_any", "--cache", cache)
    assert built(small_copy, "tensorrt-rtx", *options).exit_code == 0
    engine = (small_copy / "ich_any" / "1" / "model.rtx").read_bytes()
    (small_copy / "ich_any" / "1" / "model.rtx").unlink()
    (small_copy / "ich_any" / "1" / "model.rtx.build.json").unlink()
    CliRunner().invoke(main, ["repository", "--repository", str(small_copy)])

    def never(*_: object) -> Built:
        raise AssertionError("it was built again")

    monkeypatch.setattr("ichexport.routes.tensorrt_rtx.build", never)
    assert built(small_copy, "tensorrt-rtx", *options).exit_code == 0
    assert (small_copy / "ich_any" / "1" / "model.rtx").read_bytes() == engine
    (kept,) = cache.glob("*/model.rtx")
    kept.write_bytes(engine[:-1] + bytes([engine[-1] ^ 1]))  # damaged, so it is not taken
    with pytest.raises(AssertionError, match="built again"):
        CliRunner().invoke(
            main,
            [
                "build",
                "--target",
                "tensorrt-rtx",
                "--repository",
                str(small_copy),
                *map(str, options),
            ],
            catch_exceptions=False,
        )


def of_another_precision(monkeypatch: pytest.MonkeyPatch) -> type[Exception]:
    monkeypatch.setattr(openvino, "layers_from_openvino", lambda *_: {"f32": 3, "bf16": 20})
    return PrecisionError


def of_other_answers(monkeypatch: pytest.MonkeyPatch) -> type[Exception]:
    def off_by_half(path: Path, precision: str) -> Runner:
        true = original(path, precision)

        def run(hu: NDArray[np.float16]) -> dict[str, NDArray[np.generic]]:
            found = true(hu)
            name = "LOGIT" if "LOGIT" in found else "SCORE"
            return {**found, name: np.asarray(found[name] * 0.5)}

        return run

    original = openvino.openvino_from_onnx
    monkeypatch.setattr(openvino, "openvino_from_onnx", off_by_half)
    return ParityError


def only_the_last(monkeypatch: pytest.MonkeyPatch) -> type[Exception]:
    original = openvino.build

    def failing(source: Any, folder: Path, options: Any) -> Built:
        if source.model == "ich_fused_engine":
            raise PrecisionError("the last of two fails")
        return original(source, folder, options)

    monkeypatch.setattr(openvino, "build", failing)
    return PrecisionError


@pytest.mark.parametrize("fault", [of_another_precision, of_other_answers, only_the_last])
def test_an_engine_that_is_not_what_was_asked_for_is_never_placed(
    small_copy: Path,
    contents: Contents,
    untouched: Untouched,
    monkeypatch: pytest.MonkeyPatch,
    fault: Any,
) -> None:
    before = contents(small_copy)
    expected = fault(monkeypatch)
    answer = built(small_copy, "openvino", "--precision", "f32", "--no-cache")
    assert answer.exit_code == expected.exit_code == 8
    assert answer.stderr.splitlines()[-1].startswith("Error: ")
    untouched(before)


@pytest.mark.parametrize(
    ("target", "options", "exit_code", "said"),
    [
        ("openvino", ("--precision", "fp8"), 1, "not in fp8"),
        ("openvino", ("--batch", 1, 8, 64), 1, "--batch means nothing to the target openvino"),
        ("onnxruntime", ("--precision", "bf16"), 1, "not in bf16"),
        ("openvino", ("--model", "ich_other"), 1, "'ich_other' is no engine of"),
        ("tensorrt", (), 9, "pip install 'ich-triton[tensorrt]'"),
        ("torch-tensorrt", (), 9, "pip install 'ich-triton[tensorrt]'"),
    ],
)
def test_what_cannot_be_built_ends_in_one_sentence(
    small_copy: Path,
    contents: Contents,
    untouched: Untouched,
    target: str,
    options: tuple[object, ...],
    exit_code: int,
    said: str,
) -> None:
    before = contents(small_copy)
    answer = built(small_copy, target, *options, "--no-cache")
    assert (answer.exit_code, answer.stderr.count("\n")) == (exit_code, 1), answer.stderr
    assert said in answer.stderr
    untouched(before)


def test_nothing_is_built_in_an_altered_repository(
    small_copy: Path, contents: Contents, untouched: Untouched
) -> None:
    (small_copy / "ich_any" / "config.pbtxt").write_bytes(b"")
    before = contents(small_copy)
    answer = built(small_copy, "openvino")
    assert answer.exit_code == 10
    untouched(before)


def test_the_command_offers_every_route_there_is() -> None:
    assert set(TARGETS) == set(ROUTES)
