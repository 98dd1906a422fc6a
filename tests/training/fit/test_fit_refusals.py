"""Data, options and disks that no member can be trained with: one clear error, nothing left."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from ichcore import Grid
from ichexport.errors import IchExportError
from ichtrain.cli import main
from ichtrain.errors import DataError, FitError, OneClass, SplitLeak
from ichtrain.fit import FitOptions, fit_member

Quick = Callable[..., FitOptions]
MakeSeries = Callable[..., object]


def test_training_without_blood_is_refused(
    tmp_path: Path, quick: Quick, make: MakeSeries, fold: Callable[..., Path]
) -> None:
    series = [make(1, "train", False), make(2, "validation", True), make(3, "validation", False)]
    with pytest.raises(OneClass, match="no slice with blood"):
        fit_member([fold(series)], tmp_path / "run", quick())
    assert not (tmp_path / "run").exists()


def test_validation_without_normals_is_refused(
    tmp_path: Path, quick: Quick, make: MakeSeries, fold: Callable[..., Path]
) -> None:
    series = [make(1, "train", False), make(2, "train", True), make(3, "validation", True)]
    with pytest.raises(OneClass, match="no validation series without blood"):
        fit_member([fold(series)], tmp_path / "run", quick())


def test_a_subset_that_has_no_positive_is_refused(
    tmp_path: Path, quick: Quick, make: MakeSeries, fold: Callable[..., Path]
) -> None:
    # An even number carries SDH, an odd one SAH.
    series = [make(1, "train", True), make(3, "train", False), make(5, "validation", True)]
    with pytest.raises(OneClass, match="subset sdh"):
        fit_member([fold(series)], tmp_path / "run", quick(subset="sdh"))


def test_a_patient_in_two_splits_is_refused(
    tmp_path: Path, quick: Quick, make: MakeSeries, fold: Callable[..., Path]
) -> None:
    series = [
        make(1, "train", True), make(2, "train", False),
        make(3, "validation", True, patient="P1"), make(4, "validation", False),
    ]  # fmt: skip
    with pytest.raises(SplitLeak, match="P1"):
        fit_member([fold(series)], tmp_path / "run", quick())
    assert not (tmp_path / "run").exists()


def test_a_patient_in_splits_of_two_folders_is_refused(
    tmp_path: Path, quick: Quick, make: MakeSeries, fold: Callable[..., Path]
) -> None:
    one = fold([make(1, "train", True), make(2, "train", False)])
    other = fold([make(3, "validation", True, patient="P1"), make(4, "validation", False)])
    with pytest.raises(SplitLeak, match="P1"):
        fit_member([one, other], tmp_path / "run", quick())


def test_folders_on_two_grids_are_refused(
    discs: Path, tmp_path: Path, quick: Quick, make: MakeSeries, fold: Callable[..., Path]
) -> None:
    other = fold([make(1, "train", True)], Grid(rows=64, columns=64, pixel_spacing_mm=3.0))
    with pytest.raises(DataError, match="is on another grid"):
        fit_member([discs, other], tmp_path / "run", quick())


def test_a_folder_that_was_not_prepared_is_refused(tmp_path: Path, quick: Quick) -> None:
    with pytest.raises(DataError, match=r"is no prepared folder.*ichtrain prepare"):
        fit_member([tmp_path], tmp_path / "run", quick())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"encoder": "resnet50"}, "Unknown encoder 'resnet50'; choose one of densenet121"),
        ({"epochs": 0}, "0 epochs cannot train"),
        ({"batch_size": 1}, "1 slices per batch cannot train; give at least 2"),
        ({"learning_rate": 0.0}, "learning rate 0.0 must lie between"),
        ({"crop_rows": 40}, "crop of 40 pixels cannot be; give a multiple of 32"),
        ({"annotation": "weak", "crop_rows": 64}, "leave the crop out of weak"),
        ({"name": "../up"}, "'../up' is no name of a model"),
    ],
)
def test_options_that_cannot_train_are_refused(
    change: dict[str, object], words: str, quick: Quick
) -> None:
    with pytest.raises(FitError, match=words):
        quick(**change)


def test_a_gpu_that_is_not_there_is_said_so(discs: Path, tmp_path: Path, quick: Quick) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("a GPU is here")
    with pytest.raises(FitError, match="No CUDA device is there"):
        fit_member([discs], tmp_path, quick(device="cuda"))


def test_a_loss_that_is_no_number_ends_the_run(
    tmp_path: Path, quick: Quick, make: MakeSeries, fold: Callable[..., Path]
) -> None:
    series = [make(n, "train", n % 4 < 2) for n in range(4)]
    series += [make(n, "validation", n % 4 < 2) for n in range(100, 104)]
    spoilt = [
        replace(one, hu=np.full_like(one.hu, np.nan)) if one.split == "train" else one
        for one in series
    ]
    with pytest.raises(FitError, match=r"loss of ich_any became nan at step 0; lower the learning"):
        fit_member([fold(spoilt)], tmp_path / "run", quick())
    assert not (tmp_path / "run" / "ich_any.safetensors").exists()


def test_a_full_disk_leaves_no_half_written_weights(
    discs: Path, tmp_path: Path, quick: Quick, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(IchExportError, match=r"cannot be written .No space left.*free some space"):
        fit_member([discs], tmp_path, quick(epochs=1))
    assert not list(tmp_path.iterdir())


def test_the_command_gives_one_sentence_and_its_exit_code(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    arguments = ["fit", str(tmp_path / "empty"), str(tmp_path / "run"), "--name", "ich_any"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == DataError.exit_code
    assert result.output.count("Error: ") == 1
    assert "Traceback" not in result.output
    assert "ichtrain prepare" in result.output
