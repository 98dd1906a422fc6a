"""A run that was interrupted or killed goes on to the very weights it would have reached."""

from __future__ import annotations

import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from ichtrain.errors import FitError
from ichtrain.fit import FitOptions, fit_member

Quick = Callable[..., FitOptions]
CHECKPOINT = "ich_any.checkpoint.safetensors"


def stop_at(step: int) -> Callable[[int, int, Mapping[str, float]], None]:
    """A progress that interrupts, as Ctrl-C would."""

    def told(done: int, total: int, figures: Mapping[str, float]) -> None:
        if done == step:
            raise KeyboardInterrupt

    return told


@pytest.fixture(scope="module")
def whole(discs: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """SHA-256 of the weights of a run that nothing interrupted."""
    run = tmp_path_factory.mktemp("whole")
    return fit_member([discs], run, options(workers=0)).weights_sha256


def options(**changes: int) -> FitOptions:
    fields: dict[str, Any] = {"epochs": 3, "steps_per_epoch": 3, "batch_size": 4, **changes}
    return FitOptions(name="ich_any", device="cpu", **fields)


def test_an_interrupted_run_ends_with_the_same_weights(
    discs: Path, whole: str, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit_member([discs], tmp_path, options(workers=0), stop_at(5))
    assert [path.name for path in tmp_path.iterdir()] == [CHECKPOINT]
    steps: list[int] = []
    record = fit_member([discs], tmp_path, options(workers=0), lambda done, *_: steps.append(done))
    assert steps[0] > 3, "began again instead of going on from the end of the first epoch"
    assert record.weights_sha256 == whole
    assert not (tmp_path / CHECKPOINT).exists()


def test_a_killed_process_ends_with_the_same_weights(
    discs: Path, whole: str, tmp_path: Path
) -> None:
    command = [
        sys.executable, "-c", "from ichtrain.cli import main; main()", "fit", str(discs),
        str(tmp_path), "--name", "ich_any", "--epochs", "3", "--steps-per-epoch", "3",
        "--batch-size", "4", "--device", "cpu", "--workers", "0",
    ]  # fmt: skip
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        until = time.monotonic() + 120
        while not (tmp_path / CHECKPOINT).exists() and time.monotonic() < until:
            assert process.poll() is None, "ended before its first checkpoint"
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert not (tmp_path / "ich_any.safetensors").exists()
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert "Research demonstration" in finished.stdout
    record = (tmp_path / "ich_any.json").read_text()
    assert whole in record


def test_the_number_of_workers_changes_nothing(discs: Path, whole: str, tmp_path: Path) -> None:
    assert fit_member([discs], tmp_path, options(workers=1)).weights_sha256 == whole


def test_another_seed_gives_other_weights(discs: Path, whole: str, tmp_path: Path) -> None:
    assert fit_member([discs], tmp_path, options(workers=0, seed=1)).weights_sha256 != whole


def test_other_options_do_not_go_on_with_a_checkpoint(discs: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit_member([discs], tmp_path, options(workers=0), stop_at(4))
    with pytest.raises(FitError, match=r"unfinished fit of other options or data.*--no-resume"):
        fit_member([discs], tmp_path, options(workers=0, seed=1))
    assert (tmp_path / CHECKPOINT).exists()
    fit_member([discs], tmp_path, options(workers=0, seed=1, epochs=1), resume=False)
    assert not (tmp_path / CHECKPOINT).exists()


def test_no_pickle_is_ever_loaded(
    discs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("torch.load was called")

    monkeypatch.setattr(torch, "load", refuse)
    with pytest.raises(KeyboardInterrupt):
        fit_member([discs], tmp_path, options(workers=0), stop_at(4))
    fit_member([discs], tmp_path, options(workers=0))


class _Trap:
    """What runs code when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("raise AssertionError('a pickle was loaded')",)


def test_a_pickle_in_place_of_a_checkpoint_is_refused(discs: Path, tmp_path: Path) -> None:
    (tmp_path / CHECKPOINT).write_bytes(pickle.dumps({"fit": _Trap()}))
    with pytest.raises(FitError, match=r"is no checkpoint of this program.*--no-resume"):
        fit_member([discs], tmp_path, options(workers=0))
